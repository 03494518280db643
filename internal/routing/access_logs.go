package routing

import (
	"slices"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// AccessLogs returns the subscriptions to the access logs of the service: its own, and those of the service network through
// which requests come. The slice must not be changed. No service, nil, has none.
func (s *Service) AccessLogs() []*lattice.AccessLogSubscription {
	if s == nil {
		return nil
	}
	return s.logs
}

func (m *model) addAccessLog(record *lattice.AccessLogSubscription) {
	at := ref{record.Scope, record.ResourceID}
	switch kind, _ := lattice.KindOfID(record.ResourceID); kind {
	case lattice.KindService:
		s := m.service(at, true)
		s.logs = insert(remove(s.logs, record.ID), record)
	case lattice.KindServiceNetwork:
		if record.LogType == shape.ServiceNetworkLogTypeResource {
			return // This subscription is for the network's resources.
		}
		n := m.network(at, true)
		n.logs = insert(remove(n.logs, record.ID), record)
		m.touchServices(n)
	}
}

func (m *model) removeAccessLog(record *lattice.AccessLogSubscription) {
	at := ref{record.Scope, record.ResourceID}
	switch kind, _ := lattice.KindOfID(record.ResourceID); kind {
	case lattice.KindService:
		if s := m.service(at, false); s != nil {
			s.logs = remove(s.logs, record.ID)
		}
	case lattice.KindServiceNetwork:
		if n := m.network(at, false); n != nil {
			n.logs = remove(n.logs, record.ID)
			m.touchServices(n)
		}
	}
}

func (m *model) touchServices(n *networkNode) {
	for s := range n.services {
		m.touchService(s)
	}
}

// accessLogs returns the subscriptions to the traffic of a service through a network, in a slice that no later change touches.
func (s *serviceNode) accessLogs(n *networkNode) []*lattice.AccessLogSubscription {
	return slices.Concat(s.logs, n.logs)
}
