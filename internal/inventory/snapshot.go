package inventory

import (
	"crypto/tls"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// Snapshot is what an inventory knew at one time. All of its methods may be called on a nil one, which is empty, and by many
// goroutines.
type Snapshot struct {
	vpcs     map[string]VPC
	networks []vpcNetwork // of all VPCs, by address; they do not overlap
	// securityGroups are by id, and members the addresses of the instances in each.
	securityGroups map[string]SecurityGroup
	members        map[string][]netip.Addr
	instances      map[string]Instance
	loadBalancers  map[string]LoadBalancer
	// Whether the file or a source lists them, even if the list is empty.
	listsInstances, listsLoadBalancers bool

	functions    map[string]Function
	certificates map[string]Certificate
	// databases are by ARN, and databaseNames their endpoints by domain name.
	databases     map[string]Database
	databaseNames map[string]DatabaseEndpoint
	// The endpoints by the id of the resource to which they lead.
	resourceEndpoints, networkEndpoints map[string][]VPCEndpoint
}

// VPC is a virtual network.
type VPC struct {
	ID    string
	CIDRs []netip.Prefix
	// DefaultSecurityGroup is an id, or "" if it is not known.
	DefaultSecurityGroup string
	// DNSServers are those of the VPC's DHCP options, in order. There may be none.
	DNSServers []netip.AddrPort
}

type vpcNetwork struct {
	prefix netip.Prefix
	vpc    string
}

// Instance is a machine.
type Instance struct {
	ID string
	// Address is the zero value for a terminated instance.
	Address netip.Addr
	VPC     string
	// State is one of EC2's, such as StateRunning.
	State          string
	SecurityGroups []string
}

// StateRunning is the state of instances that can be targets.
const StateRunning = "running"

// LoadBalancer is an Application Load Balancer, or a substitute for one.
type LoadBalancer struct {
	ARN     string
	Address netip.Addr
	// Problem says why the address is not known.
	Problem string
	// VPC is empty if it is not known.
	VPC string
}

// Certificate is a certificate. One from ACM has no private key, since ACM does not give keys out. Only its names and its
// expiry are known.
type Certificate struct {
	ARN string
	// TLS has a Leaf, and must not be changed.
	TLS *tls.Certificate
}

// VPCEndpoint is an entry to a resource configuration or to a service network.
type VPCEndpoint struct {
	ID, VPC string
	// Owner is an account, by default that of the resource to which the endpoint leads.
	Owner string
	// SecurityGroups are those of the endpoint. Without any it admits everybody in the VPC.
	SecurityGroups []string
	// PrivateDNS says which private names of resources clients in the VPC find for the endpoint. Nil means none.
	PrivateDNS *PrivateDNS
	// CreatedAt is zero if it is not known.
	CreatedAt time.Time
	// IsTunnel says that the endpoint leads to a network segment (CIDR). It carries nothing here.
	IsTunnel bool
	to       reference
}

// PrivateDNS says which private names are found, in the words of EC2's and VPC Lattice's DnsOptions.
type PrivateDNS struct {
	Preference shape.PrivateDnsPreference
	Domains    []string
}

// reference is the id of a record, in any scope if it is zero.
type reference struct {
	id    string
	scope lattice.Scope
}

func newSnapshot() *Snapshot {
	return &Snapshot{
		vpcs:              map[string]VPC{},
		securityGroups:    map[string]SecurityGroup{},
		members:           map[string][]netip.Addr{},
		instances:         map[string]Instance{},
		loadBalancers:     map[string]LoadBalancer{},
		functions:         map[string]Function{},
		certificates:      map[string]Certificate{},
		databases:         map[string]Database{},
		databaseNames:     map[string]DatabaseEndpoint{},
		resourceEndpoints: map[string][]VPCEndpoint{},
		networkEndpoints:  map[string][]VPCEndpoint{},
	}
}

// VPC returns a VPC.
func (s *Snapshot) VPC(id string) (VPC, bool) {
	if s == nil {
		return VPC{}, false
	}
	vpc, ok := s.vpcs[id]
	return vpc, ok
}

// VPCs returns the ids of all VPCs, in order.
func (s *Snapshot) VPCs() []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.vpcs))
}

