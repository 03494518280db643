package stories_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	firehosetypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// relay stands before the server of the sinks, and can be down. A request that it has passed on is answered even then: docs/logs.md
// says what happens when the response is lost, which no test can expect exactly.
type relay struct {
	mu    sync.RWMutex // mu guards the field below. Requests hold it until they are answered.
	down  bool
	proxy *httputil.ReverseProxy
}

// ServeHTTP implements http.Handler.
func (r *relay) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.down {
		panic(http.ErrAbortHandler)
	}
	r.proxy.ServeHTTP(w, request)
}

func (r *relay) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// sinks are the destinations of access logs: a bucket, a log group, and a delivery stream that puts records into a bucket.
type sinks struct {
	s3       *s3.Client
	logs     *cloudwatchlogs.Client
	firehose *firehose.Client
	relay    *relay
}

const (
	logBucket    = "access-logs"
	streamBucket = "access-logs-stream"
	logGroup     = "access-logs"
	logStream    = "access-logs"
)

// startSinks starts what stands in for AWS, and makes the node that is started next deliver to it through a relay.
func startSinks(t *testing.T) *sinks {
	t.Helper()
	address := trellistest.StartMoto(t)
	cfg := must(config.LoadDefaultConfig(t.Context(), config.WithRegion("us-west-2"), config.WithBaseEndpoint(address),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired)))(t)
	s := &sinks{
		s3:   s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
		logs: cloudwatchlogs.NewFromConfig(cfg), firehose: firehose.NewFromConfig(cfg),
	}
	target := must(url.Parse(address))(t)
	s.relay = &relay{proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // It is signed.
	}}}
	between := httptest.NewServer(s.relay)
	t.Cleanup(between.Close)
	t.Setenv("AWS_ENDPOINT_URL", between.URL)
	for _, bucket := range []string{logBucket, streamBucket} {
		must(s.s3.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket,
			CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: "us-west-2"}}))(t)
	}
	must(s.logs.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(logGroup)}))(t)
	must(s.firehose.CreateDeliveryStream(t.Context(), &firehose.CreateDeliveryStreamInput{
		DeliveryStreamName: aws.String(logStream),
		ExtendedS3DestinationConfiguration: &firehosetypes.ExtendedS3DestinationConfiguration{
			BucketARN: aws.String("arn:aws:s3:::" + streamBucket), RoleARN: aws.String("arn:aws:iam::123456789012:role/firehose")},
	}))(t)
	return s
}

func (s *sinks) subscribe(t *testing.T, c *vpclattice.Client, resource string) {
	t.Helper()
	for _, arn := range []string{
		"arn:aws:s3:::" + logBucket + "/prefix", "arn:aws:logs:us-west-2:123456789012:log-group:" + logGroup + ":*",
		"arn:aws:firehose:us-west-2:123456789012:deliverystream/" + logStream,
	} {
		must(c.CreateAccessLogSubscription(t.Context(), &vpclattice.CreateAccessLogSubscriptionInput{
			ResourceIdentifier: &resource, DestinationArn: &arn}))(t)
	}
}

// taken returns the lines that each destination has.
func (s *sinks) taken(t *testing.T) map[string][]string {
	t.Helper()
	return map[string][]string{"S3": s.objects(t, logBucket), "CloudWatch Logs": s.events(t), "Firehose": s.objects(t, streamBucket)}
}

func (s *sinks) objects(t *testing.T, bucket string) (lines []string) {
	t.Helper()
	pages := s3.NewListObjectsV2Paginator(s.s3, &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		for _, object := range must(pages.NextPage(t.Context()))(t).Contents {
			got := must(s.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: object.Key}))(t)
			content := must(io.ReadAll(got.Body))(t)
			got.Body.Close()
			if strings.HasSuffix(*object.Key, ".gz") {
				content = must(io.ReadAll(must(gzip.NewReader(bytes.NewReader(content)))(t)))(t)
				if !strings.HasPrefix(*object.Key, "prefix/AWSLogs/") {
					t.Errorf("there is an object %s", *object.Key)
				}
			}
			lines = append(lines, strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")...)
		}
	}
	return lines
}

