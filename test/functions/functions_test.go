// Package functions_test sends requests through the built program to Lambda functions, each in a language with AWS's own
// runtime or event classes, and to substitutes for AWS's Lambda.
package functions_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
	"github.com/google/go-cmp/cmp"

	"trellis/internal/function"
	"trellis/test/trellistest"
)

const account = "123456789012"

func functionARN(name string) string {
	return "arn:aws:lambda:us-west-2:" + account + ":function:" + name
}

// buildProgram builds the function in Go.
func buildProgram(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "orders")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./program").CombinedOutput(); err != nil {
		t.Fatalf("building the function: %v\n%s", err, out)
	}
	return program
}

func writeInventory(t *testing.T, text string, args ...any) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "inventory.yaml")
	if err := os.WriteFile(name, fmt.Appendf(nil, text, args...), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// node is a running program with one service network, in which its services are.
type node struct {
	t *testing.T
	*trellistest.Process
	client    *vpclattice.Client
	network   string // its ARN
	port, tls int
}

func start(t *testing.T, args ...string) *node {
	t.Helper()
	return startCommand(t, "dev", aws.AnonymousCredentials{}, append([]string{"--account", account}, args...)...)
}

func startCommand(t *testing.T, command string, credentials aws.CredentialsProvider, args ...string) *node {
	t.Helper()
	n := &node{t: t, port: trellistest.FreePort(t), tls: trellistest.FreePort(t)}
	args = append([]string{"--deregistration-delay", "1m", "--port-map", fmt.Sprintf("80=%d,443=%d", n.port, n.tls)}, args...)
	n.Process = trellistest.Start(t, trellistest.Build(t), command, args...)
	n.client = vpclattice.New(vpclattice.Options{Region: "us-west-2", BaseEndpoint: aws.String(n.API), Credentials: credentials})
	network, err := n.client.CreateServiceNetwork(t.Context(), &vpclattice.CreateServiceNetworkInput{Name: aws.String("functions")})
	if err != nil {
		t.Fatal(err)
	}
	n.network = *network.Arn
	return n
}

// associate lets the clients in a VPC reach the network.
func (n *node) associate(vpc string) {
	n.t.Helper()
	if _, err := n.client.CreateServiceNetworkVpcAssociation(n.t.Context(), &vpclattice.CreateServiceNetworkVpcAssociationInput{
		ServiceNetworkIdentifier: &n.network, VpcIdentifier: &vpc,
	}); err != nil {
		n.t.Fatal(err)
	}
}

// service is a service whose requests all go to one target group.
type service struct {
	n          *node
	host       string
	arn, group string
	groupID    string
}

// behind creates a service in front of a target group.
func (n *node) behind(name string, group *vpclattice.CreateTargetGroupInput, targets ...types.Target) *service {
	n.t.Helper()
	ctx := n.t.Context()
	group.Name = &name
	made, err := n.client.CreateTargetGroup(ctx, group)
	if err != nil {
		n.t.Fatal(err)
	}
	registered, err := n.client.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: made.Id, Targets: targets})
	if err != nil || len(registered.Unsuccessful) > 0 {
		n.t.Fatal(err, registered)
	}
	created, err := n.client.CreateService(ctx, &vpclattice.CreateServiceInput{Name: &name})
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.client.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: created.Id, ServiceNetworkIdentifier: &n.network,
	}); err != nil {
		n.t.Fatal(err)
	}
	for protocol, port := range map[types.ListenerProtocol]int32{types.ListenerProtocolHttp: 80, types.ListenerProtocolHttps: 443} {
		if _, err := n.client.CreateListener(ctx, &vpclattice.CreateListenerInput{
			ServiceIdentifier: created.Id, Name: aws.String(strings.ToLower(string(protocol))), Protocol: protocol, Port: &port,
			DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: made.Id}}}},
		}); err != nil {
			n.t.Fatal(err)
		}
	}
	return &service{n: n, host: *created.DnsEntry.DomainName, arn: *created.Arn, group: *made.Arn, groupID: *made.Id}
}

func (n *node) function(name string, version types.LambdaEventStructureVersion, arn string) *service {
	n.t.Helper()
	return n.behind(name, &vpclattice.CreateTargetGroupInput{
		Type: types.TargetGroupTypeLambda, Config: &types.TargetGroupConfig{LambdaEventStructureVersion: version},
	}, types.Target{Id: &arn})
}

// client returns a client of HTTP/1.1, or of HTTP/2 over TLS.
func (s *service) client(http2 bool) *http.Client {
	port := s.n.port
	if http2 {
		port = s.n.tls
	}
	transport := &http.Transport{
		ForceAttemptHTTP2: http2,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		},
	}
	s.n.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type reply struct {
	*http.Response
	body []byte
}

