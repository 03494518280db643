package routing

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

const (
	networkID  = "sn-0123456789abcdef3"
	databaseID = "rcfg-0123456789abcdef0"
)

// resourceVPCs is an inventory of a VPC that is associated, one with an endpoint into the network, one with an endpoint of the
// resource, and that of the gateway.
const resourceVPCs = `
vpcs:
  - {id: vpc-0123456789abcdef0, cidrs: [10.1.0.0/16]}
  - {id: vpc-0123456789abcdef1, cidrs: [10.2.0.0/16]}
  - {id: vpc-0123456789abcdef2, cidrs: [10.3.0.0/16]}
  - {id: vpc-0123456789abcdef9, cidrs: [10.9.0.0/16], dnsServers: [10.9.0.2, "10.9.0.3:5353"]}
securityGroups:
  - id: sg-0123456789abcdef0
    ingress: [{ports: 5432, cidrs: [10.1.1.0/24]}]
  - id: sg-0123456789abcdef1
    egress: [{ports: 5432, cidrs: [10.9.1.0/24]}]
  - {id: sg-0123456789abcdef2}
databases:
  - arn: arn:aws:rds:us-west-2:123456789012:db:orders
    {address: 10.9.1.7, port: 5432}
vpcEndpoints:
  - {id: vpce-0123456789abcdef0, vpc: vpc-0123456789abcdef1, type: ServiceNetwork, serviceNetwork: sn-0123456789abcdef3, privateDnsEnabled: true}
  - {id: vpce-0123456789abcdef1, vpc: vpc-0123456789abcdef2, type: Resource, resourceConfiguration: rcfg-0123456789abcdef0}
`

func inventoryOfResources(t *testing.T) string {
	return strings.Replace(resourceVPCs, "    {address: 10.9.1.7, port: 5432}\n", "    address: 10.9.1.7\n    port: 5432\n    domainName: orders.rds.test\n", 1)
}

// newResourceWorld returns a router with a range of addresses for resources.
func newResourceWorld(t *testing.T) *world {
	w := newWorld(t)
	w.cfg.ResourceRange = lattice.ResourceRange{IPv4: netip.MustParsePrefix("127.91.0.0/16"), IPv6: netip.MustParsePrefix("fd7e::/64")}
	w.cfg.Domain = "lattice.test"
	return w
}

func (w *world) gateway(groups ...string) *lattice.ResourceGateway {
	return &lattice.ResourceGateway{Base: w.base("rgw-1"), VpcID: "vpc-0123456789abcdef9", SecurityGroupIDs: groups}
}

func (w *world) configuration(definition *shape.ResourceConfigurationDefinition, ports ...string) *lattice.ResourceConfiguration {
	return &lattice.ResourceConfiguration{Base: w.base(databaseID), Type: shape.ResourceConfigurationTypeSingle, ResourceGatewayID: "rgw-1",
		PortRanges: ports, Definition: definition, CustomDomainName: "DB.example.com"}
}

func (w *world) resourceAssociation() *lattice.ServiceNetworkResourceAssociation {
	return &lattice.ServiceNetworkResourceAssociation{Base: w.base("snra-1"), ServiceNetworkID: networkID, ResourceConfigurationID: databaseID,
		DomainName: "snra-1." + databaseID + ".lattice.test", PrivateDNSEnabled: true, AddressNumber: 1,
		EndpointAddressNumbers: map[string]uint32{"vpce-0123456789abcdef0": 2}}
}

func ipResource(address string) *shape.ResourceConfigurationDefinition {
	return &shape.ResourceConfigurationDefinition{IpResource: &shape.IpResource{IpAddress: &address}}
}

// enter returns how a client comes in to a port of the resource at an address: its VPC, or why it does not.
func (w *world) enter(address, client string, port int) string {
	resource, ok := w.Resource(netip.MustParseAddr(address))
	if !ok {
		return "none"
	}
	source, err := resource.Route().Enter(w.OriginOf(netip.MustParseAddr(client)), port)
	if err != nil {
		return err.Error()
	}
	return source.VpcID
}

