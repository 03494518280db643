package routing

import (
	"maps"
	"slices"
	"testing"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

func TestTargetsTakeTurns(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	var got []string
	for range 6 {
		got = append(got, w.next())
	}
	if want := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.2", "10.0.0.3"}; !slices.Equal(got, want) {
		t.Errorf("turns %v, want %v", got, want)
	}
}

func TestEveryTargetGroupHasItsOwnTurns(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1", "tg-2")
	counts := map[*Target]int{}
	for range 60 {
		counts[w.lookup(80, "svc-1.lattice.test").Route(get("/")).Choose().TargetGroup.Next()]++
	}
	for target, count := range counts {
		if count != 10 {
			t.Errorf("%v got %d of 60, want 10", target.Key, count)
		}
	}
}

func TestUnavailableTargetGetsNothing(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	w.health.down[target("tg-1", 2).Key()] = true
	w.HealthChanged(lattice.TargetGroupKey(scope, "tg-1"))
	if got := w.nexts(); got != "10.0.0.1 10.0.0.3" {
		t.Errorf("requests go to %s", got)
	}
	delete(w.health.down, target("tg-1", 2).Key())
	w.HealthChanged(lattice.TargetGroupKey(scope, "tg-1"))
	if got := w.nexts(); got != "10.0.0.1 10.0.0.2 10.0.0.3" {
		t.Errorf("once it is available again, requests go to %s", got)
	}
}

func TestFailOpenWhenAllUnhealthy(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	for i := range 3 {
		w.health.down[target("tg-1", i+1).Key()] = true
	}
	w.put(w.plus(draining(target("tg-1", 3))))
	if got := w.nexts(); got != "10.0.0.1 10.0.0.2" {
		t.Errorf("requests go to %s, want all that are not draining", got)
	}
}

func TestHealthIsAskedAgainWhenATargetGroupComesBackIntoUse(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	association := w.association("svc-1", "sn-1")
	w.delete(association)
	w.health.down[target("tg-1", 2).Key()] = true
	w.put(association)
	if got := w.nexts(); got != "10.0.0.1 10.0.0.3" {
		t.Errorf("requests go to %s", got)
	}
}

func TestDrainingTargetGetsNoNewRequests(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	w.put(w.plus(draining(target("tg-1", 1))))
	if got := w.nexts(); got != "10.0.0.2 10.0.0.3" {
		t.Errorf("requests go to %s", got)
	}
	w.put(w.plus(draining(target("tg-1", 2)), draining(target("tg-1", 3))))
	if got := w.next(); got != "nobody" {
		t.Errorf("a request goes to %s although all are draining", got)
	}
	w.put(w.plus(target("tg-1", 1)))
	if got := w.nexts(); got != "10.0.0.1" {
		t.Errorf("requests go to %s, want the one that was registered again", got)
	}
}

func TestTargetGroupWithoutTargetsReturnsNone(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	w.delete(w.plus(target("tg-1", 1)))
	if got := w.next(); got != "nobody" {
		t.Errorf("a request goes to %s", got)
	}
}

func TestATurnSurvivesEveryChange(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1", "tg-2")
	w.put(w.defaultRule("svc-1", "listener-1", weighted(forwardTo("tg-1", "tg-2"), 0, 1)))
	w.next()
	// Changes of rules, of health and of the service leave the turn where it is.
	w.put(w.rule("svc-1", "listener-1", "rule-1", 1, pathPrefix("/a"), fixed(404)))
	w.HealthChanged(lattice.TargetGroupKey(scope, "tg-2"))
	w.put(w.service("svc-1"))
	if got := w.next(); got != "10.0.0.2" {
		t.Errorf("the second turn is %s, want 10.0.0.2", got)
	}
}

