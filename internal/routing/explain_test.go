package routing

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

func TestExplainSaysWhereARequestGoesAndWhy(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1", "tg-2")
	w.put(w.vpcAssociation("sn-1", "vpc-1"),
		w.rule("svc-1", "listener-1", "rule-1", 1, &shape.HttpMatch{Method: new("POST")}, fixed(404)),
		w.rule("svc-1", "listener-1", "rule-2", 2, pathPrefix("/Cart"), fixed(500)),
		w.rule("svc-1", "listener-1", "rule-3", 3, &shape.HttpMatch{HeaderMatches: []shape.HeaderMatch{
			header("X-Env", shape.HeaderMatchType{Exact: new("dev")})}}, fixed(500)),
		w.rule("svc-1", "listener-1", "rule-4", 4, &shape.HttpMatch{HeaderMatches: []shape.HeaderMatch{
			{Name: new("x-env"), CaseSensitive: new(true), Match: &shape.HeaderMatchType{Contains: new("Prod")}}}}, fixed(500)),
		w.rule("svc-1", "listener-1", "rule-5", 5, pathPrefix("/api"), weighted(forwardTo("tg-1", "tg-2"), 30, 10)),
		w.rule("svc-1", "listener-1", "rule-6", 6, pathPrefix("/"), fixed(404)),
		w.plus(draining(target("tg-1", 1)), &lattice.Target{Scope: scope, TargetGroupID: "tg-1", ID: "somewhere", Port: 80}))
	w.health.down[target("tg-1", 2).Key()] = true
	for i := range 3 {
		w.health.down[target("tg-2", i+1).Key()] = true
	}
	turn := &w.lookup(80, "svc-1.lattice.test").Route(get("/api")).schedule.turn
	before := turn.Load()

	got := w.Explain(80, "SVC-1.lattice.test:8080", &Arrival{Request: get("/api/v1", [2]string{"x-env", "prod"}, [2]string{"X-ENV", "eu"})})
	const arns = "arn:aws:vpc-lattice:us-west-2:111122223333:"
	const listener = arns + "service/svc-1/listener/listener-1"
	want := Explanation{
		Port: 80, Host: "svc-1.lattice.test",
		Service: arns + "service/svc-1", Listener: listener, Protocol: shape.ListenerProtocolHttp,
		NetworkARN: arns + "servicenetwork/sn-1", SourceVpc: "vpc-1",
		Rules: []RuleExplanation{
			{ARN: listener + "/rule/rule-1", Priority: 1, Mismatch: `method is "GET"; wanted: is "POST"`},
			{ARN: listener + "/rule/rule-2", Priority: 2, Mismatch: `path is "/api/v1"; wanted: starts with "/Cart"`},
			{ARN: listener + "/rule/rule-3", Priority: 3, Mismatch: `header x-env is "prod", "eu"; wanted: is "dev" in any case`},
			{ARN: listener + "/rule/rule-4", Priority: 4, Mismatch: `header x-env is "prod", "eu"; wanted: contains "Prod"`},
			{ARN: listener + "/rule/rule-5", Priority: 5, Matched: true},
		},
		TargetGroups: []TargetGroupExplanation{
			{ARN: arns + "targetgroup/tg-1", Weight: 30, Share: 0.75, Targets: []TargetExplanation{
				{ID: "10.0.0.1", Port: 80, State: TargetDraining},
				{ID: "10.0.0.2", Port: 80, Address: "10.0.0.2:80", State: TargetUnavailable},
				{ID: "10.0.0.3", Port: 80, Address: "10.0.0.3:80", State: TargetAvailable},
				{ID: "somewhere", Port: 80, State: TargetUnroutable, Problem: `"somewhere" is not an IP address`},
			}},
			{ARN: arns + "targetgroup/tg-2", Weight: 10, Share: 0.25, FailOpen: true, Targets: []TargetExplanation{
				{ID: "10.0.0.1", Port: 80, Address: "10.0.0.1:80", State: TargetUnavailable},
				{ID: "10.0.0.2", Port: 80, Address: "10.0.0.2:80", State: TargetUnavailable},
				{ID: "10.0.0.3", Port: 80, Address: "10.0.0.3:80", State: TargetUnavailable},
			}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
	absent := w.Explain(80, "svc-1.lattice.test", &Arrival{Request: get("/")}).Rules[2].Mismatch
	if want := `header x-env is absent; wanted: is "dev" in any case`; absent != want {
		t.Errorf("mismatch %s, want %s", absent, want)
	}
	if turn.Load() != before {
		t.Error("the explanation took a turn")
	}
}

func TestExplainSaysWhyARequestReachesNoTarget(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	lonely := w.service("svc-2")
	passthrough := w.service("svc-3")
	w.put(lonely, passthrough, w.association("svc-3", "sn-1"),
		w.listener("svc-3", "listener-3", shape.ListenerProtocolTlsPassthrough, 443),
		w.targetGroup("tg-2"), w.plus(draining(target("tg-2", 1))),
		w.rule("svc-1", "listener-1", "rule-1", 1, pathPrefix("/empty"), forwardTo("tg-2")),
		w.rule("svc-1", "listener-1", "rule-2", 2, pathPrefix("/zero"), weighted(forwardTo("tg-1"), 0)),
		w.rule("svc-1", "listener-1", "rule-3", 3, pathPrefix("/fixed"), fixed(404)))
	for _, test := range []struct {
		port             int
		host, path, want string
	}{
		{80, "svc-1.lattice.test", "/", ""},
		{80, "svc-1.lattice.test", "/fixed", ""},
		{80, "svc-1.lattice.test", "/empty", "tg-2 has no target that requests can be sent to"},
		{80, "svc-1.lattice.test", "/zero", "no target group of the rule has a weight"},
		{80, "elsewhere.test", "/", "no service has this host name"},
		{80, "", "/", "no service has this host name"},
		{443, "svc-1.lattice.test", "/", "svc-1 has no listener on port 443; the ports of its listeners: [80]"},
		{80, "svc-2.lattice.test", "/", "svc-2 is not associated with a service network"},
		{443, "svc-3.lattice.test", "/", "svc-3 answers to the custom domain name only"},
	} {
		if got := w.Explain(test.port, test.host, &Arrival{Request: get(test.path)}).Problem; !strings.HasSuffix(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("port %d, host %q, path %s: %q, want %q", test.port, test.host, test.path, got, test.want)
		}
	}
}
