package routing

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

func TestHostLeadsToTheServiceThatHasTheName(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	long := w.service("svc-2")
	long.DomainName = strings.Repeat("a", maxHostBytes)
	endless := w.service("svc-3")
	endless.DomainName = strings.Repeat("b", maxHostBytes+1)
	literal := w.service("svc-4")
	literal.DomainName = "[2001:db8::1]"
	for _, s := range []*lattice.Service{long, endless, literal} {
		w.put(s, w.association(s.ID, "sn-1"), w.listener(s.ID, "listener-"+s.ID, shape.ListenerProtocolHttp, 80))
	}
	for _, test := range []struct{ host, want string }{
		{"svc-1.lattice.test", "svc-1"},
		{"SVC-1.Lattice.TEST", "svc-1"},
		{"svc-1.lattice.test:80", "svc-1"},
		{"svc-1.lattice.test:8080", "svc-1"},
		{"svc-1.lattice.test:", "svc-1"},
		{"svc-1.lattice.test.", "svc-1"},
		{"Svc-1.lattice.test.:65535", "svc-1"},
		{"svc-1.lattice.test..", ""},
		{"svc-1.lattice.test:http", ""},
		{"svc-1.lattice.test:123456", ""},
		{"svc-1.lattice.test:80:80", ""},
		{"svc-1.lattice.test:-1", ""},
		{" svc-1.lattice.test", ""},
		{"svc-1.lattice.tes", ""},
		{"x.svc-1.lattice.test", ""},
		{"", ""},
		{".", ""},
		{":", ""},
		{":80", ""},
		{"[", ""},
		{"[]", ""},
		{"[::1", ""},
		{"[::1]x", ""},
		{"2001:db8::1", ""},
		{"[2001:db8::1]", "svc-4"},
		{"[2001:DB8::1]:80", "svc-4"},
		{"[2001:db8::1]80", ""},
		{long.DomainName, "svc-2"},
		{strings.ToUpper(long.DomainName) + ".:65535", "svc-2"},
		{long.DomainName + "a", ""},
		{endless.DomainName, ""},
		{strings.Repeat("a", 1<<16), ""},
		{strings.Repeat("A", 1<<16), ""},
	} {
		got := ""
		if s := w.lookup(80, test.host); s != nil {
			got = s.ID
		}
		if got != test.want {
			t.Errorf("host %.60q leads to %q, want %q", test.host, got, test.want)
		}
	}
}

func FuzzHostName(f *testing.F) {
	for _, seed := range []string{"", "a", "A.b:80", "[::1]:80", "[::1", "a.:", "::1", "a:b"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, host []byte) {
		name := hostName(host)
		if !strings.HasPrefix(string(host), string(name)) {
			t.Fatalf("%q is not the beginning of %q", name, host)
		}
		if again := hostName(name); len(name) > 0 && !strings.HasSuffix(string(name), ".") && string(again) != string(name) {
			t.Fatalf("%q has the name %q, which has the name %q", host, name, again)
		}
		newPort(80, &origins{}).Lookup(host)
	})
}

func TestServiceAnswersOnlyInsideAServiceNetwork(t *testing.T) {
	w := newWorld(t)
	network, service, association := w.network("sn-1"), w.service("svc-1"), w.association("svc-1", "sn-1")
	listener, rule := w.listener("svc-1", "listener-1", shape.ListenerProtocolHttp, 80), w.defaultRule("svc-1", "listener-1", fixed(404))
	answers := func() bool { return w.lookup(80, "svc-1.lattice.test") != nil }
	expect := func(when string, want bool) {
		t.Helper()
		if answers() != want {
			t.Errorf("%s, the service answers: %v, want %v", when, !want, want)
		}
		if want != (len(w.Ports()) == 1) {
			t.Errorf("%s there are %d ports", when, len(w.Ports()))
		}
	}
	w.put(service, listener, rule)
	expect("without an association", false)
	w.put(association)
	expect("with an association but without its network", false)
	w.put(network)
	expect("with all", true)

	leaving := *association
	leaving.Lifecycle.Phase = lattice.PhaseDelete
	w.put(&leaving)
	expect("while the association is being deleted", false)
	leaving2 := leaving
	leaving2.Lifecycle.FailureCode = "Internal"
	w.put(&leaving2)
	expect("after its deletion failed", true)
	w.delete(association)
	expect("after the association was deleted", false)

	failing := *association
	failing.Lifecycle = lattice.Lifecycle{Phase: lattice.PhaseCreate, FailureCode: "Internal"}
	w.put(&failing)
	expect("with an association that could not be created", false)
	starting := *association
	starting.Lifecycle = lattice.Lifecycle{Phase: lattice.PhaseCreate, Until: time.Unix(1<<40, 0)}
	w.put(&starting)
	expect("while the association is being created", true)

	w.delete(network)
	expect("without the network", false)
	w.put(network)
	expect("with the network again", true)
	dying := *service
	dying.Lifecycle.Phase = lattice.PhaseDelete
	w.put(&dying)
	expect("while the service is being deleted", false)
	w.put(service)
	expect("with the service again", true)
	w.delete(listener)
	expect("without a listener", false)
	w.put(listener)
	expect("with the listener again", true)
}

