package policy

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

// generator makes policies and requests out of bytes. It has few values to choose from, so that the two often match.
type generator struct{ data []byte }

// n returns a number below max.
func (g *generator) n(max int) int {
	if len(g.data) == 0 {
		return 0
	}
	c := int(g.data[0])
	g.data = g.data[1:]
	return c % max
}

func (g *generator) one(of ...string) string { return of[g.n(len(of))] }

func (g *generator) some(max int, make func() string) []string {
	list := []string{}
	for range 1 + g.n(max) {
		list = append(list, make())
	}
	return list
}

// text returns a short text of few characters, wildcards and variables among them.
func (g *generator) text() string {
	var b strings.Builder
	for range g.n(6) {
		b.WriteString(g.one("a", "b", "A", ":", "/", "*", "?", "ü", "日", "$", "{", "ſ", "k", "K", g.variable()))
	}
	return b.String()
}

func (g *generator) variable() string {
	return g.one("${aws:PrincipalTag/t}", "${vpc-lattice-svcs:RequestHeader/x}", "${aws:PrincipalTag/t, 'a*'}", "${*}", "${?}", "${$}", "${aws:PrincipalArn}",
		"${vpc-lattice-svcs:RequestQueryString/c, ''}")
}

func (g *generator) arn() string {
	return "arn:" + g.one("aws", "*", "a?s") + ":" + g.one("s", "*", "${aws:PrincipalTag/t}") + ":" + g.one("", "r", "?", "*") + ":" + g.one("1", "*") + ":" + g.text()
}

const (
	fuzzService = "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-1"
	fuzzRoot    = "arn:aws:iam::111122223333:root"
	fuzzUser    = "arn:aws:iam::111122223333:user/p/u"
	fuzzRole    = "arn:aws:iam::111122223333:role/p/r"
	fuzzSession = "arn:aws:sts::111122223333:assumed-role/r/s"
)

func (g *generator) principal() any {
	if g.n(3) == 0 {
		return "*"
	}
	return map[string]any{"AWS": g.some(3, func() string {
		return g.one("111122223333", fuzzRoot, fuzzUser, fuzzRole, fuzzSession, "444455556666", "*")
	})}
}

func (g *generator) values(operator string) any {
	var make func() string
	switch {
	case strings.HasPrefix(operator, "Numeric"):
		make = func() string { return g.one("1", "1.0", "01.10", "-2", "+3", "10", "0.5", "443", "-0") }
	case strings.HasPrefix(operator, "Date"):
		make = g.date
	case operator == "Bool", operator == "Null":
		make = func() string { return g.one("true", "false", "True") }
	case operator == "BinaryEquals":
		make = func() string { return g.one("YQ==", "Yg==", "", "YWE=") }
	case strings.Contains(operator, "IpAddress"):
		make = func() string {
			return g.one("10.0.0.0/8", "10.1.2.3", "10.1.2.3/31", "0.0.0.0/0", "2001:db8::/32", "::1")
		}
	case strings.HasPrefix(operator, "Arn"):
		make = func() string { return g.one(g.arn(), "*", g.text(), fuzzService, g.variable()) }
	default:
		make = g.text
	}
	return g.some(3, make)
}