func (s *service) send(client *http.Client, http2 bool, method, path string, header http.Header, body []byte) (reply, error) {
	scheme := "http"
	if http2 {
		scheme = "https"
	}
	r, err := http.NewRequestWithContext(s.n.t.Context(), method, scheme+"://"+s.host+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return reply{response, read}, err
}

func (s *service) get(path string) reply {
	s.n.t.Helper()
	r, err := s.send(s.client(false), false, http.MethodGet, path, nil, nil)
	if err != nil {
		s.n.t.Fatal(err)
	}
	return r
}

// TestFunctionsGetTheirEventsInEveryLanguage makes functions read their events with AWS's own event classes: those of
// aws-lambda-powertools for Python, its schemas for TypeScript, and in Go the documented members.
func TestFunctionsGetTheirEventsInEveryLanguage(t *testing.T) {
	trellistest.Install(t, "venv.sh", "functions")
	trellistest.Install(t, "node_modules.sh", "functions")
	languages := []string{"go", "python", "node"}
	// It is in C++, which takes long to build: make aws-lambda-ric.
	ric := absolute(t, "ric/node_modules/aws-lambda-ric/index.mjs")
	if _, err := os.Stat(filepath.Join(filepath.Dir(ric), "rapid-client.node")); err == nil {
		languages = append(languages, "ric")
	} else {
		t.Log("without aws-lambda-ric, which make aws-lambda-ric builds")
	}
	n := start(t, "--inventory", writeInventory(t, `
vpcs:
  - id: vpc-0123456789abcdef0
    cidrs: [127.0.0.0/8]
functions:
  - arn: %s
    command: [%s]
    directory: %s
  - arn: %s
    command: %s -m awslambdaric app.handler
    directory: %s
  - arn: %s
    command: node runtime.mjs app.handler
    directory: %s
  - arn: %s
    command: node %s app.handler
    directory: %s
`, functionARN("go"), buildProgram(t), t.TempDir(), functionARN("python"), absolute(t, "../../.venv-functions/bin/python"), absolute(t, "python"),
		functionARN("node"), absolute(t, "javascript"), functionARN("ric"), ric, absolute(t, "javascript")))
	n.associate("vpc-0123456789abcdef0")
	for _, language := range languages {
		for _, version := range []types.LambdaEventStructureVersion{types.LambdaEventStructureVersionV1, types.LambdaEventStructureVersionV2} {
			s := n.function(language+"-"+strings.ToLower(string(version)), version, functionARN(language))
			for _, http2 := range []bool{false, true} {
				name := fmt.Sprintf("%s %s by HTTP/1.1", language, version)
				if http2 {
					name = fmt.Sprintf("%s %s by HTTP/2", language, version)
				}
				t.Run(name, func(t *testing.T) { s.checkEvents(t, language, version == types.LambdaEventStructureVersionV2, http2) })
			}
		}
	}
}

// said is what the functions return.
type said struct {
	Method, Path string
	Query        map[string]any
	Many         any
	ForwardedFor string
	Body         []byte
	Encoded      bool
	JSON         map[string]any
	Context      map[string]string
}

func (s *service) checkEvents(t *testing.T, language string, isV2, http2 bool) {
	client := s.client(http2)
	many := http.Header{"X-Many": {"1", "2"}}
	with := func(contentType string) http.Header {
		h := many.Clone()
		h.Set("Content-Type", contentType)
		return h
	}
	for _, test := range []struct {
		method, path string
		header       http.Header
		body         []byte
		want         said
	}{
		{"POST", "/a%20b?q=1&r=x%20y&q=2", with("application/json"), []byte(`{"a":"ä"}`),
			said{Query: map[string]any{"q": []any{"1", "2"}, "r": []any{"x y"}}, JSON: map[string]any{"a": "ä"}}},
		{"PUT", "/text", with("text/plain; charset=utf-8"), []byte("hello"), said{}},
		{"POST", "/bytes", with("application/octet-stream"), []byte{0, 255, 1}, said{Encoded: true}},
		{"POST", "/zip", with("application/x-gzip"), bytes.Repeat([]byte("many bytes "), 100000), said{Encoded: true}},
		{"GET", "/empty", many, nil, said{}},
		{"DELETE", "/", many, nil, said{}},
		{"OPTIONS", "/options", many, nil, said{}},
	} {
		r, err := s.send(client, http2, test.method, test.path, test.header, test.body)
		if err != nil {
			t.Fatal(err)
		}
		var got said
		if err := json.Unmarshal(r.body, &got); err != nil || r.StatusCode != 200 || r.Header.Get("X-Function") != language {
			t.Errorf("%s %s is answered %d %v: %s", test.method, test.path, r.StatusCode, r.Header, r.body)
			continue
		}
		want := test.want
		want.Method, want.Path, want.Body, want.ForwardedFor = test.method, test.path, test.body, "127.0.0.1"
		if want.Body == nil {
			want.Body = []byte{}
		}
		want.Many = []any{"1", "2"}
		if want.Query == nil {
			want.Query = map[string]any{}
		}
		if isV2 {
			want.Context = map[string]string{"serviceArn": s.arn, "targetGroupArn": s.group, "serviceNetworkArn": s.n.network, "region": "us-west-2", "vpc": "arn:aws:ec2:us-west-2:" + account + ":vpc/vpc-0123456789abcdef0"}
		} else {
			want.Many = "1,2"
			for name, values := range want.Query {
				want.Query[name] = values.([]any)[0]
			}
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", test.method, test.path, diff)
		}
	}
	r, err := s.send(client, http2, http.MethodHead, "/head", many, nil)
	if err != nil || r.StatusCode != 200 || len(r.body) != 0 || r.ContentLength <= 0 {
		t.Errorf("HEAD is answered %v with %d bytes, error %v", r.Response, len(r.body), err)
	}
}

func TestResponsesOfEveryFormPassAndEachFailureHasItsReason(t *testing.T) {
	n := start(t, "--inventory", writeInventory(t, "functions:\n  - arn: %s\n    command: [%s]\n    timeout: 10s\n  - arn: %s\n    command: [sh, -c, 'echo no module named app; exit 3']\n",
		functionARN("orders"), buildProgram(t), functionARN("broken")))
	s := n.function("orders", types.LambdaEventStructureVersionV2, functionARN("orders"))
	if r := s.get("/binary"); r.StatusCode != 200 || !bytes.Equal(r.body, []byte{0, 255, 1}) || r.ContentLength != 3 {
		t.Errorf("binary: %d %v", r.StatusCode, r.body)
	}
	if r := s.get("/redirect"); r.StatusCode != 307 || r.Header.Get("Location") != "/elsewhere" || r.ContentLength != 0 || r.Close {
		t.Errorf("redirect: %d %v", r.StatusCode, r.Header)
	}
	if r := s.get("/cookies"); r.StatusCode != 204 || len(r.Cookies()) != 2 {
		t.Errorf("cookies: %d %v", r.StatusCode, r.Header)
	}
	if r := s.get("/large"); r.StatusCode != 200 || len(r.body) != 6<<20-100 {
		t.Errorf("large: %d, %d bytes", r.StatusCode, len(r.body))
	}
	if r := s.get("/endpoints"); string(r.body) != n.API+" "+n.API+" "+n.API {
		t.Errorf("the function finds the APIs at %q, want %s", r.body, n.API)
	}
	broken := n.function("broken", types.LambdaEventStructureVersionV1, functionARN("broken"))
	unknown := n.function("unknown", types.LambdaEventStructureVersionV1, functionARN("unknown"))
	for _, test := range []struct {
		s               *service
		path            string
		status          int
		reason, problem string
	}{
		{s, "/error", 502, "LambdaUnhandled", "out of stock"},
		{s, "/exit", 502, "LambdaUnhandled", "exit status 3"},
		{s, "/hang", 504, "LambdaTimeout", "timed out after 10s"},
		{s, "/no-status", 502, "LambdaInvalidResponse", "statusCode is missing"},
		{s, "/no-base64", 502, "LambdaInvalidBody", "is not base64"},
		{s, "/too-large", 502, "LambdaResponseTooLarge", "larger than 6291456 bytes"},
		{broken, "/", 502, "LambdaInitError", "no module named app"},
		{unknown, "/", 503, "LambdaNotFound", "--inventory"},
	} {
		r := test.s.get(test.path)
		if r.StatusCode != test.status || r.Header.Get("X-Trellis-Failure") != test.reason || !strings.Contains(r.Header.Get("X-Trellis-Problem"), test.problem) {
			t.Errorf("%s: %d %v", test.path, r.StatusCode, r.Header)
		}
	}
	// gRPC cannot be carried to a function.
	r, err := s.send(s.client(true), true, http.MethodPost, "/shop.Orders/Get", http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}, make([]byte, 5))
	if err != nil || r.StatusCode != 200 || r.Header.Get("Grpc-Status") != "12" || !strings.Contains(r.Header.Get("X-Trellis-Problem"), "cannot carry the request") {
		t.Errorf("gRPC: %v, %v", r.Response, err)
	}
	body := bytes.Repeat([]byte("x"), 6<<20+1)
	// Without Expect, a client that is still sending may miss the response.
	client := s.client(false)
	client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	r, err = s.send(client, false, http.MethodPost, "/", http.Header{"Expect": {"100-continue"}}, body)
	if err != nil || r.StatusCode != 413 || r.Header.Get("X-Trellis-Failure") != "LambdaRequestTooLarge" {
		t.Errorf("a body that is too large: %v, %v", r.Response, err)
	}
	// Which services a function is behind can also be seen when nobody sends a request.
	if report := n.explain(broken.host); !strings.Contains(report, "no module named app") {
		t.Errorf("/explain says %s", report)
	}
	if log := n.Log(); strings.Count(log, "no module named app") == 0 {
		t.Errorf("the log does not say why a program cannot start:\n%s", log)
	}
	// The process whose response was too large ends by itself, soon or late. Another event has another one started.
	trellistest.Await(t, func() bool {
		s.get("/")
		about := n.explainFunction(s)
		return len(about.Processes) > 0 && about.Processes[0].State == "warm" && about.LastError != nil && strings.Contains(about.LastError.Text, "6291456 bytes")
	}, "/explain tells of a warm process, and of the last error")
	status, err := n.client.ListTargets(t.Context(), &vpclattice.ListTargetsInput{TargetGroupIdentifier: &s.groupID})
	if err != nil || len(status.Items) != 1 || status.Items[0].Status != types.TargetStatusUnavailable || *status.Items[0].ReasonCode != "HealthCheckNotSupported" {
		t.Errorf("the status is %+v, %v", status, err)
	}
}