func TestResourcesAreEnteredFromTheirVPCs(t *testing.T) {
	w := newResourceWorld(t)
	vpc := w.vpcAssociation(networkID, "vpc-0123456789abcdef0")
	vpc.SecurityGroupIDs = []string{"sg-0123456789abcdef0"}
	w.put(w.network(networkID), vpc, w.gateway(), w.configuration(ipResource("10.9.1.7"), "5432"), w.resourceAssociation(),
		&lattice.ResourceEndpointAssociation{Base: w.base("rea-1"), ResourceConfigurationID: databaseID, VpcEndpointID: "vpce-0123456789abcdef1", AddressNumber: 3})
	if got := w.enter("127.91.0.1", "192.0.2.1", 5432); got != "vpc-0123456789abcdef0" {
		t.Errorf("without an inventory a client comes from %q", got)
	}
	w.useInventory(parseInventory(t, inventoryOfResources(t)))
	for _, test := range []struct{ address, client, want string }{
		{"127.91.0.1", "10.1.1.9", "vpc-0123456789abcdef0"},
		{"fd7e::1", "10.1.1.9", "vpc-0123456789abcdef0"},
		{"127.91.0.1", "10.1.2.9", "security groups keep the client out: of " + vpc.ID + " no rule of sg-0123456789abcdef0 admits 10.1.2.9 to port 5432"},
		{"127.91.0.1", "10.2.0.9", "the client's address 10.2.0.9 is in vpc-0123456789abcdef1, which is not associated with the service network arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/" + networkID},
		{"127.91.0.1", "192.0.2.1", "the client's address 192.0.2.1 is in no VPC of the inventory"},
		{"127.91.0.2", "10.2.0.9", "vpc-0123456789abcdef1"},
		{"127.91.0.2", "10.1.1.9", "the client's address 10.1.1.9 is in vpc-0123456789abcdef0, and the endpoint vpce-0123456789abcdef0 is in another VPC"},
		{"127.91.0.3", "10.3.0.9", "vpc-0123456789abcdef2"},
		{"127.91.0.3", "10.1.1.9", "the client's address 10.1.1.9 is in vpc-0123456789abcdef0, and the endpoint vpce-0123456789abcdef1 is in another VPC"},
		{"127.91.0.4", "10.1.1.9", "none"},
	} {
		if got := w.enter(test.address, test.client, 5432); got != test.want {
			t.Errorf("%s from %s: %q, want %q", test.address, test.client, got, test.want)
		}
	}
}

func TestChildIsEnteredThroughTheEndpointOfItsGroup(t *testing.T) {
	w := newResourceWorld(t)
	child := w.configuration(ipResource("10.9.1.7"), "5432")
	child.ID, child.Type, child.GroupID = "rcfg-0123456789abcdeff", shape.ResourceConfigurationTypeChild, databaseID
	group := w.configuration(nil, "5432")
	group.Type = shape.ResourceConfigurationTypeGroup
	w.put(w.gateway(), group, child,
		&lattice.ResourceEndpointAssociation{Base: w.base("rea-1"), ResourceConfigurationID: databaseID, VpcEndpointID: "vpce-0123456789abcdef1"},
		&lattice.ResourceEndpointAssociation{Base: w.base("rea-2"), ResourceConfigurationID: child.ID, VpcEndpointID: "vpce-0123456789abcdef1", AddressNumber: 3})
	w.useInventory(parseInventory(t, inventoryOfResources(t)))
	if got := w.enter("127.91.0.3", "10.3.0.9", 5432); got != "vpc-0123456789abcdef2" {
		t.Errorf("from the VPC of the endpoint: %q", got)
	}
	const name = "vpce-0123456789abcdef1.rcfg-0123456789abcdeff.4232ccc.vpc-lattice-rsc.us-west-2.lattice.test"
	if addresses, ok := w.ResourceName(name, netip.MustParseAddr("10.3.0.9")); !ok || addresses[0] != netip.MustParseAddr("127.91.0.3") {
		t.Errorf("%s is %v; the names are %v", name, addresses, w.ResourceNames())
	}
}

func TestSecurityGroupsOfAGatewayFilterItsTargets(t *testing.T) {
	w := newResourceWorld(t)
	w.useInventory(parseInventory(t, inventoryOfResources(t)))
	w.put(w.network(networkID), w.configuration(ipResource("10.9.1.7"), "1-65535"), w.resourceAssociation())
	leave := func(groups []string, target string) string {
		w.put(w.gateway(groups...))
		resource, _ := w.Resource(netip.MustParseAddr("127.91.0.1"))
		if err := resource.Route().Leave(netip.MustParseAddrPort(target)); err != nil {
			return err.Error()
		}
		return ""
	}
	for _, test := range []struct {
		groups       []string
		target, want string
	}{
		{nil, "10.8.1.7:80", ""},
		{[]string{"sg-0123456789abcdef1"}, "10.9.1.7:5432", ""},
		{[]string{"sg-0123456789abcdef1"}, "10.9.1.7:80", "security groups of the resource gateway rgw-1 keep it from the target: no rule of sg-0123456789abcdef1 admits 10.9.1.7 to port 80"},
		{[]string{"sg-0123456789abcdef1", "sg-0123456789abcdef2"}, "10.9.1.7:80", ""}, // The second one has no rules of egress.
		{[]string{"sg-0123456789abcdef7"}, "10.9.1.7:80", "security groups of the resource gateway rgw-1 keep it from the target: no rule of sg-0123456789abcdef7 admits 10.9.1.7 to port 80; the inventory has no security group sg-0123456789abcdef7"},
	} {
		if got := leave(test.groups, test.target); got != test.want {
			t.Errorf("%v to %s: %q, want %q", test.groups, test.target, got, test.want)
		}
	}
}

