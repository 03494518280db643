package proxy

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"trellis/internal/accesslog"
	"trellis/internal/caller"
	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/principal"
	"trellis/internal/shape"
	"trellis/internal/sigv4"
)

const (
	userKey, userARN       = "AKIDUSER", "arn:aws:iam::111122223333:user/staff/alice"
	sessionKey, sessionARN = "ASIDSESSION", "arn:aws:sts::111122223333:assumed-role/web/i-1"
	roleARN                = "arn:aws:iam::111122223333:role/app/web"
	secretKey              = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	serviceARN             = "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-1"
	orgPath                = "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/"
)

// known are principals by their access key ids.
type known map[string]*principal.Principal

func (k known) Principal(accessKeyID string) (*principal.Principal, bool) {
	p, ok := k[accessKeyID]
	return p, ok
}

// identityPolicy lets callers send requests except for /forbidden, and denies /private.
const identityPolicy = `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Action":"vpc-lattice-svcs:*","NotResource":"*/forbidden"},
 {"Sid":"keep-out","Effect":"Deny","Action":"*","Resource":"*/private"}]}`

// newGuardedWorld is a world that knows a user and a session of a role.
func newGuardedWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	d, err := policy.Parse(identityPolicy)
	if err != nil {
		t.Fatal(err)
	}
	callers := caller.NewVerifier(caller.Config{Explain: true, Principals: known{
		userKey: {ARN: userARN, Account: "111122223333", AccessKeyID: userKey, SecretKey: secretKey, Tags: map[string]string{"team": "blue"}, Policies: policy.Set{d}},
		sessionKey: {ARN: sessionARN, RoleARN: roleARN, Account: "111122223333", AccessKeyID: sessionKey, SecretKey: secretKey, SessionToken: "token",
			Issued: time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), OrgPath: orgPath, Tags: map[string]string{"team": "red", "cost": "1;2"}, Policies: policy.Set{d}},
	}})
	return newWorld(t, append([]func(*Config){func(cfg *Config) { cfg.Callers, cfg.Explain = callers, true }}, change...)...)
}

// guard has the service or the network ask for authorization by statements; an empty text stands for no policy.
func (w *world) guard(resourceID, statements string) {
	switch resourceID {
	default:
		service := *w.records[lattice.ServiceKey(scope, resourceID)].(*lattice.Service)
		service.AuthType = shape.AuthTypeAwsIam
		w.put(&service)
	case "sn-1":
		network := *w.records[lattice.ServiceNetworkKey(scope, resourceID)].(*lattice.ServiceNetwork)
		network.AuthType = shape.AuthTypeAwsIam
		w.put(&network)
	}
	if statements != "" {
		w.put(&lattice.AuthPolicy{AttachedPolicy: lattice.AttachedPolicy{
			Scope: scope, ResourceID: resourceID, Policy: `{"Version":"2012-10-17","Statement":[` + statements + `]}`,
		}})
	}
}

// statement returns a statement about everybody and everything, except for the members that are given.
func statement(effect, members string) string {
	s := `{"Effect":"` + effect + `"`
	for name, otherwise := range map[string]string{"Principal": `"*"`, "Action": `"*"`, "Resource": `"*"`} {
		if !strings.Contains(members, `"`+name+`"`) {
			s += `,"` + name + `":` + otherwise
		}
	}
	if members != "" {
		s += "," + members
	}
	return s + "}"
}

// sign signs a request with one of the known keys; the key nobody leaves it unsigned.
func sign(t testing.TB, request *http.Request, key string) {
	t.Helper()
	if key == "" {
		return
	}
	credentials := aws.Credentials{AccessKeyID: key, SecretAccessKey: secretKey}
	if key == sessionKey {
		credentials.SessionToken = "token"
	}
	request.Header.Set("X-Amz-Content-Sha256", sigv4.UnsignedPayload)
	err := v4.NewSigner().SignHTTP(context.Background(), credentials, request, sigv4.UnsignedPayload, "vpc-lattice-svcs", scope.Region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
}

// signingInterceptor signs calls of gRPC with one of the keys that are known: the request that the call becomes, whose path is
// the method's, and whose metadata are its headers.
func signingInterceptor(t testing.TB, key string, damage ...func(*http.Request)) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, in, out any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		request := requestTo(t, "POST", method)
		sign(t, request, key)
		for _, damage := range damage {
			damage(request)
		}
		for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token"} {
			if value := request.Header.Get(name); value != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), value)
			}
		}
		return invoke(ctx, request.URL.Path, in, out, conn, options...)
	}
}

