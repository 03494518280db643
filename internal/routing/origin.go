package routing

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// Origin is where a client is, which decides what it can reach. The zero value is a client that reaches everything, as all
// clients do if the inventory has no VPCs.
type Origin struct {
	address netip.Addr
	vantage *vantage // nil if everything can be reached
}

// vantage is what can be reached from within a VPC. It outlives changes.
type vantage struct {
	vpc       string // the id; empty for clients in no VPC
	entrances atomic.Pointer[[]entrance]
}

// entrance leads from a VPC into a service network: through the association of the VPC, or through a VPC endpoint in it.
type entrance struct {
	id         string // the security groups of the association or the endpoint
	endpoint   bool
	network    *Network
	source     *Source
	admission  *Admission
	privateDNS *inventory.PrivateDNS // nil if clients find no private names of resources
}

// origins knows the VPCs of the inventory. It is read without a lock.
type origins struct {
	current atomic.Pointer[vantages] // nil if there are no VPCs
	nowhere vantage                  // the vantage of clients in no VPC
}

// vantages are the vantages of one state of the inventory.
type vantages struct {
	snapshot *inventory.Snapshot
	byVPC    map[string]*vantage
}

// Origin returns where the client with an address is. A connection asks once: its VPC stays the same, and what can be reached
// from it follows every change.
func (p *Port) Origin(client netip.Addr) Origin { return p.origins.of(client) }

func (o *origins) of(client netip.Addr) Origin {
	v := o.current.Load()
	if v == nil {
		return Origin{address: client}
	}
	id, ok := v.snapshot.VPCOf(client)
	if !ok {
		return Origin{client, &o.nowhere}
	}
	return Origin{client, v.byVPC[id]}
}

// From returns the service as a client reaches it, through one service network, and the VPC that the client's requests come
// from. Both are nil if the client cannot reach the service. If there are several networks, that of the client's own
// association comes first, and then those of its endpoints in the order of their ids.
func (s *Service) From(o Origin) (*Service, *Source) {
	if o.vantage == nil {
		return s, s.Network.Source()
	}
	for _, e := range o.vantage.load() {
		for reached := s; reached != nil; reached = reached.next {
			if reached.Network == e.network && e.admission.Admits(o.address, s.Port) {
				return reached, e.source
			}
		}
	}
	return nil, nil
}

// Unreachable returns why From finds no way to the service.
func (s *Service) Unreachable(o Origin) string {
	address := o.address.Unmap()
	if o.vantage == nil || o.vantage.vpc == "" {
		return fmt.Sprintf("the client's address %s is in no VPC of the inventory", address)
	}
	var refusals []string
	for _, e := range o.vantage.load() {
		for reached := s; reached != nil; reached = reached.next {
			if reached.Network == e.network {
				refusals = append(refusals, "of "+e.id+" "+e.admission.why(address, s.Port))
			}
		}
	}
	if len(refusals) > 0 {
		return fmt.Sprintf("security groups keep the client out: %s", strings.Join(refusals, "; "))
	}
	return fmt.Sprintf("the client's address %s is in %s, which is not associated with a service network that has the service, and has no endpoint into one", address, o.vantage.vpc)
}

func (v *vantage) load() []entrance {
	if entrances := v.entrances.Load(); entrances != nil {
		return *entrances
	}
	return nil
}

// vpcNode is the model's node of a VPC: the networks to which it has entrances.
type vpcNode struct {
	vantage  *vantage
	networks map[*networkNode]bool
}

func (r *Router) snapshot() *inventory.Snapshot {
	if r.cfg.Inventory == nil {
		return nil
	}
	return r.cfg.Inventory()
}

// settleEntrances finds the VPCs that have entrances into the networks that have changed.
func (r *Router) settleEntrances() {
	snapshot := r.snapshot()
	touched := map[string]bool{}
	for _, n := range r.model.dirtyNetworks {
		for _, id := range n.enteredFrom {
			delete(r.model.vpcs[id].networks, n)
			touched[id] = true
		}
		n.enteredFrom = nil
		if n.record == nil {
			continue
		}
		n.enteredFrom = n.vpcIDs(snapshot)
		for _, id := range n.enteredFrom {
			r.model.vpc(id).networks[n] = true
			touched[id] = true
		}
	}
	for id := range touched {
		v := r.model.vpcs[id]
		v.settle(snapshot)
		if _, listed := snapshot.VPC(id); !listed && len(v.networks) == 0 {
			delete(r.model.vpcs, id)
		}
	}
}

