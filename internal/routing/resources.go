package routing

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/internal/tally"
)

// Resource is a resource configuration as clients reach it in one way, by an association with a service network or by a VPC
// endpoint, at addresses of its own. It outlives changes.
type Resource struct {
	// ID is the id of the association, of the endpoint, or of both with a hyphen between them.
	ID        string
	Addresses []netip.Addr
	// Gone is closed when there is no such way any more.
	Gone chan struct{}
	// Exchanges counts the connections to the resource by this way, as connections that are passed through.
	Exchanges tally.Exchanges

	route atomic.Pointer[ResourceRoute]
}

// Route returns where connections go now.
func (r *Resource) Route() *ResourceRoute { return r.route.Load() }

// ResourceRoute is where connections to a resource go, and who may make them. It is immutable.
type ResourceRoute struct {
	ConfigurationARN  string
	ConfigurationID   string
	ConfigurationName string
	// NetworkARN and AssociationARN are empty for an endpoint of the resource itself, EndpointID without an endpoint.
	NetworkARN     string
	AssociationID  string
	AssociationARN string
	EndpointID     string
	// DomainName is the generated name, and PrivateName the owner's own name, or "".
	DomainName  string
	PrivateName string
	// Ports are the ports at which connections are accepted, in order.
	Ports  []lattice.PortRange
	Target ResourceTarget

	// network is entered through an association of the client's VPC, or through the endpoint. It is nil for an endpoint of the
	// resource itself, whose VPC, admission and source are the fields below.
	network    *Network
	vpc        string
	admission  *Admission
	source     *Source
	privateDNS *inventory.PrivateDNS

	gatewayID  string
	gatewayVPC string
	egress     *Admission
	// private says that the association publishes the private name, and verified that the owner has verified its domain.
	private, verified bool
	isARN             bool
	// domain is that of the private hosted zone that AWS would make: the domain of the group, or the private name.
	domain  string
	created lattice.Base
	logs    []*lattice.AccessLogSubscription
}

// AccessLogs returns the subscriptions to connections in this way: those of the resource configuration and, where clients come
// through a service network, those of the network for resources. The slice must not be changed.
func (r *ResourceRoute) AccessLogs() []*lattice.AccessLogSubscription { return r.logs }

// ResourceTarget is where a resource is.
type ResourceTarget struct {
	// Address is the address of an IP resource or a database. Without one, Name must be resolved.
	Address netip.Addr
	Name    string
	// Family is the family of the name's addresses that are used: "ip4" or "ip6".
	Family string
	// Servers are the DNS servers of the gateway's VPC, which are asked for the name. Without any, the node's servers are
	// asked.
	Servers []netip.AddrPort
	// Problem says why there is no target.
	Problem string
}

// Takes reports whether connections to a port are taken.
func (r *ResourceRoute) Takes(port int) bool {
	_, found := slices.BinarySearchFunc(r.Ports, port, func(r lattice.PortRange, port int) int {
		switch {
		case r.To < port:
			return -1
		case r.From > port:
			return 1
		}
		return 0
	})
	return found
}

// way returns the entrance that a client uses, or nil if it has none.
func (r *ResourceRoute) way(o Origin) *entrance {
	if r.network == nil {
		if o.vantage != nil && o.vantage.vpc == r.vpc && r.vpc != "" {
			return &entrance{id: r.EndpointID, endpoint: true, source: r.source, admission: r.admission, privateDNS: r.privateDNS}
		}
		return nil
	}
	if o.vantage == nil {
		return nil
	}
	entrances := o.vantage.load()
	for i := range entrances {
		e := &entrances[i]
		if e.network == r.network && (r.EndpointID == "" && !e.endpoint || e.id == r.EndpointID) {
			return e
		}
	}
	return nil
}

