//go:build !race

package routing

import (
	"testing"

	"trellis/internal/shape"
)

func TestAuthorizingARequestAllocatesNothing(t *testing.T) {
	w, _, _ := guardedWorld(t, shape.AuthTypeAwsIam, shape.AuthTypeAwsIam, shape.ListenerProtocolHttp)
	const condition = `,"Condition":{"StringLike":{"vpc-lattice-svcs:RequestHeader/x-env":"p*"},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`
	w.put(w.authPolicy("svc-1", "Allow", condition), w.authPolicy("sn-1", "Allow", condition))
	service, arrival := asked(w), getArrival("/a")
	arrival.Request.Headers = headerLines{{[]byte("x-env"), []byte("prod")}}
	if n := testing.AllocsPerRun(100, func() {
		if !service.Authorize(arrival).Allowed() {
			t.Fatal("the request is denied")
		}
	}); n != 0 {
		t.Errorf("authorizing a request allocates %v times", n)
	}
}

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
