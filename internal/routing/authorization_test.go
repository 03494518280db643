package routing

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/shape"
)

// authPolicy returns the policy of a resource, with one statement beside what it needs.
func (w *world) authPolicy(resourceID, effect, members string) *lattice.AuthPolicy {
	return &lattice.AuthPolicy{AttachedPolicy: lattice.AttachedPolicy{
		Scope: scope, ResourceID: resourceID, CreatedAt: time.Unix(1700000000, 0),
		Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `","Principal":"*","Action":"*","Resource":"*"` + members + `}]}`,
	}}
}

// guardedWorld has a service in a network with a VPC.
func guardedWorld(t testing.TB, serviceType, networkType shape.AuthType, protocol shape.ListenerProtocol) (*world, *lattice.Service, *lattice.ServiceNetwork) {
	w := newWorld(t)
	service, network := w.service("svc-1"), w.network("sn-1")
	service.AuthType, network.AuthType = serviceType, networkType
	service.CustomDomainName = "shop.example.com"
	service.Tags = map[string]string{"env": "prod"}
	w.put(service, network, w.association("svc-1", "sn-1"), w.vpcAssociation("sn-1", "vpc-1"), w.listener("svc-1", "listener-1", protocol, 443),
		w.defaultRule("svc-1", "listener-1", &shape.RuleAction{FixedResponse: &shape.FixedResponseAction{StatusCode: new(int32(404))}}))
	return w, service, network
}

// asked is a request to the service on its port, as policies see it.
func asked(w *world) *Service { return w.Ports()[0].Lookup([]byte("shop.example.com")) }

func getArrival(path string) *Arrival {
	return &Arrival{Request: get(path), Source: netip.MustParseAddr("10.1.2.3"), Now: time.Unix(1700000000, 0)}
}

func TestRequestsFollowTheAuthPoliciesAsTheyAreNow(t *testing.T) {
	w, service, network := guardedWorld(t, shape.AuthTypeNone, shape.AuthTypeNone, shape.ListenerProtocolHttp)
	setService := func(authType shape.AuthType) {
		changed := *service
		changed.AuthType = authType
		w.put(&changed)
	}
	setNetwork := func(authType shape.AuthType) {
		changed := *network
		changed.AuthType = authType
		w.put(&changed)
	}
	const no, explicit = "because no %s-based policy allows", "with an explicit deny in a %s-based policy"
	for _, step := range []struct {
		name   string
		change func()
		want   string // of the refusal; empty if there is none
	}{
		{"neither asks for authorization", func() {}, ""},
		{"a policy that denies is not looked at", func() { w.put(w.authPolicy("svc-1", "Deny", "")) }, ""},
		{"the service asks", func() { setService(shape.AuthTypeAwsIam) }, strings.ReplaceAll(explicit, "%s", "service")},
		{"its policy allows", func() { w.put(w.authPolicy("svc-1", "Allow", "")) }, ""},
		{"the network asks, without a policy", func() { setNetwork(shape.AuthTypeAwsIam) }, strings.ReplaceAll(no, "%s", "network")},
		{"the network's policy denies", func() { w.put(w.authPolicy("sn-1", "Deny", "")) }, strings.ReplaceAll(explicit, "%s", "network")},
		{"the network's policy allows", func() { w.put(w.authPolicy("sn-1", "Allow", "")) }, ""},
		{"the service's policy is deleted", func() { w.delete(w.records[lattice.AuthPolicyKey(scope, "svc-1")]) }, strings.ReplaceAll(no, "%s", "service")},
		{"the service's policy cannot be read", func() {
			w.put(&lattice.AuthPolicy{AttachedPolicy: lattice.AttachedPolicy{Scope: scope, ResourceID: "svc-1", Policy: `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringIs":{"aws:username":"a"}}}]}`}})
		}, strings.ReplaceAll(no, "%s", "service")},
		{"the service does not ask any more", func() { setService(shape.AuthTypeNone) }, ""},
		{"the network's policy is deleted", func() { w.delete(w.records[lattice.AuthPolicyKey(scope, "sn-1")]) }, strings.ReplaceAll(no, "%s", "network")},
		{"the network does not ask any more", func() { setNetwork(shape.AuthTypeNone) }, ""},
	} {
		step.change()
		s, a := asked(w), getArrival("/a")
		verdict := s.Authorize(a)
		if verdict.Allowed() != (step.want == "") {
			t.Errorf("%s: %+v", step.name, verdict)
			continue
		}
		if !verdict.Allowed() {
			want := "AccessDeniedException: User: anonymous is not authorized to perform: vpc-lattice-svcs:Invoke on resource: " + service.ARN() + "/a " + step.want
			if got := s.Refusal(a, verdict); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %q, want %q", step.name, got, want)
			}
		}
	}
}