// Enter returns the VPC from which a client reaches a port, and why it may not, if so.
func (r *ResourceRoute) Enter(o Origin, port int) (*Source, error) {
	if o.vantage == nil {
		if r.network == nil {
			return r.source, nil
		}
		return r.network.Source(), nil
	}
	client := o.address.Unmap()
	e := r.way(o)
	switch {
	case e == nil && o.vantage.vpc == "":
		return nil, &ResourceRefusal{fmt.Sprintf("the client's address %s is in no VPC of the inventory", client)}
	case e == nil && r.EndpointID != "":
		return nil, &ResourceRefusal{fmt.Sprintf("the client's address %s is in %s, and the endpoint %s is in another VPC", client, o.vantage.vpc, r.EndpointID)}
	case e == nil:
		return nil, &ResourceRefusal{fmt.Sprintf("the client's address %s is in %s, which is not associated with the service network %s", client, o.vantage.vpc, r.NetworkARN)}
	case !e.admission.Admits(client, port):
		return nil, &ResourceRefusal{fmt.Sprintf("security groups keep the client out: of %s %s", e.id, e.admission.why(client, port))}
	}
	return e.source, nil
}

// Leave returns why the resource gateway makes no connection to a target, if so.
func (r *ResourceRoute) Leave(target netip.AddrPort) error {
	if r.egress.Admits(target.Addr(), int(target.Port())) {
		return nil
	}
	return &ResourceRefusal{fmt.Sprintf("security groups of the resource gateway %s keep it from the target: %s", r.gatewayID, r.egress.why(target.Addr(), int(target.Port())))}
}

// ResourceRefusal says that a connection to a resource is refused because of where the client or the target is.
type ResourceRefusal struct{ problem string }

func (e *ResourceRefusal) Error() string { return e.problem }

// Resource returns the resource that clients reach at an address.
func (r *Router) Resource(address netip.Addr) (*Resource, bool) {
	number, ok := r.cfg.ResourceRange.Number(address)
	if !ok {
		return nil, false
	}
	resource, ok := (*r.model.resources.byNumber.Load())[number]
	return resource, ok
}

// Resources returns all resources that can be reached, in the order of their addresses.
func (r *Router) Resources() []*Resource {
	byNumber := *r.model.resources.byNumber.Load()
	list := make([]*Resource, 0, len(byNumber))
	for _, number := range slices.Sorted(maps.Keys(byNumber)) {
		list = append(list, byNumber[number])
	}
	return list
}

// OriginOf returns where the client with an address is.
func (r *Router) OriginOf(client netip.Addr) Origin { return r.origins.of(client) }

// resources are the records of resources and the ways to them that are compiled from them. A change concerns few: nodes are
// found by what they refer to.
type resources struct {
	gateways       map[ref]*lattice.ResourceGateway
	configurations map[ref]*lattice.ResourceConfiguration
	verified       map[ref]bool
	nodes          map[ref]*resourceNode    // by association
	using          map[ref][]*resourceNode  // by configuration
	behind         map[ref]map[ref]struct{} // configurations by gateway
	dirty          map[*resourceNode]bool
	// logs are subscriptions to traffic of resources, by configuration or service network, in order of creation.
	logs map[ref][]*lattice.AccessLogSubscription

	byNumber atomic.Pointer[map[uint32]*Resource]
	draft    map[uint32]*Resource // nil if nothing has changed
	names    resourceNames
}

// resourceNode is an association of a resource configuration, with a service network or a VPC endpoint, and the ways that it
// opens: by number.
type resourceNode struct {
	association   *lattice.ServiceNetworkResourceAssociation
	endpoint      *lattice.ResourceEndpointAssociation
	configuration ref
	ways          map[uint32]*Resource
}

func newResources() *resources {
	r := &resources{
		gateways: map[ref]*lattice.ResourceGateway{}, configurations: map[ref]*lattice.ResourceConfiguration{}, verified: map[ref]bool{},
		nodes: map[ref]*resourceNode{}, using: map[ref][]*resourceNode{}, behind: map[ref]map[ref]struct{}{}, dirty: map[*resourceNode]bool{}, logs: map[ref][]*lattice.AccessLogSubscription{},
		names: newResourceNames(),
	}
	r.byNumber.Store(&map[uint32]*Resource{})
	return r
}