func (s *sinks) events(t *testing.T) (lines []string) {
	t.Helper()
	streams := must(s.logs.DescribeLogStreams(t.Context(), &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String(logGroup)}))(t)
	for _, stream := range streams.LogStreams {
		in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String(logGroup), LogStreamName: stream.LogStreamName, StartFromHead: aws.Bool(true)}
		for {
			out := must(s.logs.GetLogEvents(t.Context(), in))(t)
			for _, event := range out.Events {
				lines = append(lines, *event.Message)
			}
			if len(out.Events) == 0 || in.NextToken != nil && *in.NextToken == *out.NextForwardToken {
				break
			}
			in.NextToken = out.NextForwardToken
		}
	}
	return lines
}

// logged is a network whose requests all have entries, and what they must say.
type logged struct {
	port, tls, sealed   int
	web, guarded, order string // hosts
	resources           netip.Prefix
	resource            string // address and port
	arrived             sync.Map
	inventory           string // a file
	// traceParents says that requests have a traceparent, of which arrivedWith has what targets have got, by id.
	traceParents bool
	arrivedWith  sync.Map
	clients      map[string]*http.Client

	mu       sync.Mutex // mu guards the fields below.
	expected map[string]wanted
	tunnels  int // passed through
	reached  int // connections to the resource
}

// wanted is what the entry of a request must have. Status 0 is any.
type wanted struct {
	kind, reason string
	status       int
}

// kindOfRequest is a kind of exchange, with how many of 250 end like this.
type kindOfRequest struct {
	name   string
	share  int
	reason string
	status int
	send   func(l *logged, id string) error
}

var kindsOfRequests = []kindOfRequest{
	{"forwarded", 58, "-", 200, ask("kept", "web", "/echo")},
	{"forwarded by a new connection", 12, "-", 200, ask("new", "web", "/echo")},
	{"forwarded by HTTP/2", 38, "-", 200, ask("HTTP/2", "web", "/echo")},
	{"gRPC", 25, "-", 200, (*logged).callGRPC},
	{"fixed", 25, "-", 404, ask("kept", "web", "/fixed")},
	{"denied", 12, "ClientAccessDenied", 403, ask("kept", "guarded", "/echo")},
	{"of a function", 13, "-", 200, ask("kept", "order", "/fast")},
	{"of a function that fails", 8, "LambdaUnhandled", 502, ask("kept", "order", "/error")},
	{"of a function that returns no status", 5, "LambdaInvalidResponse", 502, ask("HTTP/2", "order", "/no-status")},
	{"no target", 5, "TargetConnectionError", 503, ask("kept", "web", "/none")},
	{"a target that refuses", 5, "TargetConnectionError", 500, ask("HTTP/2", "web", "/refused")},
	{"a target that talks nonsense", 5, "TargetProtocolError", 502, ask("kept", "web", "/nonsense")},
	{"a target that breaks off", 5, "TargetConnectionClosed", 200, (*logged).readHalf},
	{"a client that goes", 5, "ClientConnectionClosed", 0, (*logged).goAway},
	{"a client that talks nonsense", 5, "ClientProtocolError", 400, (*logged).talkNonsense},
	{"passed through", 19, "-", 0, (*logged).passThrough},
	{"to a resource", 5, "-", 0, (*logged).reach},
}

// slowKinds take a minute and more: they are part of the full test only.
var slowKinds = []kindOfRequest{
	{"a target that is silent", 0, "TargetDataTimeout", 504, ask("new", "web", "/hang")},
	{"a connection that lives too long", 0, "ConnectionDurationExceeded", 200, (*logged).readHalf},
}