func TestTargetOfAResourceFollowsItsDefinition(t *testing.T) {
	w := newResourceWorld(t)
	w.useInventory(parseInventory(t, inventoryOfResources(t)))
	text := func(s string) *string { return &s }
	gateway := w.gateway()
	w.put(w.network(networkID), gateway, w.resourceAssociation())
	target := func(c *lattice.ResourceConfiguration) (ResourceTarget, []lattice.PortRange) {
		w.put(c)
		resource, _ := w.Resource(netip.MustParseAddr("127.91.0.1"))
		return resource.Route().Target, resource.Route().Ports
	}
	if got, ports := target(w.configuration(ipResource("10.9.1.8"), "80", "22-30", "31")); got.Address.String() != "10.9.1.8" || !slices.Equal(ports, []lattice.PortRange{{From: 22, To: 31}, {From: 80, To: 80}}) {
		t.Errorf("an address: %+v, ports %v", got, ports)
	}
	name := &shape.ResourceConfigurationDefinition{DnsResource: &shape.DnsResource{DomainName: text("Db.Test")}}
	if got, _ := target(w.configuration(name, "80")); got.Name != "db.test" || got.Family != "ip4" || got.Servers != nil {
		t.Errorf("a name: %+v", got)
	}
	inVPC := *gateway
	inVPC.DNSResolution = shape.ResourceConfigDnsResolutionInVpc
	w.put(&inVPC)
	if got, _ := target(w.configuration(name, "80")); !slices.Equal(got.Servers, []netip.AddrPort{netip.MustParseAddrPort("10.9.0.2:53"), netip.MustParseAddrPort("10.9.0.3:5353")}) {
		t.Errorf("a name that is resolved in the VPC: %+v", got)
	}
	known := &shape.ResourceConfigurationDefinition{DnsResource: &shape.DnsResource{DomainName: text("orders.rds.test")}}
	if got, _ := target(w.configuration(known, "80")); got.Address.String() != "10.9.1.7" {
		t.Errorf("the name of a database of the inventory: %+v", got)
	}
	arn := w.configuration(&shape.ResourceConfigurationDefinition{ArnResource: &shape.ArnResource{Arn: text("arn:aws:rds:us-west-2:123456789012:db:orders")}})
	arn.Type, arn.CustomDomainName = shape.ResourceConfigurationTypeArn, ""
	if got, ports := target(arn); got.Address.String() != "10.9.1.7" || !slices.Equal(ports, []lattice.PortRange{{From: 5432, To: 5432}}) {
		t.Errorf("a database: %+v, ports %v", got, ports)
	}
	arn.Definition = &shape.ResourceConfigurationDefinition{ArnResource: &shape.ArnResource{Arn: text("arn:aws:rds:us-west-2:123456789012:db:others")}}
	if got, _ := target(arn); got.Problem != "the inventory lists no database with the ARN arn:aws:rds:us-west-2:123456789012:db:others" {
		t.Errorf("a database that is not in the inventory: %+v", got)
	}
}

func TestResourceIsGoneWithWhatItIsMadeOf(t *testing.T) {
	for name, records := range map[string]func(w *world) lattice.Record{
		"network":       func(w *world) lattice.Record { return w.records[lattice.ServiceNetworkKey(scope, networkID)] },
		"gateway":       func(w *world) lattice.Record { return w.records[lattice.ResourceGatewayKey(scope, "rgw-1")] },
		"configuration": func(w *world) lattice.Record { return w.records[lattice.ResourceConfigurationKey(scope, databaseID)] },
		"association": func(w *world) lattice.Record {
			return w.records[lattice.ServiceNetworkResourceAssociationKey(scope, "snra-1")]
		},
	} {
		w := newResourceWorld(t)
		w.put(w.network(networkID), w.gateway(), w.configuration(ipResource("10.9.1.8"), "80"), w.resourceAssociation())
		resource, ok := w.Resource(netip.MustParseAddr("127.91.0.1"))
		if !ok {
			t.Fatal("there is no resource")
		}
		record := records(w)
		w.delete(record)
		select {
		case <-resource.Gone:
		default:
			t.Errorf("without its %s it is still there", name)
		}
		if _, ok := w.Resource(netip.MustParseAddr("127.91.0.1")); ok || len(w.ResourceNames()) != 0 {
			t.Errorf("without its %s it is still found", name)
		}
		w.put(record)
		if _, ok := w.Resource(netip.MustParseAddr("127.91.0.1")); !ok {
			t.Errorf("with its %s again it is not found", name)
		}
	}
}