// requestTo returns a request to svc-1.
func requestTo(t testing.TB, method, target string, headers ...string) *http.Request {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+host+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	return request
}

// http1Client returns a client that speaks HTTP/1.1 to a listener, whatever host it asks for.
func (w *world) http1Client() *http.Client {
	transport := &http.Transport{DialContext: w.dialler(80)}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// refusalOf returns AWS's text for the refusal of a key's holder who asks for a path.
func refusalOf(key, path, why string) string {
	who := map[string]string{userKey: userARN, sessionKey: sessionARN, "": "anonymous"}[key]
	return "AccessDeniedException: User: " + who + " is not authorized to perform: vpc-lattice-svcs:Invoke on resource: " + serviceARN + path + " " + why
}

func TestRequestsPassAsPoliciesSay(t *testing.T) {
	const allow, only = "allow", `"Resource":"*/elsewhere"`
	no := func(layer string) string {
		return "because no " + layer + "-based policy allows the vpc-lattice-svcs:Invoke action"
	}
	explicit := func(layer string) string { return "with an explicit deny in " + layer + "-based policy" }
	for _, test := range []struct {
		name             string
		network, service string // statements; allow is one that allows, and - stands for authType NONE
		key, path        string
		want             string // what ends the refusal; empty if there is none
		denied           accesslog.Denial
	}{
		{"nobody asks", "-", "-", "", "/", "", ""},
		{"nobody asks, a signed request", "-", "-", userKey, "/forbidden", "", ""},
		{"the service has no policy", "-", "", "", "/", no("service"), accesslog.DeniedByService},
		{"the service does not allow", "-", statement("Allow", only), "", "/", no("service"), accesslog.DeniedByService},
		{"the service allows", "-", allow, "", "/", "", ""},
		{"the service denies", "-", statement("Allow", "") + "," + statement("Deny", `"Resource":"*/a"`), "", "/a", explicit("a service"), accesslog.DeniedByService},
		{"the network has no policy", "", allow, "", "/", no("network"), accesslog.DeniedByNetwork},
		{"the network denies", statement("Allow", "") + "," + statement("Deny", ""), allow, "", "/", explicit("a network"), accesslog.DeniedByNetwork},
		{"both allow", allow, allow, "", "/a?b=c", "", ""},
		{"neither allows", "", "", "", "/", no("network"), accesslog.DeniedByNetwork},
		{"a user", allow, allow, userKey, "/a b/ü?x=1&a=%20", "", ""},
		{"a user by name", "-", statement("Allow", `"Principal":{"AWS":"`+userARN+`"}`), userKey, "/", "", ""},
		{"a user, who is not named", "-", statement("Allow", `"Principal":{"AWS":"`+roleARN+`"}`), userKey, "/", no("service"), accesslog.DeniedByService},
		{"a session, by its role", "-", statement("Allow", `"Principal":{"AWS":"`+roleARN+`"}`), sessionKey, "/", "", ""},
		{"a session by name", "-", statement("Allow", `"Principal":{"AWS":"`+sessionARN+`"}`), sessionKey, "/", "", ""},
		{"anonymous, where a role is asked for", "-", statement("Allow", `"Principal":{"AWS":"`+roleARN+`"}`), "", "/", no("service"), accesslog.DeniedByService},
		{"a user, whose own policy does not allow", "-", allow, userKey, "/forbidden", no("identity"), accesslog.DeniedByIdentity},
		{"a session, whose own policy denies", "-", allow, sessionKey, "/private", explicit("an identity"), accesslog.DeniedByIdentity},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newGuardedWorld(t)
			w.http2Storefront(shape.TargetGroupProtocolVersionHttp1, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			for id, statements := range map[string]string{"sn-1": test.network, "svc-1": test.service} {
				switch statements {
				case "-":
				case allow:
					w.guard(id, statement("Allow", ""))
				default:
					w.guard(id, statements)
				}
			}
			for version, client := range map[string]*http.Client{"HTTP/1.1": w.http1Client(), "HTTP/2": w.http2Client()} {
				request := requestTo(t, "GET", test.path)
				sign(t, request, test.key)
				got := do(t, client, request)
				if test.want == "" {
					if got.StatusCode != 200 || got.body != "ok" {
						t.Errorf("%s: %d %q", version, got.StatusCode, got.body)
					}
					continue
				}
				want := refusalOf(test.key, request.URL.EscapedPath(), test.want)
				if got.StatusCode != 403 || got.body != want {
					t.Errorf("%s: %d\n%s, want\n%s", version, got.StatusCode, got.body, want)
				}
				if got.Header.Get("x-trellis-problem") == "" {
					t.Errorf("%s: the response does not tell why: %v", version, got.Header)
				}
			}
			requests := 2
			if test.want != "" {
				requests++
				conn := w.grpcClient(grpc.WithDisableRetry(), grpc.WithUnaryInterceptor(signingInterceptor(t, test.key)))
				err := conn.Invoke(grpcContext(t), test.path, wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
				want := refusalOf(test.key, test.path, test.want)
				if got := status.Convert(err); got.Code() != codes.PermissionDenied || got.Message() != want {
					t.Errorf("gRPC: %v\n%s, want\n%s", got.Code(), got.Message(), want)
				}
			}
			asked := test.network != "-" || test.service != "-"
			for _, r := range w.accessLog(requests) {
				if (r.Caller != nil) != asked || asked && r.Caller.Denied != test.denied || (r.Failure == accesslog.ClientAccessDenied) != (test.want != "") {
					t.Errorf("recorded: failure %q, caller %+v", r.Failure, r.Caller)
				}
			}
		})
	}
}

// others are values that no request of TestPoliciesSeeEachConditionKeyOfARequest has, by operator.
var others = map[string]string{
	"NumericEquals": "81", "ArnEquals": "arn:aws:vpc-lattice:us-west-2:111122223333:service/another", "IpAddress": "192.0.2.1", "Bool": "true",
	"DateGreaterThan": "2200-01-01T00:00:00Z", "NumericGreaterThan": "7258118400",
}

// Each condition key, by a policy with the value that the request has, and by one with another.
func TestPoliciesSeeEachConditionKeyOfARequest(t *testing.T) {
	const tagged = "env"
	for key, test := range map[string]struct {
		value    string
		key      string // the signer's
		target   string
		headers  []string
		operator string
		grpc     string // the value that a call of gRPC has, if it is another; - if it has none
	}{
		"vpc-lattice-svcs:Port":                     {value: "80", operator: "NumericEquals"},
		"vpc-lattice-svcs:RequestMethod":            {value: "GET", grpc: "POST"},
		"vpc-lattice-svcs:RequestPath":              {value: "/a%20b", target: "/a%20b?c", grpc: "/test.Echo/Unary"},
		"vpc-lattice-svcs:RequestHeader/X-Team":     {value: "blue", headers: []string{"x-team", "blue"}},
		"vpc-lattice-svcs:RequestQueryString/color": {value: "deep blue", target: "/?color=deep%20blue", grpc: "-"},
		"vpc-lattice-svcs:ServiceArn":               {value: serviceARN, operator: "ArnEquals"},
		"vpc-lattice-svcs:ServiceNetworkArn":        {value: "arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/sn-1", operator: "ArnEquals"},
		"vpc-lattice-svcs:SourceVpc":                {value: "vpc-1"},
		"vpc-lattice-svcs:SourceVpcOwnerAccount":    {value: "111122223333"},
		"aws:PrincipalArn":                          {value: roleARN, key: sessionKey},
		"aws:PrincipalAccount":                      {value: "111122223333", key: userKey},
		"aws:PrincipalType":                         {value: "Anonymous"},
		"aws:PrincipalTag/team":                     {value: "blue", key: userKey},
		"aws:username":                              {value: "alice", key: userKey},
		"aws:userid":                                {value: "anonymous"},
		"aws:TokenIssueTime":                        {value: "2026-01-02T00:00:00Z", key: sessionKey, operator: "DateGreaterThan"},
		"aws:MultiFactorAuthPresent":                {value: "false", key: sessionKey, operator: "Bool"},
		"aws:PrincipalOrgID":                        {value: "o-a1b2c3d4e5", key: sessionKey},
		"aws:PrincipalOrgPaths":                     {value: "o-a1b2c3d4e5/r-ab12/*", key: sessionKey, operator: "ForAnyValue:StringLike"},
		"aws:CurrentTime":                           {value: "2020-01-01T00:00:00Z", operator: "DateGreaterThan"},
		"aws:EpochTime":                             {value: "1577836800", operator: "NumericGreaterThan"},
		"aws:SourceIp":                              {value: "127.0.0.1", operator: "IpAddress"},
		"aws:ResourceTag/" + tagged:                 {value: "prod"},
		"aws:ResourceAccount":                       {value: "111122223333"},
		"aws:RequestedRegion":                       {value: "us-west-2"},
		"aws:SecureTransport":                       {value: "false", operator: "Bool"},
		"aws:UserAgent":                             {value: "test/1", headers: []string{"user-agent", "test/1"}, grpc: "test/1 grpc-go/" + grpc.Version},
		"aws:Referer":                               {value: "http://a.test/", headers: []string{"referer", "http://a.test/"}},
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			w := newGuardedWorld(t)
			w.http2Storefront(shape.TargetGroupProtocolVersionHttp1, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			service := *w.records[lattice.ServiceKey(scope, "svc-1")].(*lattice.Service)
			service.Tags = map[string]string{tagged: "prod"}
			w.put(&service, &lattice.ServiceNetworkVpcAssociation{Base: w.base("snva-1"), ServiceNetworkID: "sn-1", VpcID: "vpc-1"})
			operator := cmp.Or(test.operator, "StringEquals")
			with := func(value string) string { return `"Condition":{"` + operator + `":{"` + key + `":"` + value + `"}}` }
			condition := with(test.value)
			for _, client := range []*http.Client{w.http1Client(), w.http2Client()} {
				for effect, want := range map[string]int{"Allow": 200, "Deny": 403} {
					w.guard("svc-1", statement(effect, condition)+","+statement("Allow", `"Condition":{"Null":{"vpc-lattice-svcs:RequestHeader/x-allow":"false"}}`))
					headers := test.headers
					if effect == "Deny" {
						headers = append([]string{"x-allow", "yes"}, headers...)
					}
					request := requestTo(t, "GET", cmp.Or(test.target, "/"), headers...)
					sign(t, request, test.key)
					if got := do(t, client, request); got.StatusCode != want {
						t.Errorf("%s %s: %d %q %s", got.Proto, effect, got.StatusCode, got.body, got.Header.Get("x-trellis-problem"))
					}
				}
				w.guard("svc-1", statement("Allow", with(cmp.Or(others[operator], "another"))))
				request := requestTo(t, "GET", cmp.Or(test.target, "/"), test.headers...)
				sign(t, request, test.key)
				if got := do(t, client, request); got.StatusCode != 403 {
					t.Errorf("%s, another value: %d %q", got.Proto, got.StatusCode, got.body)
				}
			}
			if test.grpc == "-" {
				return
			}
			w.targetGroup("tg-2", shape.TargetGroupProtocolHttp)
			w.setVersion("tg-2", shape.TargetGroupProtocolVersionGrpc)
			w.put(w.targets("tg-2", (&grpcService{unary: func(_ context.Context, in []byte) ([]byte, error) { return in, nil }}).serve(t)))
			w.put(&lattice.Rule{Base: w.base("rule-default"), ServiceID: "svc-1", ListenerID: "listener-svc-1", IsDefault: true,
				Priority: lattice.DefaultRulePriority, Action: forwardTo("tg-2"), TargetGroupIDs: []string{"tg-2"}})
			conn := w.grpcClient(grpc.WithDisableRetry(), grpc.WithUserAgent("test/1"), grpc.WithUnaryInterceptor(signingInterceptor(t, test.key)))
			for value, want := range map[string]codes.Code{cmp.Or(test.grpc, test.value): codes.OK, cmp.Or(others[operator], "another"): codes.PermissionDenied} {
				w.guard("svc-1", statement("Allow", with(value)))
				ctx := metadata.AppendToOutgoingContext(grpcContext(t), test.headers...)
				err := conn.Invoke(ctx, "/test.Echo/Unary", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
				if status.Code(err) != want {
					t.Errorf("gRPC, the policy has %q: %v, want %v", value, err, want)
				}
			}
		})
	}
}

func TestSignaturesThatAreThereAreCheckedWhateverIsAskedFor(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(*http.Request)
		want   string
		signed bool // the response shows what should have been signed
	}{
		{"another path", func(r *http.Request) { r.URL.Path = "/b" }, "InvalidSignatureException: The request signature we calculated does not match", true},
		{"an unknown key", func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), userKey, "AKIDNOBODY", 1))
		}, "UnrecognizedClientException: ", false},
		{"a signed payload", func(r *http.Request) {
			r.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64))
		}, "InvalidSignatureException: Signed payloads are not supported", false},
		{"no hash of the payload", func(r *http.Request) { r.Header.Del("X-Amz-Content-Sha256") },
			"IncompleteSignatureException: Missing the 'x-amz-content-sha256' in canonical headers", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newGuardedWorld(t)
			w.http2Storefront(shape.TargetGroupProtocolVersionHttp1, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			for _, client := range []*http.Client{w.http1Client(), w.http2Client()} {
				request := requestTo(t, "GET", "/a")
				sign(t, request, userKey)
				test.damage(request)
				got := do(t, client, request)
				if got.StatusCode != 403 || !strings.HasPrefix(got.body, test.want) {
					t.Errorf("%s: %d %q, want %q", got.Proto, got.StatusCode, got.body, test.want)
				}
				if canonical := got.Header.Get("x-trellis-canonical-request"); strings.HasPrefix(canonical, `"GET\n/b\n`) != test.signed {
					t.Errorf("%s: the canonical request is shown as %q", got.Proto, canonical)
				}
			}
			conn := w.grpcClient(grpc.WithDisableRetry(), grpc.WithUnaryInterceptor(signingInterceptor(t, userKey, test.damage)))
			err := conn.Invoke(grpcContext(t), "/a", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
			if got := status.Convert(err); got.Code() != codes.PermissionDenied || !strings.HasPrefix(got.Message(), test.want) {
				t.Errorf("gRPC: %v %q, want %q", got.Code(), got.Message(), test.want)
			}
			for _, r := range w.accessLog(3) {
				if r.Caller == nil || r.Caller.ResolvedUser != "Unknown" || r.Failure != accesslog.ClientAccessDenied {
					t.Errorf("recorded: failure %q, caller %+v", r.Failure, r.Caller)
				}
			}
		})
	}
}