// ask returns how a client sends a request to a service.
func ask(client, service, path string) func(*logged, string) error {
	return func(l *logged, id string) error {
		response, err := l.send(client, service, http.MethodGet, path, id, nil)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
}

// send sends a request. What is not asked for must not happen.
func (l *logged) send(client, service, method, path, id string, header http.Header) (*http.Response, error) {
	want := l.expectedOf(id)
	scheme := "http://"
	if client == "HTTP/2" {
		scheme = "https://"
	}
	host := map[string]string{"web": l.web, "guarded": l.guarded, "order": l.order}[service]
	request, err := http.NewRequest(method, scheme+host+path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", id)
	if l.traceParents {
		request.Header["Traceparent"], request.Header["Tracestate"] = []string{traceParentOf(id)}, []string{"one=1, two=2"}
	}
	response, err := l.clients[client].Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != want.status {
		response.Body.Close()
		return nil, fmt.Errorf("it is answered %d", response.StatusCode)
	}
	if want.reason == "-" || response.StatusCode >= 400 {
		_, err = io.Copy(io.Discard, response.Body)
	}
	return response, err
}

func (l *logged) expectedOf(id string) wanted {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expected[id]
}

func (l *logged) callGRPC(id string) error {
	response, err := l.send("HTTP/2", "web", http.MethodPost, "/grpc.Test/Call", id, http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if status := response.Trailer.Get("Grpc-Status"); status != "0" {
		return fmt.Errorf("the status of gRPC is %q", status)
	}
	return nil
}

// readHalf reads a response that does not come to its end.
func (l *logged) readHalf(id string) error {
	path := "/half"
	if l.expectedOf(id).reason == "ConnectionDurationExceeded" {
		path = "/drip"
	}
	response, err := l.send("new", "web", http.MethodGet, path, id, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err == nil {
		return fmt.Errorf("the response ended well after %d bytes", n)
	}
	return nil
}

// atTarget opens a connection, sends something, and returns when the target has the request.
func (l *logged) atTarget(id, text string, args ...any) (net.Conn, error) {
	arrived := make(chan struct{})
	l.arrived.Store(id, arrived)
	conn, err := net.Dial("tcp", local(l.port))
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, text, args...)
	<-arrived
	return conn, err
}

func (l *logged) goAway(id string) error {
	conn, err := l.atTarget(id, "GET /hang HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n\r\n", l.web, id)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (l *logged) talkNonsense(id string) error {
	conn, err := l.atTarget(id, "POST /hang HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", l.web, id)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "no chunk\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusBadRequest {
		return fmt.Errorf("it is answered %d", response.StatusCode)
	}
	return response.Body.Close()
}

// passThrough makes a connection that both ends close in order: a client that closes TLS when the target has gone already would
// be told that nobody is there, which is a failure.
func (l *logged) passThrough(string) error {
	conn, err := tls.Dial("tcp", local(l.sealed), &tls.Config{InsecureSkipVerify: true, ServerName: sealedHost})
	if err != nil {
		return err
	}
	defer conn.NetConn().Close()
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", sealedHost); err != nil {
		return err
	}
	response, err := io.ReadAll(conn)
	if err == nil && !bytes.HasSuffix(response, []byte(greeting)) {
		err = fmt.Errorf("the response is %q", response)
	}
	return err
}

func (l *logged) reach(string) error {
	conn, err := net.Dial("tcp", l.resource)
	if err != nil {
		return err
	}
	defer conn.Close()
	got, err := io.ReadAll(conn)
	if err == nil && string(got) != greeting {
		err = fmt.Errorf("the resource sends %q", got)
	}
	return err
}

// serveTarget is the target of all kinds of requests.
func (l *logged) serveTarget(w http.ResponseWriter, r *http.Request) {
	l.arrivedWith.Store(r.UserAgent(), strings.Join(r.Header["Traceparent"], ",")+" "+strings.Join(r.Header["Tracestate"], ","))
	switch r.URL.Path {
	case "/hang":
		if arrived, ok := l.arrived.Load(r.UserAgent()); ok {
			close(arrived.(chan struct{}))
		}
		_, _ = io.Copy(io.Discard, r.Body) // Without that, net/http does not see the end of the connection.
		<-r.Context().Done()
	case "/nonsense", "/half":
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer conn.Close()
		text := "nonsense\r\n\r\n"
		if r.URL.Path == "/half" {
			text = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
		}
		_, _ = io.WriteString(conn, text) // Whoever reads it sees what comes of it.
	case "/drip":
		for again := time.NewTicker(time.Second); ; {
			fmt.Fprintln(w, "drip")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-again.C:
			case <-r.Context().Done():
				return
			}
		}
	case "/grpc.Test/Call":
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write([]byte{0, 0, 0, 0, 0})
		w.Header().Set("Grpc-Status", "0")
	default:
		io.WriteString(w, greeting)
	}
}

// newLogged returns what is needed to build the network and to send requests.
func newLogged(t *testing.T) *logged {
	t.Helper()
	dir := t.TempDir()
	function := filepath.Join(dir, "order")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", function, "../functions/program").CombinedOutput(); err != nil {
		t.Fatalf("building the function: %v\n%s", err, out)
	}
	l := &logged{port: trellistest.FreePort(t), tls: trellistest.FreePort(t), sealed: trellistest.FreePort(t), resources: trellistest.ResourceRange(), expected: map[string]wanted{},
		inventory: filepath.Join(dir, "inventory.yaml")}
	if err := os.WriteFile(l.inventory, fmt.Appendf(nil, "functions:\n  - arn: arn:aws:lambda:us-west-2:000000000000:function:order\n    command: [%s]\n", function), 0o600); err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		port := l.port
		if strings.HasSuffix(address, ":443") {
			port = l.tls
		}
		return new(net.Dialer).DialContext(ctx, network, local(port))
	}
	l.clients = map[string]*http.Client{
		"kept":   {Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 8}},
		"new":    {Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}},
		"HTTP/2": {Transport: &http.Transport{DialContext: dial, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}},
	}
	return l
}