func TestNamesOfResourcesAreSeenWhereTheyLead(t *testing.T) {
	w := newResourceWorld(t)
	w.useInventory(parseInventory(t, inventoryOfResources(t)))
	association := w.resourceAssociation()
	vpc := w.vpcAssociation(networkID, "vpc-0123456789abcdef0")
	w.put(w.network(networkID), vpc, w.gateway(), w.configuration(ipResource("10.9.1.7"), "5432"), association,
		&lattice.ResourceEndpointAssociation{Base: w.base("rea-1"), ResourceConfigurationID: databaseID, VpcEndpointID: "vpce-0123456789abcdef1", AddressNumber: 3})
	const (
		generated = "snra-1." + databaseID + ".lattice.test"
		through   = "vpce-0123456789abcdef0-snra-1." + databaseID + ".4232ccc.vpc-lattice-rsc.us-west-2.lattice.test"
		itself    = "vpce-0123456789abcdef1." + databaseID + ".4232ccc.vpc-lattice-rsc.us-west-2.lattice.test"
		private   = "db.example.com"
	)
	expect := func(when, name, client, want string) {
		t.Helper()
		got := ""
		if addresses, ok := w.ResourceName(name, netip.MustParseAddr(client)); ok {
			got = addresses[0].String()
		}
		if got != want {
			t.Errorf("%s, %s from %s is %q, want %q", when, name, client, got, want)
		}
	}
	expect("associated", generated, "10.1.0.1", "127.91.0.1")
	expect("with an endpoint only", generated, "10.2.0.1", "")
	expect("in no VPC", generated, "192.0.2.1", "")
	expect("anywhere", through, "192.0.2.1", "127.91.0.2")
	expect("anywhere", itself, "10.1.0.1", "127.91.0.3")
	expect("an endpoint with private DNS, unverified", private, "10.2.0.1", "")
	expect("an endpoint without private DNS", private, "10.3.0.1", "")
	expect("an association without private DNS", private, "10.1.0.1", "")

	enabled := true
	options := func(preference shape.PrivateDnsPreference, domains ...string) {
		changed := *vpc
		changed.PrivateDNSEnabled, changed.DNSOptions = &enabled, &shape.DnsOptions{PrivateDnsPreference: preference, PrivateDnsSpecifiedDomains: domains}
		w.put(&changed)
	}
	options("")
	expect("unverified", private, "10.1.0.1", "")
	options(shape.PrivateDnsPreferenceAllDomains)
	expect("all domains", private, "10.1.0.1", "127.91.0.1")
	expect("from another VPC", private, "10.3.0.1", "")
	options(shape.PrivateDnsPreferenceSpecifiedDomainsOnly, "example.org", "EXAMPLE.com")
	expect("specified", private, "10.1.0.1", "127.91.0.1")
	options(shape.PrivateDnsPreferenceSpecifiedDomainsOnly, "example.org")
	expect("not specified", private, "10.1.0.1", "")

	verified := w.configuration(ipResource("10.9.1.7"), "5432")
	verified.DomainVerificationID = "dv-1"
	w.put(verified, &lattice.DomainVerification{Base: w.base("dv-1"), DomainName: "example.com", VerifiedAt: time.Unix(1, 0)})
	options(shape.PrivateDnsPreferenceVerifiedDomainsAndSpecifiedDomains, "example.org")
	expect("verified", private, "10.1.0.1", "127.91.0.1")
	expect("an endpoint with private DNS, verified", private, "10.2.0.1", "127.91.0.2")

	off := *association
	off.PrivateDNSEnabled = false
	w.put(&off)
	expect("without private DNS of the resource's association", private, "10.1.0.1", "")
}