func TestPresignedRequestsAreSigned(t *testing.T) {
	w := newGuardedWorld(t)
	w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	w.guard("svc-1", statement("Allow", `"Principal":{"AWS":"`+userARN+`"}`))
	request := requestTo(t, "GET", "/a?b=c&X-Amz-Expires=60")
	url, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: userKey, SecretAccessKey: secretKey}, request,
		sigv4.UnsignedPayload, "vpc-lattice-svcs", scope.Region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, target, _ := strings.Cut(url, host)
	if got := do(t, w.http1Client(), requestTo(t, "GET", target)); got.StatusCode != 200 {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
	if got := do(t, w.http1Client(), requestTo(t, "GET", target+"x")); got.StatusCode != 403 {
		t.Errorf("with another signature: %d %q", got.StatusCode, got.body)
	}
}

func TestPoliciesDecideAboutGRPCCalls(t *testing.T) {
	w := newGuardedWorld(t)
	w.http2Storefront(shape.TargetGroupProtocolVersionGrpc, (&grpcService{unary: func(_ context.Context, in []byte) ([]byte, error) { return in, nil }}).serve(t))
	w.guard("svc-1", statement("Allow", `"Resource":"`+serviceARN+`/test.Echo/Unary","Condition":{"StringEquals":{"vpc-lattice-svcs:RequestMethod":"POST"}}`))
	conn := w.grpcClient(grpc.WithDisableRetry())
	if err := conn.Invoke(grpcContext(t), "/test.Echo/Unary", wrapperspb.Bytes([]byte("hello")), new(wrapperspb.BytesValue)); err != nil {
		t.Errorf("a call that is allowed: %v", err)
	}
	w.guard("svc-1", statement("Allow", `"Resource":"`+serviceARN+`/test.Echo/Unary","Principal":{"AWS":"`+roleARN+`"}`))
	for key, want := range map[string]codes.Code{sessionKey: codes.OK, userKey: codes.PermissionDenied, "": codes.PermissionDenied} {
		signed := w.grpcClient(grpc.WithDisableRetry(), grpc.WithUnaryInterceptor(signingInterceptor(t, key)))
		out := new(wrapperspb.BytesValue)
		err := signed.Invoke(grpcContext(t), "/test.Echo/Unary", wrapperspb.Bytes([]byte("hello")), out)
		if status.Code(err) != want || err == nil && string(out.Value) != "hello" {
			t.Errorf("a call that is signed with %q is answered %q, %v; want %v", key, out.Value, err, want)
		}
	}
	err := conn.Invoke(grpcContext(t), "/test.Echo/Other", wrapperspb.Bytes([]byte("hello")), new(wrapperspb.BytesValue))
	want := "AccessDeniedException: User: anonymous is not authorized to perform: vpc-lattice-svcs:Invoke on resource: " + serviceARN +
		"/test.Echo/Other because no service-based policy allows the vpc-lattice-svcs:Invoke action"
	if got := status.Convert(err); got.Code() != codes.PermissionDenied || got.Message() != want {
		t.Errorf("a call that is denied: %v %q, want %q", got.Code(), got.Message(), want)
	}
}