// At a start, the catalog delivers the records in any order.
func TestAnAuthPolicyMayComeBeforeWhatItIsAttachedTo(t *testing.T) {
	w := newWorld(t)
	w.put(w.authPolicy("svc-1", "Allow", ""), w.authPolicy("sn-1", "Deny", ""))
	service, network := w.service("svc-1"), w.network("sn-1")
	service.AuthType, network.AuthType = shape.AuthTypeAwsIam, shape.AuthTypeAwsIam
	w.put(service, network, w.association("svc-1", "sn-1"), w.listener("svc-1", "listener-1", shape.ListenerProtocolHttp, 80),
		w.defaultRule("svc-1", "listener-1", &shape.RuleAction{FixedResponse: &shape.FixedResponseAction{StatusCode: new(int32(404))}}))
	verdict := w.Ports()[0].Lookup([]byte("svc-1.lattice.test")).Authorize(getArrival("/"))
	if verdict.Outcome != policy.ExplicitDeny || verdict.Layer != policy.Network {
		t.Errorf("the verdict is %+v, want an explicit deny by the network", verdict)
	}
}

func TestPoliciesSeeTheWholeRequest(t *testing.T) {
	user := policy.Caller{ARN: "arn:aws:iam::111122223333:user/alice", Account: "111122223333", UserID: "AIDAEXAMPLE", Tags: map[string]string{"team": "blue"}}
	everything, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	if err != nil {
		t.Fatal(err)
	}
	arrival := func() *Arrival {
		return &Arrival{
			Caller: user, Identity: policy.Set{everything},
			Request: &Request{Method: []byte("PUT"), Path: []byte("/a/b"), Headers: get("/", [2]string{"x-env", "prod"}).Headers},
			Query:   []byte("color=blue&color=red"), Source: netip.MustParseAddr("10.1.2.3"), Secure: true, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		}
	}
	const arn = "arn:aws:vpc-lattice:us-west-2:111122223333:"
	for key, value := range map[string]string{
		"vpc-lattice-svcs:Port":                     "443",
		"vpc-lattice-svcs:RequestMethod":            "PUT",
		"vpc-lattice-svcs:RequestPath":              "/a/b",
		"vpc-lattice-svcs:RequestHeader/X-Env":      "prod",
		"vpc-lattice-svcs:RequestQueryString/color": "red",
		"vpc-lattice-svcs:ServiceArn":               arn + "service/svc-1",
		"vpc-lattice-svcs:ServiceNetworkArn":        arn + "servicenetwork/sn-1",
		"vpc-lattice-svcs:SourceVpc":                "vpc-1",
		"vpc-lattice-svcs:SourceVpcOwnerAccount":    "111122223333",
		"aws:PrincipalArn":                          user.ARN,
		"aws:PrincipalAccount":                      "111122223333",
		"aws:PrincipalType":                         "User",
		"aws:PrincipalTag/team":                     "blue",
		"aws:userid":                                "AIDAEXAMPLE",
		"aws:username":                              "alice",
		"aws:ResourceTag/env":                       "prod",
		"aws:ResourceAccount":                       "111122223333",
		"aws:RequestedRegion":                       "us-west-2",
		"aws:SourceIp":                              "10.1.2.3",
		"aws:SecureTransport":                       "true",
		"aws:CurrentTime":                           "2026-01-02T03:04:05Z",
		"aws:EpochTime":                             "1767323045",
	} {
		for _, test := range []struct {
			value   string
			allowed bool
		}{{value, true}, {value + "x", false}} {
			w, _, _ := guardedWorld(t, shape.AuthTypeAwsIam, shape.AuthTypeNone, shape.ListenerProtocolHttp)
			w.put(w.authPolicy("svc-1", "Allow", `,"Condition":{"StringEquals":{"`+key+`":"`+test.value+`"}}`))
			if verdict := asked(w).Authorize(arrival()); verdict.Allowed() != test.allowed {
				t.Errorf("%s %q: the verdict is %+v, want it allowed: %t", key, test.value, verdict, test.allowed)
			}
		}
	}
}

func TestPoliciesSeeAPassedThroughConnectionAsConnect(t *testing.T) {
	w, service, _ := guardedWorld(t, shape.AuthTypeAwsIam, shape.AuthTypeNone, shape.ListenerProtocolTlsPassthrough)
	arrival := &Arrival{Source: netip.MustParseAddr("10.1.2.3"), Secure: true, Now: time.Unix(1700000000, 0)}
	s := asked(w)
	verdict := s.Authorize(arrival)
	want := "AccessDeniedException: User: anonymous is not authorized to perform: vpc-lattice-svcs:Connect on resource: " + service.ARN() +
		" because no service-based policy allows the vpc-lattice-svcs:Connect action"
	if got := s.Refusal(arrival, verdict); verdict.Allowed() || got != want {
		t.Errorf("%+v %q, want %q", verdict, got, want)
	}
	w.put(w.authPolicy("svc-1", "Allow", `,"Condition":{"NumericEquals":{"vpc-lattice-svcs:Port":"443"},"Null":{"vpc-lattice-svcs:RequestPath":"true"}}`))
	if verdict := asked(w).Authorize(arrival); !verdict.Allowed() {
		t.Errorf("the verdict is %+v, want it allowed", verdict)
	}
}
