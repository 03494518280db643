//go:build !race

package routing

import "testing"

func TestRoutingARequestAllocatesNothing(t *testing.T) {
	w, request := tenRules(t)
	port := w.Ports()[0]
	for _, test := range []struct {
		name string
		do   func()
	}{
		{"all of it", func() {
			port.Lookup([]byte("svc-1.lattice.test:80")).Route(request).Choose().TargetGroup.Next()
		}},
		{"a host in another case", func() { port.Lookup([]byte("SVC-1.Lattice.Test.")) }},
		{"a host that is unknown", func() { port.Lookup([]byte("UNKNOWN.lattice.test")) }},
		{"an address as a host", func() { port.Lookup([]byte("[::1]:80")) }},
		{"the default rule", func() { port.Lookup([]byte("svc-1.lattice.test")).Route(&Request{}).Choose() }},
	} {
		if n := testing.AllocsPerRun(100, test.do); n != 0 {
			t.Errorf("%s allocates %v times", test.name, n)
		}
	}
}