func TestPrivateNameIsNotSeenWhereItHidesTheResourceItself(t *testing.T) {
	w := newResourceWorld(t)
	w.useInventory(parseInventory(t, inventoryOfResources(t)))
	enabled := true
	vpc := w.vpcAssociation(networkID, "vpc-0123456789abcdef9") // That of the gateway.
	vpc.PrivateDNSEnabled, vpc.DNSOptions = &enabled, &shape.DnsOptions{PrivateDnsPreference: shape.PrivateDnsPreferenceAllDomains}
	gateway := w.gateway()
	gateway.DNSResolution = shape.ResourceConfigDnsResolutionInVpc
	w.put(w.network(networkID), vpc, gateway, w.resourceAssociation())
	for target, want := range map[string]bool{"db.example.com": false, "primary.db.example.com": false, "db.example.org": true} {
		w.put(w.configuration(&shape.ResourceConfigurationDefinition{DnsResource: &shape.DnsResource{DomainName: &target}}, "80"))
		if _, got := w.ResourceName("db.example.com", netip.MustParseAddr("10.9.0.1")); got != want {
			t.Errorf("a resource at %s: the private name is seen: %t, want %t", target, got, want)
		}
	}
	// AWS's zone of a group has the domain of the group, and so hides more.
	group := w.configuration(nil, "80")
	group.ID, group.Type, group.CustomDomainName, group.GroupDomain = "rcfg-0123456789abcdef2", shape.ResourceConfigurationTypeGroup, "", "Example.com"
	for target, want := range map[string]bool{"primary.example.com": false, "primary.example.org": true} {
		child := w.configuration(&shape.ResourceConfigurationDefinition{DnsResource: &shape.DnsResource{DomainName: &target}}, "80")
		child.Type, child.GroupID = shape.ResourceConfigurationTypeChild, group.ID
		w.put(group, child)
		if _, got := w.ResourceName("db.example.com", netip.MustParseAddr("10.9.0.1")); got != want {
			t.Errorf("a child at %s: the private name is seen: %t, want %t", target, got, want)
		}
	}
}

// As in a VPC with a private hosted zone, which no other zone of that name can join.
func TestPrivateNameLeadsToOneResourceByOneWay(t *testing.T) {
	const (
		inventory = `
vpcs:
  - {id: vpc-0123456789abcdef0, cidrs: [10.1.0.0/16]}
vpcEndpoints:
  - {id: vpce-0123456789abcdef0, vpc: vpc-0123456789abcdef0, type: ServiceNetwork, serviceNetwork: sn-0123456789abcdef3, privateDnsEnabled: true, privateDnsPreference: ALL_DOMAINS}
  - {id: vpce-0123456789abcdef1, vpc: vpc-0123456789abcdef0, type: Resource, resourceConfiguration: rcfg-0123456789abcdef0, privateDnsEnabled: true, privateDnsPreference: ALL_DOMAINS}
`
		association, networkEndpoint, resourceEndpoint, ofAnother = "127.91.0.1", "127.91.0.2", "127.91.0.3", "127.91.0.4"
	)
	w := newResourceWorld(t)
	w.useInventory(parseInventory(t, inventory))
	enabled := true
	vpc := w.vpcAssociation(networkID, "vpc-0123456789abcdef0")
	vpc.PrivateDNSEnabled, vpc.DNSOptions = &enabled, &shape.DnsOptions{PrivateDnsPreference: shape.PrivateDnsPreferenceAllDomains}
	first := w.resourceAssociation()
	endpoint := &lattice.ResourceEndpointAssociation{Base: w.base("rea-1"), ResourceConfigurationID: databaseID, VpcEndpointID: "vpce-0123456789abcdef1", AddressNumber: 3}
	another := w.configuration(ipResource("10.9.1.8"), "5432")
	another.ID = "rcfg-0123456789abcdef1"
	second := w.resourceAssociation()
	second.ID, second.ResourceConfigurationID, second.AddressNumber = "snra-2", another.ID, 4
	second.DomainName, second.EndpointAddressNumbers = "snra-2."+another.ID+".lattice.test", nil
	w.put(w.network(networkID), w.gateway(), w.configuration(ipResource("10.9.1.7"), "5432"), another)
	expect := func(when, want string) {
		t.Helper()
		addresses, _ := w.ResourceName("db.example.com", netip.MustParseAddr("10.1.0.1"))
		if len(addresses) != 2 || addresses[0].String() != want { // one of IPv4 and one of IPv6
			t.Errorf("%s, the private name leads to %v, want %s", when, addresses, want)
		}
	}
	w.put(endpoint)
	expect("with an endpoint of the resource", resourceEndpoint)
	w.put(first)
	expect("with an endpoint of the service network, whose id comes first", networkEndpoint)
	w.put(vpc)
	expect("with an association of the VPC", association)
	w.put(second)
	expect("with another resource that has the name", association)
	w.delete(first)
	expect("when the first resource has left the service network", ofAnother)
}