// take takes one change up.
func (m *resources) take(change lattice.Change) {
	record, present := change.New, live(change.New)
	if record == nil {
		record = change.Old
	}
	switch record := record.(type) {
	case *lattice.ResourceGateway:
		at := ref{record.Scope, record.ID}
		keep(m.gateways, at, record, present)
		for configuration := range m.behind[at] {
			m.touch(configuration)
		}
	case *lattice.ResourceConfiguration:
		at, gateway := ref{record.Scope, record.ID}, ref{record.Scope, record.ResourceGatewayID}
		keep(m.configurations, at, record, present)
		if present {
			if m.behind[gateway] == nil {
				m.behind[gateway] = map[ref]struct{}{}
			}
			m.behind[gateway][at] = struct{}{}
		} else if delete(m.behind[gateway], at); len(m.behind[gateway]) == 0 {
			delete(m.behind, gateway)
		}
		m.touch(at)
	case *lattice.DomainVerification:
		keep(m.verified, ref{record.Scope, record.ID}, true, present && !record.VerifiedAt.IsZero())
		m.touchAll() // This is rare.
	case *lattice.AccessLogSubscription:
		m.takeAccessLog(record, present)
	case *lattice.ServiceNetworkResourceAssociation:
		m.takeAssociation(&record.Base, record.ResourceConfigurationID, present, func(n *resourceNode) { n.association = record })
	case *lattice.ResourceEndpointAssociation:
		m.takeAssociation(&record.Base, record.ResourceConfigurationID, present, func(n *resourceNode) { n.endpoint = record })
	}
}

func keep[V any](in map[ref]V, at ref, record V, present bool) {
	if present {
		in[at] = record
	} else {
		delete(in, at)
	}
}

func (m *resources) takeAssociation(base *lattice.Base, configurationID string, present bool, set func(n *resourceNode)) {
	at, configuration := ref{base.Scope, base.ID}, ref{base.Scope, configurationID}
	n := m.nodes[at]
	if n == nil {
		if !present {
			return
		}
		n = &resourceNode{configuration: configuration, ways: map[uint32]*Resource{}}
		m.nodes[at] = n
		m.using[configuration] = append(m.using[configuration], n)
	}
	m.dirty[n] = true
	if present {
		set(n)
		return
	}
	n.association, n.endpoint = nil, nil
	delete(m.nodes, at)
	if m.using[configuration] = slices.DeleteFunc(m.using[configuration], func(other *resourceNode) bool { return other == n }); len(m.using[configuration]) == 0 {
		delete(m.using, configuration)
	}
}

// takeAccessLog takes a subscription up, if it is one to traffic of resources.
func (m *resources) takeAccessLog(record *lattice.AccessLogSubscription, present bool) {
	at := ref{record.Scope, record.ResourceID}
	kind, _ := lattice.KindOfID(record.ResourceID)
	switch {
	case kind == lattice.KindResourceConfiguration:
		m.touch(at)
	case kind == lattice.KindServiceNetwork && record.LogType == shape.ServiceNetworkLogTypeResource:
		m.touchNetwork(at)
	default:
		return
	}
	logs := remove(m.logs[at], record.ID)
	if present {
		logs = insert(logs, record)
	}
	if m.logs[at] = logs; len(logs) == 0 {
		delete(m.logs, at)
	}
}

// touchNetwork marks what clients reach through a service network.
func (m *resources) touchNetwork(network ref) {
	for _, n := range m.nodes {
		if a := n.association; a != nil && a.ServiceNetworkID == network.id && a.Scope == network.scope {
			m.dirty[n] = true
		}
	}
}

func (m *resources) touch(configuration ref) {
	for _, n := range m.using[configuration] {
		m.dirty[n] = true
	}
}

func (m *resources) touchAll() {
	for _, n := range m.nodes {
		m.dirty[n] = true
	}
}

// settleResources compiles the ways to resources that have changed.
func (r *Router) settleResources() {
	m := r.model.resources
	for _, n := range r.model.dirtyNetworks {
		if n.moved {
			m.touchNetwork(n.ref)
		}
	}
	for n := range m.dirty {
		r.settleResource(n)
	}
	clear(m.dirty)
	if m.draft != nil {
		published := m.draft
		m.byNumber.Store(&published)
		m.draft = nil
	}
	m.names.publish()
}