// VPCOf returns the id of the VPC in which an address lies.
func (s *Snapshot) VPCOf(address netip.Addr) (id string, ok bool) {
	if s == nil {
		return "", false
	}
	address = address.Unmap()
	// The last network that begins at or before the address is the only one that can contain it.
	i, found := slices.BinarySearchFunc(s.networks, address, func(n vpcNetwork, a netip.Addr) int { return n.prefix.Addr().Compare(a) })
	if !found {
		i--
	}
	if i < 0 || !s.networks[i].prefix.Contains(address) {
		return "", false
	}
	return s.networks[i].vpc, true
}

// Instance returns an instance.
func (s *Snapshot) Instance(id string) (Instance, bool) {
	if s == nil {
		return Instance{}, false
	}
	instance, ok := s.instances[id]
	return instance, ok
}

// LoadBalancer returns a load balancer.
func (s *Snapshot) LoadBalancer(arn string) (LoadBalancer, bool) {
	if s == nil {
		return LoadBalancer{}, false
	}
	balancer, ok := s.loadBalancers[arn]
	return balancer, ok
}

// Function returns a function. For the ARN of a version or an alias that is not known, it returns the function itself.
func (s *Snapshot) Function(arn string) (Function, bool) {
	if s == nil {
		return Function{}, false
	}
	function, ok := s.functions[arn]
	if !ok && strings.Count(arn, ":") == 7 {
		function, ok = s.functions[arn[:strings.LastIndexByte(arn, ':')]]
	}
	return function, ok
}

// Functions returns all functions, in the order of their ARNs.
func (s *Snapshot) Functions() []Function {
	if s == nil {
		return nil
	}
	return slices.SortedFunc(maps.Values(s.functions), func(a, b Function) int { return strings.Compare(a.ARN, b.ARN) })
}

// Certificate returns a certificate.
func (s *Snapshot) Certificate(arn string) (Certificate, bool) {
	if s == nil {
		return Certificate{}, false
	}
	certificate, ok := s.certificates[arn]
	return certificate, ok
}

// CertificateExpiries returns when the certificates expire, by their ARNs.
func (s *Snapshot) CertificateExpiries() map[string]time.Time {
	expiries := map[string]time.Time{}
	if s != nil {
		for arn, certificate := range s.certificates {
			expiries[arn] = certificate.TLS.Leaf.NotAfter
		}
	}
	return expiries
}

// ResourceEndpoints returns the VPC endpoints that lead to a resource configuration, in the order of their ids.
func (s *Snapshot) ResourceEndpoints(resourceConfiguration lattice.Key) []VPCEndpoint {
	if s == nil {
		return nil
	}
	return leadingTo(s.resourceEndpoints, resourceConfiguration)
}

// EndpointsTo returns the VPC endpoints through which clients reach a resource configuration, in the order of their ids: those
// that lead to it, and those that lead to its group.
func (s *Snapshot) EndpointsTo(r *lattice.ResourceConfiguration) []VPCEndpoint {
	endpoints := slices.Clone(s.ResourceEndpoints(r.Key()))
	if r.GroupID != "" {
		endpoints = append(endpoints, s.ResourceEndpoints(lattice.ResourceConfigurationKey(r.Scope, r.GroupID))...)
	}
	// Only tunnels lead to a network segment, and tunnels lead to nothing else.
	endpoints = slices.DeleteFunc(endpoints, func(e VPCEndpoint) bool { return e.IsTunnel != (r.Type == shape.ResourceConfigurationTypeCidr) })
	slices.SortFunc(endpoints, func(a, b VPCEndpoint) int { return strings.Compare(a.ID, b.ID) })
	return endpoints
}

// ServiceNetworkEndpoints returns the VPC endpoints that lead to a service network, in the order of their ids.
func (s *Snapshot) ServiceNetworkEndpoints(serviceNetwork lattice.Key) []VPCEndpoint {
	if s == nil {
		return nil
	}
	return leadingTo(s.networkEndpoints, serviceNetwork)
}

// ResourcesWithEndpoints returns the ids of the resource configurations to which VPC endpoints lead, in order.
func (s *Snapshot) ResourcesWithEndpoints() []string {
	if s == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(s.resourceEndpoints))
}

func leadingTo(endpoints map[string][]VPCEndpoint, to lattice.Key) []VPCEndpoint {
	var list []VPCEndpoint
	for _, endpoint := range endpoints[to.Path] {
		if endpoint.to.scope != (lattice.Scope{}) && endpoint.to.scope != to.Scope {
			continue
		}
		if endpoint.Owner == "" {
			endpoint.Owner = to.Scope.Account
		}
		list = append(list, endpoint)
	}
	return list
}