// settleOrigins applies the inventory's VPCs.
func (r *Router) settleOrigins() {
	snapshot := r.snapshot()
	for id, v := range r.model.vpcs {
		if _, listed := snapshot.VPC(id); !listed && len(v.networks) == 0 {
			delete(r.model.vpcs, id)
		}
	}
	ids := snapshot.VPCs()
	if len(ids) == 0 {
		r.origins.current.Store(nil)
		return
	}
	v := &vantages{snapshot: snapshot, byVPC: map[string]*vantage{}}
	for _, id := range ids {
		v.byVPC[id] = r.model.vpc(id).vantage
	}
	r.origins.current.Store(v)
}

// vpcIDs returns the VPCs that have an entrance into the network.
func (n *networkNode) vpcIDs(snapshot *inventory.Snapshot) []string {
	ids := map[string]bool{}
	for _, a := range n.vpcs {
		ids[a.VpcID] = true
	}
	for _, e := range snapshot.ServiceNetworkEndpoints(lattice.ServiceNetworkKey(n.ref.scope, n.ref.id)) {
		ids[e.VPC] = true
	}
	return slices.Collect(maps.Keys(ids))
}

func (m *model) vpc(id string) *vpcNode {
	node := m.vpcs[id]
	if node == nil {
		node = &vpcNode{vantage: &vantage{vpc: id}, networks: map[*networkNode]bool{}}
		m.vpcs[id] = node
	}
	return node
}

// privateDNSOf returns what the DNS options of a VPC association say (API DnsOptions).
func privateDNSOf(a *lattice.ServiceNetworkVpcAssociation) *inventory.PrivateDNS {
	if a.PrivateDNSEnabled == nil || !*a.PrivateDNSEnabled {
		return nil
	}
	options := inventory.PrivateDNS{Preference: shape.PrivateDnsPreferenceVerifiedDomainsOnly}
	if a.DNSOptions != nil {
		options.Preference = cmp.Or(a.DNSOptions.PrivateDnsPreference, options.Preference)
		options.Domains = a.DNSOptions.PrivateDnsSpecifiedDomains
	}
	return &options
}

// settle finds the entrances of a VPC: its association (there may be several, of different accounts) in order of creation, and
// then the endpoints in the order of their ids.
func (v *vpcNode) settle(snapshot *inventory.Snapshot) {
	type association struct {
		*lattice.ServiceNetworkVpcAssociation
		network *Network
	}
	var associations []association
	var entrances []entrance
	for n := range v.networks {
		for _, a := range n.vpcs {
			if a.VpcID == v.vantage.vpc {
				associations = append(associations, association{a, n.compiled})
			}
		}
		for _, e := range snapshot.ServiceNetworkEndpoints(lattice.ServiceNetworkKey(n.ref.scope, n.ref.id)) {
			if e.VPC == v.vantage.vpc {
				entrances = append(entrances, entrance{
					id: e.ID, endpoint: true, network: n.compiled, admission: newIngress(snapshot, e.SecurityGroups),
					source: newSource(n.ref.scope.Region, e.Owner, e.VPC), privateDNS: e.PrivateDNS,
				})
			}
		}
	}
	slices.SortFunc(entrances, func(a, b entrance) int { return strings.Compare(a.id, b.id) })
	slices.SortFunc(associations, func(a, b association) int { return older(&a.Base, &b.Base) })
	list := make([]entrance, 0, len(associations)+len(entrances))
	for _, a := range associations {
		list = append(list, entrance{
			id: a.ID, network: a.network, admission: newIngress(snapshot, a.SecurityGroupIDs),
			source: newSource(a.Scope.Region, a.Scope.Account, a.VpcID), privateDNS: privateDNSOf(a.ServiceNetworkVpcAssociation),
		})
	}
	list = append(list, entrances...)
	v.vantage.entrances.Store(&list)
}
