package routing

import (
	"trellis/internal/lattice"
)

// Host is what the name of a service leads to.
type Host struct {
	Service string // the ARN
	// Generated is the generated name of the service whose custom domain name this is, or "" for a generated name. At AWS
	// users make a CNAME record of that kind themselves (UG "Configure a custom domain name for your service").
	Generated string
}

// Host returns what a name stands for. The name is in lower case and has no dot at its end. All services have their names
// from their creation on, as at AWS, whether they can be reached or not.
func (r *Router) Host(name string) (Host, bool) {
	return r.model.names.hosts.find([]byte(name))
}

// HostNames returns all names of services, in no order.
func (r *Router) HostNames() []string {
	var list []string
	for name := range r.model.names.hosts.all() {
		list = append(list, name)
	}
	return list
}

func (n *names) addGenerated(record *lattice.Service) {
	n.setHost(lattice.CanonicalDomainName(record.DomainName), Host{Service: record.ARN()})
}

func (n *names) removeGenerated(record *lattice.Service) {
	if record == nil {
		return
	}
	name := lattice.CanonicalDomainName(record.DomainName)
	delete(n.hosts.draft(name), name)
	if n.nodes[name] != nil {
		n.dirty[name] = true
	}
}

// settleHost gives a custom domain name to the first service of its owner that claims it. A generated name always belongs to
// its own service.
func (n *names) settleHost(name string, node *nameNode) {
	before, ok := n.hosts.drafted(name)
	if ok && before.Generated == "" {
		return
	}
	for _, s := range node.claimants {
		if s.ref.scope.Account == node.owner {
			n.setHost(name, Host{Service: s.record.ARN(), Generated: lattice.CanonicalDomainName(s.record.DomainName)})
			return
		}
	}
	if ok {
		delete(n.hosts.draft(name), name)
	}
}

func (n *names) setHost(name string, host Host) {
	if before, ok := n.hosts.drafted(name); !ok || before != host {
		n.hosts.draft(name)[name] = host
	}
}