func (r *Router) settleResource(n *resourceNode) {
	m := r.model.resources
	wanted := r.resourceRoutes(n)
	for number, resource := range n.ways {
		if wanted[number] == nil {
			m.drafted()
			if m.draft[number] == resource {
				delete(m.draft, number)
			}
			m.names.remove(resource, resource.Route())
			delete(n.ways, number)
			close(resource.Gone)
		}
	}
	for number, route := range wanted {
		resource := n.ways[number]
		if resource == nil {
			resource = &Resource{ID: route.id(), Addresses: r.cfg.ResourceRange.Addresses(number), Gone: make(chan struct{})}
			resource.route.Store(route)
			n.ways[number] = resource
			m.drafted()
			m.draft[number] = resource
			m.names.add(resource, route)
			continue
		}
		m.names.remove(resource, resource.Route())
		resource.route.Store(route)
		m.names.add(resource, route)
	}
}

// drafted makes a copy of what is published, to be changed.
func (m *resources) drafted() {
	if m.draft == nil {
		m.draft = maps.Clone(*m.byNumber.Load())
	}
}

func (r *ResourceRoute) id() string {
	switch {
	case r.EndpointID == "":
		return r.AssociationID
	case r.AssociationID == "":
		return r.EndpointID
	}
	return r.EndpointID + "-" + r.AssociationID
}

// resourceRoutes compiles the ways that an association opens, by the numbers of their addresses.
func (r *Router) resourceRoutes(n *resourceNode) map[uint32]*ResourceRoute {
	m, snapshot := r.model.resources, r.snapshot()
	configuration := m.configurations[n.configuration]
	if configuration == nil || n.association == nil && n.endpoint == nil {
		return nil
	}
	gateway := m.gateways[ref{configuration.Scope, configuration.ResourceGatewayID}]
	if gateway == nil {
		return nil
	}
	base := r.resourceRoute(configuration, gateway, snapshot)
	base.logs = slices.Clone(m.logs[n.configuration]) // Later changes modify the list.
	routes := map[uint32]*ResourceRoute{}
	add := func(number uint32, route ResourceRoute) {
		if len(r.cfg.ResourceRange.Addresses(number)) == 0 {
			if number != 0 {
				r.cfg.Log.Warn("the resource cannot be reached: --resource-range is smaller than when the association was made", "name", route.DomainName)
			}
			return
		}
		routes[number] = &route
	}
	region := configuration.Scope.Region
	if e := n.endpoint; e != nil {
		for _, endpoint := range snapshot.EndpointsTo(configuration) {
			if endpoint.ID != e.VpcEndpointID {
				continue
			}
			route := base
			route.created, route.EndpointID, route.vpc = e.Base, endpoint.ID, endpoint.VPC
			route.admission = newIngress(snapshot, endpoint.SecurityGroups)
			route.source, route.privateDNS, route.private = newSource(region, endpoint.Owner, endpoint.VPC), endpoint.PrivateDNS, true
			route.DomainName = lattice.ResourceEndpointDomainName(endpoint.ID, "", configuration.ID, region, r.cfg.Domain)
			add(e.AddressNumber, route)
		}
		return routes
	}
	a := n.association
	network := r.model.networks[ref{a.Scope, a.ServiceNetworkID}]
	if network == nil || network.compiled == nil || a.DomainName == "" {
		return nil
	}
	base.created, base.AssociationID, base.AssociationARN = a.Base, a.ID, a.ARN()
	base.network, base.NetworkARN, base.private = network.compiled, network.compiled.ARN, a.PrivateDNSEnabled
	base.logs = append(base.logs, m.logs[network.ref]...)
	own := base
	own.DomainName = a.DomainName
	add(a.AddressNumber, own)
	for _, endpoint := range snapshot.ServiceNetworkEndpoints(lattice.ServiceNetworkKey(a.Scope, a.ServiceNetworkID)) {
		through := base
		through.EndpointID = endpoint.ID
		through.DomainName = lattice.ResourceEndpointDomainName(endpoint.ID, a.ID, configuration.ID, region, r.cfg.Domain)
		add(a.EndpointAddressNumbers[endpoint.ID], through)
	}
	return routes
}