func (n *node) explain(host string) string {
	n.t.Helper()
	r, err := http.Get(n.Admin + "/explain?host=" + host)
	if err != nil {
		n.t.Fatal(err)
	}
	defer r.Body.Close()
	return readAll(n.t, r.Body)
}

// explainFunction asks what is known of the function behind a service.
func (n *node) explainFunction(s *service) (about function.Report) {
	n.t.Helper()
	r, err := http.Get(n.Admin + "/explain?targetGroup=" + s.groupID)
	if err != nil {
		n.t.Fatal(err)
	}
	defer r.Body.Close()
	var explained struct{ Functions map[string]function.Report }
	if err := json.NewDecoder(r.Body).Decode(&explained); err != nil || len(explained.Functions) != 1 {
		n.t.Fatal(r.Status, err, explained)
	}
	for _, about = range explained.Functions {
	}
	return about
}

func readAll(t *testing.T, from io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestThousandConcurrentRequestsAreServedOrThrottled(t *testing.T) {
	n := start(t, "--inventory", writeInventory(t, "functions:\n  - arn: %s\n    command: [%s]\n    concurrency: 4\n", functionARN("orders"), buildProgram(t)))
	s := n.function("orders", types.LambdaEventStructureVersionV1, functionARN("orders"))
	client := s.client(false)
	var mu sync.Mutex
	counts := map[int]int{}
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			r, err := s.send(client, false, http.MethodGet, "/fast", nil, nil)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || r.StatusCode == 503 && r.Header.Get("X-Trellis-Failure") != "LambdaTooManyRequests" {
				t.Error(r.Response, err)
				return
			}
			counts[r.StatusCode]++
		})
	}
	all.Wait()
	if counts[200]+counts[503] != 1000 || counts[200] < 4 {
		t.Errorf("the responses are %v", counts)
	}
}