func (g *generator) date() string {
	return g.one("2026-01-01T00:00:00Z", "2026-01-01", "2026-01", "1767225600", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00Z", "2026-01-01T00:00:00.5Z", "-1", "2025-12-31T23:59:59Z")
}

func (g *generator) condition() map[string]any {
	condition := map[string]any{}
	for range g.n(3) {
		base := g.one("StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
			"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
			"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
			"Bool", "BinaryEquals", "IpAddress", "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null")
		name := base
		if base != "Null" {
			name = g.one("", "", "ForAnyValue:", "ForAllValues:") + base + g.one("", "", "IfExists")
		}
		keys := map[string]any{}
		for range 1 + g.n(2) {
			key := g.one("vpc-lattice-svcs:RequestHeader/x", "vpc-lattice-svcs:RequestQueryString/c", "aws:PrincipalTag/t", "aws:ResourceTag/t",
				"aws:PrincipalArn", "aws:PrincipalAccount", "aws:SourceIp", "aws:CurrentTime", "aws:EpochTime",
				"vpc-lattice-svcs:RequestMethod", "vpc-lattice-svcs:RequestPath", "vpc-lattice-svcs:Port", "vpc-lattice-svcs:ServiceArn")
			keys[key] = g.values(base)
		}
		condition[name] = keys
	}
	return condition
}

func (g *generator) statement() map[string]any {
	s := map[string]any{"Effect": g.one("Allow", "Deny"), "Condition": g.condition()}
	s[g.one("Principal", "Principal", "NotPrincipal")] = g.principal()
	s[g.one("Action", "Action", "NotAction")] = g.some(2, func() string {
		return g.one("*", "vpc-lattice-svcs:*", "vpc-lattice-svcs:invoke", "vpc-lattice-svcs:Connect", "VPC-lattice-svcs:I?voke", "*:*e", "vpc-lattice-ſvcs:INVOKE")
	})
	s[g.one("Resource", "Resource", "NotResource")] = g.some(2, func() string {
		return g.one("*", fuzzService, fuzzService+"/*", fuzzService+"/"+g.text(), "*/"+g.text(), "*"+g.text(), "arn:aws:vpc-lattice:*:service/svc-?"+g.text(), fuzzService[:20]+"*"+g.text())
	})
	return s
}

func (g *generator) value() string {
	return g.one("", "a", "b", "aa", "A", "ab", "a:b", "a/b", "*", "?", "ü", "Ü", "日", "\xff", "K", "k", "s", "ſ", "${aws:PrincipalTag/t}", "1", "1.0", "-2", "x1", "443", "true", "FALSE",
		"10.1.2.3", "10.1.2.2", "::ffff:10.1.2.3", "2001:db8::1", "11.0.0.1", g.date(), "2026-01-01T00:00:00", "2026-02-30", "arn:aws:s:r:1:a", "arn:aws:s::1:a:b", "arn:aws:s:r:1", "arn:aws:a:b:r:1:a", fuzzUser, "a*", "${*}")
}

func (g *generator) tags() map[string]string {
	tags := map[string]string{}
	for range g.n(3) {
		tags[g.one("t", "t", "T", "u")] = g.value()
	}
	return tags
}

// lines are header lines by name.
type lines map[string][]string

func (l lines) Header(name string, from int) ([]byte, int) {
	if from >= len(l[name]) {
		return nil, -1
	}
	return []byte(l[name][from]), from + 1
}

// request returns the same request for both evaluators.
func (g *generator) request() (*Request, *naive) {
	n := &naive{
		action: g.one("vpc-lattice-svcs:Invoke", "vpc-lattice-svcs:Connect"), service: fuzzService, port: g.one("443", "80", "1"),
		now:    time.Date(2026, 1, 1, 0, 0, g.n(2)*g.n(60), g.n(2), time.UTC).Add(-time.Duration(g.n(2)) * time.Second),
		method: g.one("GET", "a", "POST"), path: "/" + g.value(), sourceIP: g.one("10.1.2.3", "", "2001:db8::1", "11.1.1.1"),
		headers: lines{}, query: url.Values{}, tags: g.tags(),
	}
	n.resource = n.service + n.path
	switch g.n(4) {
	case 1:
		n.caller = Caller{ARN: fuzzUser, Account: "111122223333"}
	case 2:
		n.caller = Caller{ARN: fuzzSession, RoleARN: fuzzRole, Account: "111122223333"}
	case 3:
		n.caller = Caller{ARN: fuzzRoot, Account: "111122223333"}
	}
	if !n.caller.Anonymous() {
		n.caller.Tags = g.tags()
	}
	for range g.n(3) {
		n.headers["x"] = append(n.headers["x"], g.value())
	}
	var query []string
	for range g.n(3) {
		key, value := g.one("c", "C", "cc"), g.value()
		n.query[key] = append(n.query[key], value)
		query = append(query, g.one(key, fmt.Sprintf("%%%02x", key[0])+key[1:])+"="+url.QueryEscape(value))
	}
	traffic := &Traffic{
		Method: n.method, Path: n.path, Query: strings.Join(query, "&"), Headers: lines(n.headers), Port: n.port,
		ServiceARN: n.service, Tags: n.tags,
	}
	if n.sourceIP != "" {
		traffic.Source = netip.MustParseAddr(n.sourceIP)
	}
	return &Request{Caller: n.caller, Action: n.action, Resource: n.service, Path: n.path, Now: n.now, Values: traffic}, n
}

func FuzzEvaluateAgainstNaive(f *testing.F) {
	for i := range 64 {
		seed := make([]byte, 300)
		for j := range seed {
			seed[j] = byte(i*31 + j*j*7 + j)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		compareWithNaive(t, data)
	})
}

// compareWithNaive makes a policy and a request from bytes and asks both evaluators.
func compareWithNaive(t *testing.T, data []byte) (outcome Outcome) {
	t.Helper()
	g := &generator{data}
	var statements []any
	for range 1 + g.n(3) {
		statements = append(statements, g.statement())
	}
	document := map[string]any{"Statement": statements}
	switch g.n(4) {
	case 0:
	case 1:
		document["Version"] = "2008-10-17"
	default:
		document["Version"] = "2012-10-17"
	}
	request, second := g.request()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse(string(text))
	if err != nil {
		if strings.Contains(err.Error(), "${") { // The generator breaks variables now and then.
			return ImplicitDeny
		}
		t.Fatalf("%v\n%s", err, text)
	}
	var decoded map[string]any
	if err := json.Unmarshal(text, &decoded); err != nil {
		t.Fatal(err)
	}
	got := d.Evaluate(request)
	if want, at := second.decide(decoded); got.Outcome != want || got.Statement != at {
		t.Errorf("got %v by statement %d, the naive evaluator %v by %d\npolicy %s\nrequest %+v\ntraffic %+v", got.Outcome, got.Statement, want, at, text, request, request.Values)
	}
	applying := 0
	for _, e := range d.Explain(request) {
		if e.Applies {
			applying++
		}
	}
	if (applying > 0) != (got.Outcome != ImplicitDeny) {
		t.Errorf("%v, and by the explanation %d statements apply", got.Outcome, applying)
	}
	return got.Outcome
}

// The comparison is worth little if the policies hardly ever apply.
func TestRandomPoliciesOftenApply(t *testing.T) {
	count := map[Outcome]int{}
	state := uint64(1)
	for range 1500 {
		data := make([]byte, 200)
		for i := range data {
			state = state*6364136223846793005 + 1442695040888963407
			data[i] = byte(state >> 56)
		}
		count[compareWithNaive(t, data)]++
		if t.Failed() {
			return
		}
	}
	for _, outcome := range []Outcome{ImplicitDeny, Allowed, ExplicitDeny} {
		if count[outcome] < 100 {
			t.Errorf("of 1500 random policies, %d end in %v", count[outcome], outcome)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"${aws:username, 'b'}","Condition":{"ForAnyValue:StringLike":{"aws:TagKeys":["*a*"]}}}]}`)
	f.Add(`{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":["111122223333"]},"NotAction":["a?*"],"NotResource":"x","Condition":{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00.123+01:00"},"NumericEquals":{"vpc-lattice-svcs:Port":[1,-2.5]},"IpAddress":{"aws:SourceIp":"::/0"},"Null":{"aws:username":true},"BinaryEquals":{"aws:userid":"YQ=="},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/${aws:userid}"}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			if d != nil {
				t.Error("Parse returns a document together with an error")
			}
			return
		}
		_ = d.Require(AuthPolicyRequirements())
		for _, c := range []Caller{{}, {ARN: fuzzUser, Account: "111122223333", UserID: "AIDA"}, {ARN: fuzzSession, Account: "111122223333"}} {
			r := &Request{Caller: c, Action: ActionInvoke, Resource: fuzzService, Path: "/a", Now: time.Unix(0, 0), Values: &Traffic{Method: "GET", Path: "/a", Query: "a=%41", Port: "443", Source: netip.MustParseAddr("10.1.2.3")}}
			decision := d.Evaluate(r)
			if again := d.Evaluate(r); decision != again {
				t.Errorf("%v, then %v", decision, again)
			}
			d.Explain(r)
		}
	})
}
