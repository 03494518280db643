package routing

import (
	"testing"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

func TestRulesMatchByTheirConditions(t *testing.T) {
	sensitive := func(m *shape.HttpMatch) *shape.HttpMatch { m.PathMatch.CaseSensitive = new(true); return m }
	insensitive := func(m *shape.HttpMatch) *shape.HttpMatch { m.PathMatch.CaseSensitive = new(false); return m }
	headers := func(matches ...shape.HeaderMatch) *shape.HttpMatch { return &shape.HttpMatch{HeaderMatches: matches} }
	cased := func(m shape.HeaderMatch) shape.HeaderMatch { m.CaseSensitive = new(true); return m }
	exact := func(s string) shape.HeaderMatchType { return shape.HeaderMatchType{Exact: new(s)} }
	prefix := func(s string) shape.HeaderMatchType { return shape.HeaderMatchType{Prefix: new(s)} }
	contains := func(s string) shape.HeaderMatchType { return shape.HeaderMatchType{Contains: new(s)} }
	post := &Request{Method: []byte("POST"), Path: []byte("/"), Headers: lines{}}

	for _, test := range []struct {
		name    string
		match   *shape.HttpMatch
		request *Request
		want    bool
	}{
		{"a method matches", &shape.HttpMatch{Method: new("POST")}, post, true},
		{"another method does not", &shape.HttpMatch{Method: new("GET")}, post, false},
		{"methods are case-sensitive", &shape.HttpMatch{Method: new("post")}, post, false},
		{"an empty method is any", &shape.HttpMatch{Method: new("")}, post, true},
		{"a match without conditions always matches", &shape.HttpMatch{}, post, true},

		{"an exact path matches", pathExact("/a/b"), get("/a/b"), true},
		{"an exact path in another case does not", pathExact("/A/b"), get("/a/B"), false},
		{"unless case does not matter", insensitive(pathExact("/A/b")), get("/a/B"), true},
		{"a longer path is not the exact one", pathExact("/a"), get("/a/b"), false},
		{"a shorter path is not the exact one", pathExact("/a/b"), get("/a"), false},
		{"a case-sensitive path in its case matches", sensitive(pathExact("/A")), get("/A"), true},
		{"a case-sensitive path in another case does not", sensitive(pathExact("/A")), get("/a"), false},
		{"a prefix matches", pathPrefix("/api"), get("/api/v1"), true},
		{"a prefix is lexical", pathPrefix("/api"), get("/apix"), true},
		{"a prefix in another case does not", pathPrefix("/API"), get("/api/v1"), false},
		{"a prefix matches if case does not matter", insensitive(pathPrefix("/API")), get("/api/v1"), true},
		{"a case-sensitive prefix in another case does not", sensitive(pathPrefix("/API")), get("/api/v1"), false},
		{"a path that is too short has no such prefix", pathPrefix("/api"), get("/ap"), false},
		{"a path is not decoded", pathPrefix("/public/"), get("/%70ublic/x"), false},
		{"a path is not decoded twice", pathPrefix("/public/../admin"), get("/public/%252e%252e/admin"), false},
		{"dot segments stay", pathPrefix("/admin"), get("/public/../admin"), false},
		{"an encoded path matches as it is", pathPrefix("/%70"), get("/%70ublic/x"), true},
		{"letters outside of ASCII have no case", insensitive(pathPrefix("/\u00c4")), get("/\u00e4"), false},

		{"an exact header matches", headers(header("x-env", exact("dev"))), get("/", [2]string{"X-Env", "dev"}), true},
		{"header names have no case", headers(header("X-ENV", exact("dev"))), get("/", [2]string{"x-env", "dev"}), true},
		{"header values have no case", headers(header("x-env", exact("DEV"))), get("/", [2]string{"x-env", "dev"}), true},
		{"unless they are case-sensitive", headers(cased(header("x-env", exact("DEV")))), get("/", [2]string{"x-env", "dev"}), false},
		{"a header that is absent does not match", headers(header("x-env", exact("dev"))), get("/"), false},
		{"nor does an absent one contain the empty text", headers(header("x-env", contains(""))), get("/"), false},
		{"a header prefix matches", headers(header("x-env", prefix("de"))), get("/", [2]string{"x-env", "Dev"}), true},
		{"a header that only contains the prefix does not", headers(header("x-env", prefix("de"))), get("/", [2]string{"x-env", "aDev"}), false},
		{"a header contains", headers(header("x-env", contains("evi"))), get("/", [2]string{"x-env", "dEVice"}), true},
		{"a header contains at its end", headers(header("x-env", contains("aab"))), get("/", [2]string{"x-env", "aaab"}), true},
		{"a header does not contain", headers(header("x-env", contains("abc"))), get("/", [2]string{"x-env", "ababab"}), false},
		{"case-sensitive containing", headers(cased(header("x-env", contains("Evi")))), get("/", [2]string{"x-env", "devi dEvice"}), true},
		{"any line of a repeated header may match", headers(header("x-env", exact("dev"))),
			get("/", [2]string{"x-env", "prod"}, [2]string{"other", "x"}, [2]string{"x-env", "dev"}), true},
		{"lines are not joined", headers(header("x-env", exact("a, b"))), get("/", [2]string{"x-env", "a"}, [2]string{"x-env", "b"}), false},

		{"all conditions must hold", &shape.HttpMatch{Method: new("GET"), PathMatch: pathPrefix("/api").PathMatch,
			HeaderMatches: []shape.HeaderMatch{header("a", exact("1")), header("b", exact("2"))}},
			get("/api", [2]string{"a", "1"}, [2]string{"b", "2"}), true},
		{"one condition that fails is enough", &shape.HttpMatch{Method: new("GET"), PathMatch: pathPrefix("/api").PathMatch,
			HeaderMatches: []shape.HeaderMatch{header("a", exact("1")), header("b", exact("2"))}},
			get("/api", [2]string{"a", "1"}, [2]string{"b", "3"}), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.storefront("tg-1")
			w.put(w.rule("svc-1", "listener-1", "rule-1", 1, test.match, fixed(500)))
			rule := w.lookup(80, "svc-1.lattice.test").Route(test.request)
			if got := rule.ID == "rule-1"; got != test.want {
				t.Errorf("the rule with the match %q matches: %v, want %v", rule.match.String(), got, test.want)
			}
		})
	}
}