// start starts a node that carries the network's traffic.
func (l *logged) start(t *testing.T, program, dir string, flags ...string) *trellistest.Process {
	t.Helper()
	p := trellistest.Start(t, program, "serve", append(flags, "--data-dir", dir, "--inventory", l.inventory, "--resource-range", l.resources.String(),
		"--port-map", fmt.Sprintf("80=%d,443=%d,8443=%d", l.port, l.tls, l.sealed))...)
	trellistest.Await(t, func() bool {
		response, err := http.Get(p.Admin + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, "the node is ready")
	return p
}

// build builds the network. subscribe is called for what has access logs.
func (l *logged) build(t *testing.T, c *vpclattice.Client, subscribe func(resource string)) {
	t.Helper()
	ctx := t.Context()
	network := must(c.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("logged")}))(t)
	subscribe(*network.Arn)
	group := func(name string, protocol types.TargetGroupProtocol, version types.TargetGroupProtocolVersion, port int) types.RuleAction {
		in := &vpclattice.CreateTargetGroupInput{Name: &name, Type: types.TargetGroupTypeIp, Config: &types.TargetGroupConfig{
			Protocol: protocol, ProtocolVersion: version, Port: aws.Int32(80), VpcIdentifier: aws.String("vpc-0123456789abcdef0"),
			HealthCheck: &types.HealthCheckConfig{Enabled: aws.Bool(false)},
		}}
		target := targets(int32(port))
		if protocol == "" {
			in.Type, in.Config = types.TargetGroupTypeLambda, nil
			target = []types.Target{{Id: aws.String("arn:aws:lambda:us-west-2:000000000000:function:order")}}
		}
		made := must(c.CreateTargetGroup(ctx, in))(t)
		if port != 0 {
			must(c.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: made.Id, Targets: target}))(t)
		}
		return &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: made.Id}}}}
	}
	service := func(name, domain string, auth types.AuthType) (id, host string) {
		in := &vpclattice.CreateServiceInput{Name: &name, AuthType: auth}
		if domain != "" {
			in.CustomDomainName = &domain
		}
		made := must(c.CreateService(ctx, in))(t)
		must(c.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
			ServiceIdentifier: made.Id, ServiceNetworkIdentifier: network.Id}))(t)
		return *made.Id, *made.DnsEntry.DomainName
	}
	listener := func(service string, protocol types.ListenerProtocol, port int32, action types.RuleAction) string {
		return *must(c.CreateListener(ctx, &vpclattice.CreateListenerInput{
			ServiceIdentifier: &service, Name: aws.String(fmt.Sprintf("port-%d", port)), Protocol: protocol, Port: &port, DefaultAction: action}))(t).Id
	}
	http1 := httptest.NewServer(http.HandlerFunc(l.serveTarget))
	t.Cleanup(http1.Close)
	http2 := httptest.NewUnstartedServer(http.HandlerFunc(l.serveTarget))
	http2.Config.Protocols = new(http.Protocols)
	http2.Config.Protocols.SetUnencryptedHTTP2(true)
	http2.Start()
	t.Cleanup(http2.Close)
	portOf := func(server *httptest.Server) int { return server.Listener.Addr().(*net.TCPAddr).Port }

	web := group("web", "HTTP", "HTTP1", portOf(http1))
	actions := map[string]types.RuleAction{
		"/fixed": fixed(404), "/none": group("none", "HTTP", "HTTP1", 0), "/refused": group("refused", "HTTP", "HTTP1", trellistest.FreePort(t)),
		"/grpc.Test": group("grpc", "HTTP", "GRPC", portOf(http2)),
	}
	webID, host := service("web", "", types.AuthTypeNone)
	l.web = host
	for protocol, port := range map[types.ListenerProtocol]int32{"HTTP": 80, "HTTPS": 443} {
		id := listener(webID, protocol, port, web)
		priority := int32(0)
		for path, action := range actions {
			if path == "/grpc.Test" && protocol == "HTTP" {
				continue
			}
			priority++
			match := pathPrefix(path)
			must(c.CreateRule(ctx, &vpclattice.CreateRuleInput{ServiceIdentifier: &webID, ListenerIdentifier: &id, Name: aws.String(fmt.Sprintf("path-%d", priority)),
				Priority: &priority, Match: match, Action: action}))(t)
		}
	}
	guarded, host := service("guarded", "", types.AuthTypeAwsIam)
	l.guarded = host
	must(c.PutAuthPolicy(ctx, &vpclattice.PutAuthPolicyInput{ResourceIdentifier: &guarded,
		Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`)}))(t)
	listener(guarded, "HTTP", 80, fixed(404))
	order, host := service("order", "", types.AuthTypeNone)
	l.order = host
	function := group("order", "", "", 1)
	listener(order, "HTTP", 80, function)
	listener(order, "HTTPS", 443, function)
	sealed, _ := service("sealed", sealedHost, types.AuthTypeNone)
	listener(sealed, "TLS_PASSTHROUGH", 8443, group("sealed", "TCP", "", int(startTLSBackend(t).port)))
	l.buildResource(t, c, *network.Id, subscribe)
}

// buildResource puts a resource into the network that greets whoever connects.
func (l *logged) buildResource(t *testing.T, c *vpclattice.Client, network string, subscribe func(resource string)) {
	t.Helper()
	ctx := t.Context()
	port := fmt.Sprint(trellistest.ServeTCP(t, func(conn *net.TCPConn) {
		_, _ = io.WriteString(conn, greeting) // Whoever reads it sees what comes of it.
	}).Port)
	gateway := must(c.CreateResourceGateway(ctx, &vpclattice.CreateResourceGatewayInput{
		Name: aws.String("gate"), VpcIdentifier: aws.String("vpc-0123456789abcdef9"), SubnetIds: []string{"subnet-0123456789abcdef0"}}))(t)
	configuration := must(c.CreateResourceConfiguration(ctx, &vpclattice.CreateResourceConfigurationInput{
		Name: aws.String("database"), Type: types.ResourceConfigurationTypeSingle, ResourceGatewayIdentifier: gateway.Id, PortRanges: []string{port},
		ResourceConfigurationDefinition: &types.ResourceConfigurationDefinitionMemberIpResource{Value: types.IpResource{IpAddress: aws.String("127.0.0.1")}}}))(t)
	subscribe(*configuration.Arn)
	must(c.CreateServiceNetworkResourceAssociation(ctx, &vpclattice.CreateServiceNetworkResourceAssociationInput{
		ServiceNetworkIdentifier: &network, ResourceConfigurationIdentifier: configuration.Id}))(t)
	l.resource = net.JoinHostPort(l.resources.Addr().Next().String(), port)
}

// sendWhileUpgrading sends requests of all kinds while a new process takes over.
func (l *logged) sendWhileUpgrading(t *testing.T, p *trellistest.Process, number func(kindOfRequest) int) {
	t.Helper()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		l.sendMany(t, "with a new process", kindsOfRequests, number)
	}()
	p.Upgrade()
	<-sent
}

// sendMany sends requests of all kinds, in turn, from some clients at once.
func (l *logged) sendMany(t *testing.T, part string, kinds []kindOfRequest, number func(kindOfRequest) int) {
	t.Helper()
	type one struct {
		kind kindOfRequest
		id   string
	}
	var all []one
	l.mu.Lock()
	for _, kind := range kinds {
		for i := range number(kind) {
			id := fmt.Sprintf("%s, %d, %s", kind.name, i, part)
			l.expected[id] = wanted{kind.name, kind.reason, kind.status}
			switch kind.name { // Connections have no name in their entries.
			case "passed through":
				delete(l.expected, id)
				l.tunnels++
			case "to a resource":
				delete(l.expected, id)
				l.reached++
			}
			all = append(all, one{kind, id})
		}
	}
	l.mu.Unlock()
	var sending sync.WaitGroup
	const clients = 8
	for client := range clients {
		sending.Go(func() {
			for i := client * 7919; i < client*7919+len(all); i++ {
				// Each client has every eighth, beginning elsewhere.
				if n := i % len(all); n%clients == client {
					if err := all[n].kind.send(l, all[n].id); err != nil {
						t.Errorf("%s: %v", all[n].id, err)
					}
				}
			}
		})
	}
	sending.Wait()
}

func (l *logged) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.expected) + l.tunnels + l.reached
}

// spooled returns how many entries wait in a spool, and in how many batches for other destinations than buckets.
func spooled(dir string) (entries, streamed int) {
	names, _ := filepath.Glob(filepath.Join(dir, "*.spool.gz")) // The pattern is right.
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			continue // It has been delivered.
		}
		if z, err := gzip.NewReader(bytes.NewReader(content)); err == nil {
			lines, _ := io.ReadAll(z) // It may be written at the moment.
			entries += bytes.Count(lines, []byte("\n"))
		}
		lane := name[strings.LastIndexByte(name, '_')+1:][:8]
		if destination, err := os.ReadFile(filepath.Join(dir, lane+".destination")); err == nil && !bytes.Contains(destination, []byte("S3 bucket")) {
			streamed++
		}
	}
	return entries, streamed
}

// TestEachRequestHasOneEntryInEachSink sends requests of all kinds while the sinks are there, while they are down, while they
// are down and the process is killed and replaced, and when they are back.
func TestEachRequestHasOneEntryInEachSink(t *testing.T) {
	factor := soakFactor(t)
	dir, l, s := t.TempDir(), newLogged(t), startSinks(t)
	program := trellistest.Build(t)
	start := func() *trellistest.Process {
		return l.start(t, program, dir, "--access-logs", "aws", "--connection-duration", "70s")
	}
	p := start()
	spool := filepath.Join(dir, "access-logs-spool")
	c := client(t, p.API, filepath.Join(dir, "credentials"))
	l.build(t, c, func(resource string) { s.subscribe(t, c, resource) })
	number := func(kind kindOfRequest) int { return kind.share * factor } // In each of four parts.

	l.sendMany(t, "with sinks", kindsOfRequests, number)
	trellistest.Await(t, func() bool { return len(s.events(t)) > 0 }, "CloudWatch Logs has entries")

	s.relay.setDown(true)
	down := time.Now()
	l.sendMany(t, "without sinks", kindsOfRequests, number)
	before := 0
	for _, lines := range s.taken(t) {
		before += len(lines)
	}
	trellistest.Await(t, func() bool {
		waiting, _ := spooled(spool)
		return before+waiting == 3*l.total()
	}, "the entries of %d requests are in the spool", l.total())
	p.Kill()
	p = start()

	l.sendWhileUpgrading(t, p, number)
	if factor > 1 {
		time.Sleep(30*time.Second - time.Since(down)) // Sleeps: for so long the sinks are down.
	}

	s.relay.setDown(false)
	l.sendMany(t, "with sinks again", kindsOfRequests, number)
	if factor > 1 {
		l.sendMany(t, "slowly", slowKinds, func(kindOfRequest) int { return 4 })
	}
	trellistest.Await(t, func() bool {
		_, streamed := spooled(spool)
		return streamed == 0
	}, "what waits is delivered")
	p.Stop() // It delivers to buckets what is not five minutes old.
	if left, _ := spooled(spool); left > 0 {
		p = start()
		trellistest.Await(t, func() bool { left, _ := spooled(spool); return left == 0 }, "the next process delivers what is left")
		p.Stop()
	}
	if t.Failed() {
		return
	}
	for sink, lines := range s.taken(t) {
		l.check(t, sink, lines)
	}
}

// check checks that a sink has each entry once.
func (l *logged) check(t *testing.T, sink string, lines []string) {
	t.Helper()
	seen, ids := map[string]int{}, map[string]int{}
	tunnels, reached, wrong := 0, 0, 0
	for _, line := range lines {
		var e struct {
			UserAgent, FailureReason, Protocol, RequestID, ServiceNetworkArn string
			ResponseCode, GRPCResponseCode                                   any // numbers, or "-"
			DestinationIPPort                                                string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s has the line %q: %v", sink, line, err)
		}
		if e.Protocol == "TLS" && e.FailureReason == "-" {
			tunnels++
			continue
		}
		if e.Protocol == "tcp" && e.DestinationIPPort == l.resource {
			reached++
			continue
		}
		ids[e.RequestID]++
		seen[e.UserAgent]++
		want, known := l.expected[e.UserAgent]
		status, _ := e.ResponseCode.(float64)
		if !known || e.FailureReason != want.reason || want.status != 0 && int(status) != want.status || e.ServiceNetworkArn == "-" ||
			(e.GRPCResponseCode == 0.0) != (want.kind == "gRPC") || want.kind == "forwarded by HTTP/2" && e.Protocol != "HTTP/2" {
			if wrong++; wrong <= 10 {
				t.Errorf("%s: want %+v, have %s", sink, want, line)
			}
		}
	}
	for id := range l.expected {
		if n := seen[id]; n != 1 {
			if wrong++; wrong <= 20 {
				t.Errorf("%s has %d entries of: %s", sink, n, id)
			}
		}
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("%s has %d entries of the request %s", sink, n, id)
		}
	}
	if tunnels != l.tunnels {
		t.Errorf("%s has %d entries of connections that were passed through, want %d", sink, tunnels, l.tunnels)
	}
	if reached != l.reached {
		t.Errorf("%s has %d entries of connections to the resource, want %d", sink, reached, l.reached)
	}
	t.Logf("%s has the entries of %d requests and %d connections; %d are wrong", sink, len(l.expected), tunnels+reached, wrong)
}
