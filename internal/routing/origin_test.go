package routing

import (
	"net/netip"
	"strings"
	"testing"

	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

const (
	vpcA      = "vpc-0123456789abcdef0"
	vpcB      = "vpc-0123456789abcdef1"
	groupWeb  = "sg-0123456789abcdef0"
	groupNone = "sg-0123456789abcdef1"
)

// twoVPCs is an inventory of two VPCs, of which the second has an endpoint into the network sn-0123456789abcdef3.
const twoVPCs = `
vpcs:
  - {id: vpc-0123456789abcdef0, cidrs: [10.1.0.0/16]}
  - {id: vpc-0123456789abcdef1, cidrs: [10.2.0.0/16]}
securityGroups:
  - id: sg-0123456789abcdef0
    ingress:
      - {ports: 80, cidrs: [10.1.1.0/24]}
      - {ports: 8000-8999, securityGroups: [sg-0123456789abcdef1]}
  - {id: sg-0123456789abcdef1}
instances:
  - {id: i-0123456789abcdef0, address: 10.1.7.7, vpc: vpc-0123456789abcdef0, securityGroups: [sg-0123456789abcdef1]}
vpcEndpoints:
  - id: vpce-0123456789abcdef0
    vpc: vpc-0123456789abcdef1
    owner: "444455556666"
    type: ServiceNetwork
    serviceNetwork: sn-0123456789abcdef3
`

func parseInventory(t testing.TB, text string) *inventory.Snapshot {
	t.Helper()
	snapshot, err := inventory.Parse([]byte(text), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// useInventory has the router take another inventory.
func (w *world) useInventory(snapshot *inventory.Snapshot) {
	w.cfg.Inventory = func() *inventory.Snapshot { return snapshot }
	w.InventoryChanged()
}

// reachedFrom returns the network through which a client reaches the service on port 80, or why it does not.
func (w *world) reachedFrom(client string) string {
	service := w.lookup(80, "svc-1.lattice.test")
	origin := w.Ports()[0].Origin(netip.MustParseAddr(client))
	reached, source := service.From(origin)
	if reached == nil {
		return service.Unreachable(origin)
	}
	_, network, _ := strings.Cut(reached.NetworkARN, "/")
	return network + " " + source.VpcID + " " + source.Account
}

func TestAServiceIsReachedThroughTheNetworkOfTheClientsVPC(t *testing.T) {
	w := newWorld(t)
	w.put(w.network("sn-1"), w.network("sn-2"), w.network("sn-0123456789abcdef3"), w.network("sn-4"), w.service("svc-1"),
		w.association("svc-1", "sn-1"), w.association("svc-1", "sn-2"), w.association("svc-1", "sn-0123456789abcdef3"),
		w.listener("svc-1", "listener-1", shape.ListenerProtocolHttp, 80), w.defaultRule("svc-1", "listener-1", fixed(404)))
	expect := func(when, client, want string) {
		t.Helper()
		if got := w.reachedFrom(client); got != want {
			t.Errorf("%s, %s: %q, want %q", when, client, got, want)
		}
	}
	const ownerA = " " + vpcA + " 111122223333"
	expect("without VPCs in the inventory", "192.0.2.1", "sn-1  ")
	w.useInventory(parseInventory(t, twoVPCs))
	expect("in no VPC", "192.0.2.1", "the client's address 192.0.2.1 is in no VPC of the inventory")
	const unassociated = "the client's address 10.1.2.3 is in " + vpcA + ", which is not associated with a service network that has the service, and has no endpoint into one"
	expect("in a VPC without a network", "10.1.2.3", unassociated)
	expect("in a VPC with an endpoint", "10.2.2.3", "sn-0123456789abcdef3 "+vpcB+" 444455556666")

	association := w.vpcAssociation("sn-2", vpcA)
	w.put(association)
	expect("in a VPC that is associated", "10.1.2.3", "sn-2"+ownerA)
	expect("by an address of IPv4 in IPv6", "::ffff:10.1.2.3", "sn-2"+ownerA)
	other := w.vpcAssociation("sn-4", vpcB)
	w.put(other)
	expect("with an association that does not help", "10.2.2.3", "sn-0123456789abcdef3 "+vpcB+" 444455556666")
	w.put(w.association("svc-1", "sn-4"))
	expect("with an association beside the endpoint", "10.2.2.3", "sn-4 "+vpcB+" 111122223333")

	// An open connection follows changes.
	origin := w.Ports()[0].Origin(netip.MustParseAddr("10.1.2.3"))
	w.delete(association)
	if reached, _ := w.lookup(80, "svc-1.lattice.test").From(origin); reached != nil {
		t.Errorf("the VPC reaches the service without an association, through %s", reached.NetworkARN)
	}
	expect("without its association", "10.1.2.3", unassociated)
	w.put(w.vpcAssociation("sn-1", vpcA))
	if reached, _ := w.lookup(80, "svc-1.lattice.test").From(origin); reached == nil {
		t.Error("the VPC does not reach the service by its new association")
	}
	w.useInventory(nil)
	expect("without the inventory", "192.0.2.1", "sn-1"+ownerA)
	if len(w.model.vpcs) != 2 {
		t.Errorf("%d VPCs are known; two are associated", len(w.model.vpcs))
	}
	w.delete(w.records[lattice.ServiceNetworkVpcAssociationKey(scope, "snva-"+vpcA)], other)
	if len(w.model.vpcs) != 0 {
		t.Errorf("%d VPCs are known, which nothing refers to", len(w.model.vpcs))
	}
}

func TestSecurityGroupsKeepClientsOut(t *testing.T) {
	w := newWorld(t)
	association := w.vpcAssociation("sn-1", vpcA)
	association.SecurityGroupIDs = []string{groupWeb}
	w.put(w.network("sn-1"), w.service("svc-1"), w.association("svc-1", "sn-1"), association,
		w.listener("svc-1", "listener-1", shape.ListenerProtocolHttp, 80), w.defaultRule("svc-1", "listener-1", fixed(404)))
	w.useInventory(parseInventory(t, twoVPCs))
	const in = "sn-1 " + vpcA + " 111122223333"
	for client, want := range map[string]string{
		"10.1.1.9": in,
		"10.1.2.9": "security groups keep the client out: of snva-" + vpcA + " no rule of " + groupWeb + " admits 10.1.2.9 to port 80",
		"10.1.7.7": "security groups keep the client out: of snva-" + vpcA + " no rule of " + groupWeb + " admits 10.1.7.7 to port 80",
	} {
		if got := w.reachedFrom(client); got != want {
			t.Errorf("%s: %q, want %q", client, got, want)
		}
	}
	changed := *association
	changed.SecurityGroupIDs = []string{"sg-00000000"}
	w.put(&changed)
	if got := w.reachedFrom("10.1.1.9"); !strings.HasSuffix(got, "the inventory has no security group sg-00000000") {
		t.Errorf("a group that is not in the inventory: %q", got)
	}
	w.useInventory(parseInventory(t, "vpcs: [{id: vpc-0123456789abcdef0, cidrs: [10.1.0.0/16]}]"))
	if got := w.reachedFrom("10.1.2.9"); got != in {
		t.Errorf("without security groups in the inventory: %q", got)
	}
}

func TestAdmissionLooksAtNetworksGroupsAndPorts(t *testing.T) {
	snapshot := parseInventory(t, twoVPCs)
	for _, tc := range []struct {
		groups []string
		client string
		port   int
		want   bool
	}{
		{nil, "192.0.2.1", 443, true},
		{[]string{groupWeb}, "10.1.1.255", 80, true},
		{[]string{groupWeb}, "::ffff:10.1.1.255", 80, true},
		{[]string{groupWeb}, "10.1.1.255", 81, false},
		{[]string{groupWeb}, "10.1.2.0", 80, false},
		{[]string{groupWeb}, "10.1.7.7", 8000, true},
		{[]string{groupWeb}, "10.1.7.7", 8999, true},
		{[]string{groupWeb}, "10.1.7.7", 9000, false},
		{[]string{groupWeb}, "10.1.7.8", 8000, false},
		{[]string{groupNone}, "10.1.1.1", 80, false},
		{[]string{groupNone, groupWeb}, "10.1.1.1", 80, true},
		{[]string{"sg-00000000"}, "10.1.1.1", 80, false},
	} {
		if got := newIngress(snapshot, tc.groups).Admits(netip.MustParseAddr(tc.client), tc.port); got != tc.want {
			t.Errorf("%v admit %s to port %d: %t, want %t", tc.groups, tc.client, tc.port, got, tc.want)
		}
	}
	if !newIngress(nil, []string{groupWeb}).Admits(netip.MustParseAddr("192.0.2.1"), 80) {
		t.Error("a group filters although there are none in the inventory")
	}
}