func TestConnectorsOutliveRecompilations(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	first := w.connectors[target("tg-1", 1).Key()]
	connectors := maps.Clone(w.connectors)
	if len(connectors) != 3 {
		t.Fatalf("%d connectors, want 3", len(connectors))
	}
	group := w.lookup(80, "svc-1.lattice.test").Route(get("/")).Choose().TargetGroup

	association := w.records[lattice.ServiceNetworkServiceAssociationKey(scope, "snsa-svc-1sn-1")]
	w.put(w.service("svc-1"), w.defaultRule("svc-1", "listener-1", weighted(forwardTo("tg-1"), 7)))
	w.delete(association) // Out of use,
	w.put(association)    // and in use again.
	w.put(w.plus(draining(target("tg-1", 1))))
	if !maps.Equal(w.connectors, connectors) {
		t.Errorf("connectors %v, want %v as before", w.connectors, connectors)
	}
	if w.lookup(80, "svc-1.lattice.test").Route(get("/")).Choose().TargetGroup != group {
		t.Error("the target group is another object")
	}
	w.put(w.minus(target("tg-1", 1)))
	if first.closed != 1 || len(w.connectors) != 2 {
		t.Errorf("the target that is gone was closed %d times, and %d others are open; want 1 and 2", first.closed, len(w.connectors))
	}
}

func TestATargetRegisteredAgainGetsANewConnector(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	first := w.connectors[target("tg-1", 1).Key()]
	before, without := w.plus(target("tg-1", 1)), w.minus(target("tg-1", 1))
	w.Apply([]lattice.Change{{Old: before, New: without}, {Old: without, New: before}})
	if second := w.lookup(80, "svc-1.lattice.test").Route(get("/")).Choose().TargetGroup.Next().Connector; first.closed != 1 || second == first {
		t.Errorf("the first connector was closed %d times, want once; the same is in use: %v", first.closed, second == first)
	}
}

func TestConnectorsAreMadeForTargetGroupsInUseOnly(t *testing.T) {
	w := newWorld(t)
	w.put(w.targetGroup("tg-1"), w.plus(target("tg-1", 1)))
	w.put(w.service("svc-1"), w.listener("svc-1", "listener-1", shape.ListenerProtocolHttp, 80),
		w.defaultRule("svc-1", "listener-1", forwardTo("tg-1")))
	if len(w.connectors) != 0 {
		t.Errorf("%d connectors although the service cannot be reached", len(w.connectors))
	}
	w.put(w.network("sn-1"), w.association("svc-1", "sn-1"))
	if len(w.connectors) != 1 {
		t.Errorf("%d connectors, want 1", len(w.connectors))
	}
}

func TestIDsThatAreAddressesOrFunctionsAreResolved(t *testing.T) {
	ip := &lattice.TargetGroup{Type: shape.TargetGroupTypeIp, Config: &shape.TargetGroupConfig{Port: new(int32(8080))}}
	for _, test := range []struct {
		name  string
		group *lattice.TargetGroup
		id    string
		port  int32
		want  string
	}{
		{"an IPv4 address", ip, "10.0.0.1", 80, "10.0.0.1:80"},
		{"an IPv6 address", ip, "2001:db8::1", 80, "[2001:db8::1]:80"},
		{"an IPv4 address in IPv6 form", ip, "::ffff:10.0.0.1", 80, "10.0.0.1:80"},
		{"without a port, that of the target group", ip, "10.0.0.1", 0, "10.0.0.1:8080"},
		{"without any port", &lattice.TargetGroup{Type: shape.TargetGroupTypeIp}, "10.0.0.1", 0, ""},
		{"an address with a zone", ip, "fe80::1%eth0", 80, ""},
		{"a name", ip, "example.com", 80, ""},
		{"an instance", &lattice.TargetGroup{Type: shape.TargetGroupTypeInstance}, "i-0123456789abcdef0", 80, ""},
		{"a function", &lattice.TargetGroup{Type: shape.TargetGroupTypeLambda}, "arn:aws:lambda:us-west-2:123456789012:function:sum", 0,
			"arn:aws:lambda:us-west-2:123456789012:function:sum"},
	} {
		place, err := ResolveLiteral(test.group, &lattice.Target{ID: test.id, Port: test.port})
		if got := place.String(); (err == nil) != (test.want != "") || err == nil && got != test.want {
			t.Errorf("%s resolves to %s, %v; want %q", test.name, got, err, test.want)
		}
	}
}

func TestTargetThatCannotBeResolvedGetsNothing(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	w.put(w.plus(&lattice.Target{Scope: scope, TargetGroupID: "tg-1", ID: "example.com", Port: 80}))
	if got := w.nexts(); got != "10.0.0.1 10.0.0.2 10.0.0.3" {
		t.Errorf("requests go to %s", got)
	}
}

func TestTargetGroupWithAnotherProtocolIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	secure := w.targetGroup("tg-1")
	secure.Config.Protocol = shape.TargetGroupProtocolHttps
	held := w.lookup(80, "svc-1.lattice.test").Route(get("/")).Choose().TargetGroup
	old := w.connectors[target("tg-1", 1).Key()]
	if held.Next().TLS {
		t.Fatal("targets of an HTTP target group speak TLS")
	}
	w.put(secure)
	if now := w.lookup(80, "svc-1.lattice.test").Route(get("/")).Choose().TargetGroup; now == held || !now.Next().TLS {
		t.Error("targets of the HTTPS target group do not speak TLS")
	}
	if held.Next() != nil || old.closed != 1 {
		t.Errorf("the former target group still has %v, its connector was closed %d times", held.Next(), old.closed)
	}
}

func TestRuleWaitsForAMissingTargetGroup(t *testing.T) {
	w := newWorld(t)
	w.storefront()
	w.put(w.defaultRule("svc-1", "listener-1", forwardTo("tg-1")))
	if got := w.next(); got != "nobody" {
		t.Errorf("a request goes to %s", got)
	}
	group := w.targetGroup("tg-1")
	w.put(w.plus(target("tg-1", 1)))
	w.put(group)
	if got := w.next(); got != "10.0.0.1" {
		t.Errorf("a request goes to %s, want 10.0.0.1", got)
	}
	w.delete(group)
	if got := w.next(); got != "nobody" || len(w.connectors) != 0 {
		t.Errorf("without the target group a request goes to %s, and %d connectors are open", got, len(w.connectors))
	}
}

func TestHealthLearnsOfTargetGroupsInUse(t *testing.T) {
	w := newWorld(t)
	network, service, association := w.network("sn-1"), w.service("svc-1"), w.association("svc-1", "sn-1")
	listener := w.listener("svc-1", "listener-1", shape.ListenerProtocolHttp, 80)
	group := w.targetGroup("tg-1")
	expect := func(when string, uses []Use, want string) {
		t.Helper()
		if got := useOf(uses, "tg-1"); got != want {
			t.Errorf("%s, health is told: %s; want: %s", when, got, want)
		}
	}
	expect("a new target group", w.put(group, w.plus(target("tg-1", 1))), "nothing")
	expect("a rule of a service outside of any network", w.put(service, network, listener,
		w.rule("svc-1", "listener-1", "rule-1", 1, pathPrefix("/a"), forwardTo("tg-1"))), "nothing")
	expect("the association", w.put(association), "in use, 1 targets")
	expect("a second reference", w.put(w.defaultRule("svc-1", "listener-1", weighted(forwardTo("tg-1"), 0))), "nothing")
	expect("one reference less", w.delete(w.rule("svc-1", "listener-1", "rule-1", 1, nil, nil)), "nothing")
	expect("another weight", w.put(w.defaultRule("svc-1", "listener-1", weighted(forwardTo("tg-1"), 9))), "nothing")
	expect("another target", w.put(w.plus(target("tg-1", 2))), "in use, 2 targets")
	expect("a draining target", w.put(w.plus(draining(target("tg-1", 2)))), "in use, 2 targets")
	expect("a target less", w.put(w.minus(target("tg-1", 2))), "in use, 1 targets")
	tagged := *group
	tagged.Tags = map[string]string{"a": "b"}
	expect("a tag", w.put(&tagged), "nothing")
	checked := tagged
	checked.Config = &shape.TargetGroupConfig{HealthCheck: &shape.HealthCheckConfig{Path: new("/up")},
		Port: group.Config.Port, Protocol: group.Config.Protocol, ProtocolVersion: group.Config.ProtocolVersion}
	expect("another health check", w.put(&checked), "in use, 1 targets")
	expect("no association", w.delete(association), "unused")
	expect("a target of an unused target group", w.put(w.plus(target("tg-1", 3))), "nothing")
	expect("the association again", w.put(association), "in use, 2 targets")
	expect("a listener less", w.delete(listener), "unused")
	expect("the listener again", w.put(listener), "in use, 2 targets")
	expect("no target group", w.delete(&checked), "gone")
	expect("its targets", w.delete(w.plus(target("tg-1", 1))), "nothing")
}