func TestPoliciesDecideAboutConnectionsThatArePassedThrough(t *testing.T) {
	for _, test := range []struct {
		name, statements string
		passes           bool
	}{
		{"Connect", statement("Allow", `"Action":"vpc-lattice-svcs:Connect","Resource":"`+serviceARN+`"`), true},
		{"Connect on its port", statement("Allow", `"Action":"vpc-lattice-svcs:Connect","Condition":{"NumericEquals":{"vpc-lattice-svcs:Port":"443"},"StringEquals":{"aws:PrincipalType":"Anonymous"}}`), true},
		{"Connect to the service", statement("Allow", `"Condition":{"ArnEquals":{"vpc-lattice-svcs:ServiceArn":"`+serviceARN+`"}}`), true},
		{"Connect to another", statement("Allow", `"Condition":{"ArnEquals":{"vpc-lattice-svcs:ServiceArn":"`+serviceARN+`0"}}`), false},
		{"Connect through the network", statement("Allow", `"Condition":{"ArnEquals":{"vpc-lattice-svcs:ServiceNetworkArn":"arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/sn-1"}}`), true},
		{"Connect through another", statement("Allow", `"Condition":{"ArnEquals":{"vpc-lattice-svcs:ServiceNetworkArn":"arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/sn-2"}}`), false},
		{"Connect from the VPC", statement("Allow", `"Condition":{"StringEquals":{"vpc-lattice-svcs:SourceVpc":"vpc-1","vpc-lattice-svcs:SourceVpcOwnerAccount":"111122223333"}}`), true},
		{"Connect from another", statement("Allow", `"Condition":{"StringEquals":{"vpc-lattice-svcs:SourceVpc":"vpc-2"}}`), false},
		{"Connect from another's", statement("Allow", `"Condition":{"StringEquals":{"vpc-lattice-svcs:SourceVpcOwnerAccount":"444455556666"}}`), false},
		{"Connect on another port", statement("Allow", `"Condition":{"NumericEquals":{"vpc-lattice-svcs:Port":"80"}}`), false},
		{"a method", statement("Allow", `"Condition":{"StringLike":{"vpc-lattice-svcs:RequestMethod":"*"}}`), false},
		{"Invoke", statement("Allow", `"Action":"vpc-lattice-svcs:Invoke"`), false},
		{"a path", statement("Allow", `"Resource":"`+serviceARN+`/*"`), false},
		{"a principal", statement("Allow", `"Principal":{"AWS":"111122223333"}`), false},
		{"a Deny", statement("Allow", "") + "," + statement("Deny", `"Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}`), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newSecureWorld(t)
			w.passthrough(secureBackend(t, w.site(customHost), echoTLS))
			w.put(&lattice.ServiceNetworkVpcAssociation{Base: w.base("snva-1"), ServiceNetworkID: "sn-1", VpcID: "vpc-1"})
			w.guard("svc-1", test.statements)
			c, err := w.tls(w.client(customHost))
			if (err == nil) != test.passes {
				t.Fatalf("the handshake: %v", err)
			}
			if err == nil {
				c.send("hello")
				c.tls.CloseWrite()
				if got, err := io.ReadAll(c.Reader); err != nil || string(got) != "hello" {
					t.Errorf("got %q, error %v", got, err)
				}
				c.tls.NetConn().Close() // The connection is recorded when it ends.
			}
			if r := w.accessLog(1)[0]; r.Caller == nil || r.Caller.ResolvedUser != "Anonymous" || (r.Caller.Denied == accesslog.DeniedByService) == test.passes {
				t.Errorf("recorded: failure %q, caller %+v", r.Failure, r.Caller)
			}
		})
	}
}

// What is denied reaches neither a rule's fixed response nor a target.
func TestFixedResponsesNeedAuthorizationToo(t *testing.T) {
	w := newGuardedWorld(t)
	w.service("svc-1", 80, respondWith(404))
	w.guard("svc-1", statement("Allow", `"Resource":"*/open"`))
	for path, want := range map[string]int{"/open": 404, "/closed": 403} {
		if got := do(t, w.http1Client(), requestTo(t, "GET", path)); got.StatusCode != want {
			t.Errorf("%s: %d %q, want %d", path, got.StatusCode, got.body, want)
		}
	}
}