func TestRulesAreTriedByPriority(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	w.put(
		w.rule("svc-1", "listener-1", "rule-30", 30, pathPrefix("/"), fixed(404)),
		w.rule("svc-1", "listener-1", "rule-10", 10, pathPrefix("/a"), fixed(404)),
		w.rule("svc-1", "listener-1", "rule-20", 20, pathPrefix("/a/b"), fixed(404)),
	)
	route := func(path string) string { return w.lookup(80, "svc-1.lattice.test").Route(get(path)).ID }
	for path, want := range map[string]string{"/a/b": "rule-10", "/x": "rule-30", "*": "rule-default"} {
		if got := route(path); got != want {
			t.Errorf("%s is routed by %s, want %s", path, got, want)
		}
	}
	// A swap of priorities is one revision.
	w.put(
		w.rule("svc-1", "listener-1", "rule-10", 20, pathPrefix("/a"), fixed(404)),
		w.rule("svc-1", "listener-1", "rule-20", 10, pathPrefix("/a/b"), fixed(404)),
	)
	if got := route("/a/b"); got != "rule-20" {
		t.Errorf("after the swap /a/b is routed by %s, want rule-20", got)
	}
	w.delete(w.rule("svc-1", "listener-1", "rule-20", 10, nil, nil))
	if got := route("/a/b"); got != "rule-10" {
		t.Errorf("without rule-20 /a/b is routed by %s, want rule-10", got)
	}
}

func TestFixedResponseForwardsNowhere(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	for _, status := range []int32{404, 500} {
		w.put(w.defaultRule("svc-1", "listener-1", fixed(status)))
		rule := w.lookup(80, "svc-1.lattice.test").Route(get("/"))
		if rule.FixedStatus != int(status) || rule.Choose() != nil {
			t.Errorf("fixed status %d, chosen %v; want %d and nobody", rule.FixedStatus, rule.Choose(), status)
		}
	}
}

func TestListenerWithoutDefaultRuleAnswers404(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	w.delete(w.defaultRule("svc-1", "listener-1", nil))
	if rule := w.lookup(80, "svc-1.lattice.test").Route(get("/")); rule.FixedStatus != 404 || !rule.IsDefault {
		t.Errorf("got %+v, want a default rule with status 404", rule)
	}
}

func TestTLSPassthroughHasOnlyItsDefaultRule(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	service := w.service("svc-1")
	service.CustomDomainName = "Shop.Example.com"
	w.put(service, w.listener("svc-1", "listener-2", shape.ListenerProtocolTlsPassthrough, 443),
		w.rule("svc-1", "listener-2", "rule-1", 1, pathPrefix("/"), fixed(404)),
		w.rule("svc-1", "listener-2", "rule-2", lattice.DefaultRulePriority, nil, forwardTo("tg-1")))
	if w.lookup(443, "svc-1.lattice.test") != nil {
		t.Error("the listener answers to the generated domain name")
	}
	s := w.lookup(443, "shop.example.com")
	if s == nil {
		t.Fatal("the listener does not answer to the custom domain name")
	}
	if rule := s.Route(nil); rule.ID != "rule-2" || rule.Choose().TargetGroup.ID != "tg-1" {
		t.Errorf("routed by %s, want rule-2", rule.ID)
	}
	if s := w.lookup(80, "shop.example.com"); s == nil || s.Protocol != shape.ListenerProtocolHttp {
		t.Error("the HTTP listener does not answer to the custom domain name")
	}
}

func TestPortServesServicesOfSeveralProtocols(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	secure := w.listener("svc-2", "listener-2", shape.ListenerProtocolHttps, 80)
	w.put(w.service("svc-2"), w.association("svc-2", "sn-1"), secure, w.defaultRule("svc-2", "listener-2", fixed(404)))
	serves := func() [3]bool {
		p := w.Ports()[0]
		return [3]bool{p.Serves(shape.ListenerProtocolHttp), p.Serves(shape.ListenerProtocolHttps), p.Serves(shape.ListenerProtocolTlsPassthrough)}
	}
	if got, want := serves(), [3]bool{true, true, false}; got != want {
		t.Errorf("HTTP, HTTPS, TLS_PASSTHROUGH: %v, want %v", got, want)
	}
	if s := w.lookup(80, "svc-2.lattice.test"); s.Protocol != shape.ListenerProtocolHttps {
		t.Errorf("svc-2 speaks %s, want HTTPS", s.Protocol)
	}
	w.delete(secure)
	if got, want := serves(), [3]bool{true, false, false}; got != want {
		t.Errorf("without svc-2: %v, want %v", got, want)
	}
}
