package routing

import (
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