// getSlowly sends a request that takes a while, and returns when a function is at work on it. The channel tells how it ends.
func (s *service) getSlowly() <-chan error {
	s.n.t.Helper()
	answered := make(chan error, 1)
	go func() {
		r, err := s.send(s.client(false), false, http.MethodGet, "/slow", nil, nil)
		if err == nil && r.StatusCode != 200 {
			err = fmt.Errorf("%d %v", r.StatusCode, r.Header)
		}
		answered <- err
	}()
	trellistest.Await(s.n.t, func() bool { return strings.Contains(s.n.Log(), "the event is here") }, "the function has the event")
	return answered
}

func TestDeregisteringAFunctionDoesNotBreakRequestsUnderWay(t *testing.T) {
	n := start(t, "--inventory", writeInventory(t, "functions:\n  - arn: %s\n    command: [%s]\n", functionARN("slow"), buildProgram(t)))
	s := n.function("slow", types.LambdaEventStructureVersionV1, functionARN("slow"))
	answered := s.getSlowly()
	if about := n.explainFunction(s); len(about.Processes) != 1 || about.Processes[0].State != "busy" || about.Processes[0].RequestID == "" {
		t.Errorf("/explain says of the function %+v", about)
	}
	if _, err := n.client.DeregisterTargets(t.Context(), &vpclattice.DeregisterTargetsInput{
		TargetGroupIdentifier: &s.groupID, Targets: []types.Target{{Id: aws.String(functionARN("slow"))}},
	}); err != nil {
		t.Fatal(err)
	}
	if r := s.get("/"); r.StatusCode != 503 {
		t.Errorf("a new request is answered %d", r.StatusCode)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