func TestListenerOfAnUnknownProtocolIsLoggedAndNotServed(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	w.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	w.put(w.network("sn-1"), w.service("svc-1"), w.association("svc-1", "sn-1"), w.targetGroup("tg-1"),
		w.listener("svc-1", "listener-1", "QUIC", 80), w.defaultRule("svc-1", "listener-1", forwardTo("tg-1")))
	if len(w.Ports()) != 0 {
		t.Errorf("%d ports are bound", len(w.Ports()))
	}
	if use := w.put(w.plus(target("tg-1", 1))); len(use) != 0 {
		t.Errorf("its target group is in use: %v", use)
	}
	if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "QUIC") || !strings.Contains(got, "listener/listener-1") {
		t.Errorf("the log does not tell of it:\n%s", got)
	}
	if use := w.put(w.listener("svc-1", "listener-1", shape.ListenerProtocolHttp, 80)); len(use) != 1 || !use[0].InUse {
		t.Errorf("with a known protocol, its target group is not in use: %v", use)
	}
	w.put(w.listener("svc-1", "listener-2", "QUIC", 80))
	port := w.Ports()[0]
	if !port.Serves(shape.ListenerProtocolHttp) || port.Serves("QUIC") || port.Serves("") {
		t.Error("the port does not serve HTTP alone")
	}
	w.delete(w.listener("svc-1", "listener-1", shape.ListenerProtocolHttp, 80))
	if len(w.Ports()) != 0 {
		t.Error("the port is bound for the listener of an unknown protocol")
	}
}

func TestFirstServiceKeepsACustomDomainName(t *testing.T) {
	for _, first := range []int{0, 1, 2} {
		w := newWorld(t)
		w.put(w.network("sn-1"))
		services := make([]*lattice.Service, 3)
		for i := range services {
			services[i] = w.service(fmt.Sprint("svc-", i))
			services[i].CustomDomainName = "shop.example.com"
		}
		// Whatever the order in which the router is told of them, the first one created has the name.
		for i := range services {
			s := services[(first+i)%3]
			w.put(s, w.association(s.ID, "sn-1"), w.listener(s.ID, "listener-1", shape.ListenerProtocolHttp, 80))
		}
		port := w.Ports()[0]
		for i, s := range services {
			if got := w.lookup(80, "shop.example.com"); got == nil || got.ID != s.ID {
				t.Errorf("the name leads to %v, want %s", got, s.ID)
			}
			if got := w.lookup(80, s.DomainName); got == nil || got.ID != s.ID {
				t.Errorf("%s leads to %v", s.DomainName, got)
			}
			// The second service loses its place in the network, the others are deleted.
			if i == 1 {
				w.delete(w.association(s.ID, "sn-1"))
			} else {
				w.delete(s)
			}
		}
		if len(w.Ports()) != 0 || port.Lookup([]byte("shop.example.com")) != nil {
			t.Error("the name leads somewhere although its services are gone")
		}
	}
}

func TestARecompiledServiceKeepsItsNamesAndPort(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	before, port := w.lookup(80, "svc-1.lattice.test"), w.Ports()[0]
	service := *w.records[lattice.ServiceKey(scope, "svc-1")].(*lattice.Service)
	service.IdleTimeoutSeconds = 600
	w.put(&service)
	after := w.lookup(80, "svc-1.lattice.test")
	if before.IdleTimeout != time.Minute || after.IdleTimeout != 10*time.Minute {
		t.Errorf("idle timeouts %v and %v, want 1m and 10m", before.IdleTimeout, after.IdleTimeout)
	}
	if w.Ports()[0] != port {
		t.Error("the port is another object")
	}
}

func TestServiceKnowsItsNetworkAndSource(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	facts := func() string {
		s := w.lookup(80, "svc-1.lattice.test")
		return fmt.Sprintf("%s %s %s", s.NetworkARN, s.Network.Source().LatticeNetwork, s.Route(get("/")).Choose().LatticeTarget)
	}
	const arns = "arn:aws:vpc-lattice:us-west-2:111122223333:"
	target := func(network string) string {
		return "ServiceArn=" + arns + "service/svc-1; ServiceNetworkArn=" + arns + "servicenetwork/" + network +
			"; TargetGroupArn=" + arns + "targetgroup/tg-1"
	}
	expect := func(when, network, source string) {
		t.Helper()
		if got, want := facts(), arns+"servicenetwork/"+network+" "+source+" "+target(network); got != want {
			t.Errorf("%s:\n got %s\nwant %s", when, got, want)
		}
	}
	expect("without a VPC", "sn-1", "SourceVpcArn=")
	vpc1, vpc2 := w.vpcAssociation("sn-1", "vpc-1"), w.vpcAssociation("sn-1", "vpc-2")
	w.put(vpc2)
	expect("with one VPC", "sn-1", "SourceVpcArn=arn:aws:ec2:us-west-2:111122223333:vpc/vpc-2")
	before := w.lookup(80, "svc-1.lattice.test")
	w.put(vpc1)
	expect("with an older VPC", "sn-1", "SourceVpcArn=arn:aws:ec2:us-west-2:111122223333:vpc/vpc-1")
	if w.lookup(80, "svc-1.lattice.test") != before {
		t.Error("a VPC association recompiled the service")
	}
	w.put(w.network("sn-2"), w.association("svc-1", "sn-2"))
	expect("with a second network", "sn-1", "SourceVpcArn=arn:aws:ec2:us-west-2:111122223333:vpc/vpc-1")
	w.delete(w.association("svc-1", "sn-1"))
	expect("out of the first network", "sn-2", "SourceVpcArn=")
}

func TestHeaderValuesCannotSplit(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	w.put(w.vpcAssociation("sn-1", "vpc-1\r\nx-evil: 1\x00"))
	for _, c := range w.lookup(80, "svc-1.lattice.test").Network.Source().LatticeNetwork {
		if c < ' ' {
			t.Fatalf("the value has the byte %#x", c)
		}
	}
}