// resourceRoute compiles the part that all ways to a resource share.
func (r *Router) resourceRoute(configuration *lattice.ResourceConfiguration, gateway *lattice.ResourceGateway, snapshot *inventory.Snapshot) ResourceRoute {
	route := ResourceRoute{
		ConfigurationARN: configuration.ARN(), ConfigurationID: configuration.ID, ConfigurationName: configuration.Name,
		PrivateName: lattice.CanonicalDomainName(configuration.CustomDomainName),
		Ports:       lattice.MergePortRanges(configuration.PortRanges),
		gatewayID:   gateway.ID, gatewayVPC: gateway.VpcID, egress: newEgress(snapshot, gateway.SecurityGroupIDs),
		// The names of databases belong to Amazon.
		verified: configuration.AmazonManaged || r.model.resources.verified[ref{configuration.Scope, configuration.DomainVerificationID}],
		isARN:    configuration.Type == shape.ResourceConfigurationTypeArn || configuration.AmazonManaged,
	}
	route.domain = route.PrivateName
	if group := r.model.resources.configurations[ref{configuration.Scope, configuration.GroupID}]; group != nil && group.GroupDomain != "" {
		route.domain = lattice.CanonicalDomainName(group.GroupDomain)
	}
	// Without servers in the inventory, the name is resolved as for a gateway that uses public servers.
	if gateway.DNSResolution == shape.ResourceConfigDnsResolutionInVpc {
		if vpc, ok := snapshot.VPC(gateway.VpcID); ok {
			route.Target.Servers = vpc.DNSServers
		}
	}
	target := &route.Target
	switch d := configuration.Definition; {
	case d == nil:
		target.Problem = "a group has no target; its children have"
	case d.IpResource != nil && d.IpResource.IpAddress != nil:
		address, err := netip.ParseAddr(*d.IpResource.IpAddress)
		if target.Address = address; err != nil {
			target.Problem = err.Error()
		}
	case d.DnsResource != nil && d.DnsResource.DomainName != nil:
		target.Name = lattice.CanonicalDomainName(*d.DnsResource.DomainName)
		target.Family = "ip4"
		if d.DnsResource.IpAddressType == shape.ResourceConfigurationIpAddressTypeIpv6 ||
			d.DnsResource.IpAddressType == "" && gateway.IPAddressType == shape.ResourceGatewayIpAddressTypeIpv6 {
			target.Family = "ip6"
		}
		// The inventory has the addresses of databases.
		if database, ok := snapshot.DatabaseAt(target.Name); ok {
			target.Address = database.Address.Addr()
		}
	case d.ArnResource != nil && d.ArnResource.Arn != nil:
		database, ok := snapshot.Database(*d.ArnResource.Arn)
		if !ok {
			target.Problem = fmt.Sprintf("the inventory lists no database with the ARN %s", *d.ArnResource.Arn)
			break
		}
		at := database.Endpoints[0]
		target.Address, target.Name, route.PrivateName = at.Address.Addr(), at.DomainName, at.DomainName
		route.Ports, route.verified = []lattice.PortRange{{From: int(at.Address.Port()), To: int(at.Address.Port())}}, true
	default:
		target.Problem = "connections to network segments (CIDR) are not carried"
		route.Ports = nil
	}
	return route
}

// finds reports whether a client finds the private name of the resource.
func (r *ResourceRoute) finds(o Origin) bool {
	if !r.private {
		return false
	}
	if o.vantage == nil {
		return true
	}
	way := r.way(o)
	if way == nil || way.privateDNS == nil || !r.chosen(way.privateDNS) {
		return false
	}
	if o.vantage.vpc != r.gatewayVPC {
		return true
	}
	// The client may find the resource itself under that name, which the zone would hide (UG resource-configuration).
	name := r.Target.Name
	leads := name != "" && len(r.Target.Servers) > 0 && (name == r.domain || lattice.IsSubdomain(name, r.domain))
	return !r.isARN && !leads
}

// chosen reports whether DNS options choose the private name (API DnsOptions).
func (r *ResourceRoute) chosen(options *inventory.PrivateDNS) bool {
	specified := slices.ContainsFunc(options.Domains, func(domain string) bool {
		domain = strings.TrimPrefix(lattice.CanonicalDomainName(domain), "*.")
		return domain == "*" || r.PrivateName == domain || lattice.IsSubdomain(r.PrivateName, domain)
	})
	switch options.Preference {
	case shape.PrivateDnsPreferenceAllDomains:
		return true
	case shape.PrivateDnsPreferenceSpecifiedDomainsOnly:
		return specified
	case shape.PrivateDnsPreferenceVerifiedDomainsAndSpecifiedDomains:
		return r.verified || specified
	}
	return r.verified
}
