package routing

import (
	"net/netip"
	"slices"
	"testing"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

func TestServiceKnowsTheAccessLogsOfItselfAndOfItsNetwork(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	subscription := func(id, resource string, logType shape.ServiceNetworkLogType) *lattice.AccessLogSubscription {
		return &lattice.AccessLogSubscription{Base: w.base(id), ResourceID: resource, LogType: logType}
	}
	expect := func(when string, want ...string) {
		t.Helper()
		var got []string
		for _, s := range w.lookup(80, "svc-1.lattice.test").AccessLogs() {
			got = append(got, s.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, the access logs are %v, want %v", when, got, want)
		}
	}
	expect("at first")
	own := subscription("als-own", "svc-1", "")
	w.put(own)
	expect("with a subscription of the service", "als-own")
	network := subscription("als-network", "sn-1", shape.ServiceNetworkLogTypeService)
	w.put(network, subscription("als-resources", "sn-1", shape.ServiceNetworkLogTypeResource), subscription("als-other", "sn-2", ""))
	expect("with subscriptions of the network", "als-own", "als-network")
	w.delete(own)
	expect("without that of the service", "als-network")
	w.delete(network)
	expect("without both")
}

func TestResourceKnowsTheAccessLogsOfItselfAndOfItsNetwork(t *testing.T) {
	w := newResourceWorld(t)
	w.put(w.network(networkID), w.gateway(), w.configuration(ipResource("10.9.1.7"), "5432"), w.resourceAssociation(),
		&lattice.ResourceEndpointAssociation{Base: w.base("rea-1"), ResourceConfigurationID: databaseID, VpcEndpointID: "vpce-0123456789abcdef1", AddressNumber: 3})
	w.useInventory(parseInventory(t, inventoryOfResources(t)))
	subscription := func(id, resource string, logType shape.ServiceNetworkLogType) *lattice.AccessLogSubscription {
		return &lattice.AccessLogSubscription{Base: w.base(id), ResourceID: resource, LogType: logType}
	}
	expect := func(when, address string, want ...string) {
		t.Helper()
		resource, ok := w.Resource(netip.MustParseAddr(address))
		if !ok {
			t.Fatalf("%s is no resource", address)
		}
		var got []string
		for _, s := range resource.Route().AccessLogs() {
			got = append(got, s.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, the access logs at %s are %v, want %v", when, address, got, want)
		}
	}
	const associated, throughNetworkEndpoint, ownEndpoint = "127.91.0.1", "127.91.0.2", "127.91.0.3"
	expect("at first", associated)
	own, network := subscription("als-own", databaseID, ""), subscription("als-network", networkID, shape.ServiceNetworkLogTypeResource)
	w.put(own, network, subscription("als-services", networkID, shape.ServiceNetworkLogTypeService), subscription("als-other", "rcfg-other", ""))
	expect("with subscriptions", associated, "als-own", "als-network")
	expect("with subscriptions", throughNetworkEndpoint, "als-own", "als-network")
	expect("with subscriptions", ownEndpoint, "als-own")
	w.delete(own)
	expect("without that of the configuration", associated, "als-network")
	w.delete(network)
	expect("without both", associated)
	if n := len(w.model.resources.logs); n != 1 { // That of the other one.
		t.Errorf("%d resources have subscriptions", n)
	}
}
