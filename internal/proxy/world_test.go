package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

var scope = lattice.Scope{Account: "111122223333", Region: "us-west-2"}

const host = "svc-1.lattice.test"

// world is a proxy on the loopback behind a real router, with one service network, sn-1.
type world struct {
	t       testing.TB
	router  *routing.Router
	proxy   *Proxy
	born    int
	records map[lattice.Key]lattice.Record

	mu       sync.Mutex
	recorded []accesslog.Record // copies, without what their slices refer to
	reached  []accesslog.ResourceRecord
	log      strings.Builder
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, records: map[lattice.Key]lattice.Record{}}
	cfg := Config{
		Log:       slog.New(slog.NewTextHandler(lockedWriter{&w.mu, &w.log}, nil)),
		Address:   "127.0.0.1",
		BoundPort: func(int) int { return 0 },
		AccessLog: recorder(func(r *accesslog.Record) {
			w.mu.Lock()
			defer w.mu.Unlock()
			copied := *r
			copied.Method, copied.Path = []byte(string(r.Method)), []byte(string(r.Path))
			copied.RequestID, copied.UserAgent = []byte(string(r.RequestID)), []byte(string(r.UserAgent))
			copied.Host, copied.Query = []byte(string(r.Host)), []byte(string(r.Query))
			w.recorded = append(w.recorded, copied)
		}),
	}
	cfg.ResourceLog = resourceRecorder(func(r *accesslog.ResourceRecord) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reached = append(w.reached, *r)
	})
	for _, change := range change {
		change(&cfg)
	}
	if cfg.Upstream.Spare == 0 {
		cfg.Upstream.Spare = -1 // Most targets of the tests would take a spare connection for a request.
	}
	w.proxy = New(cfg)
	w.router = routing.NewRouter(routing.Config{Connect: w.proxy.NewConnector, Log: cfg.Log, ResourceRange: resourceRange})
	w.put(&lattice.ServiceNetwork{Base: w.base("sn-1")})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.proxy.Shutdown(ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		if strings.Contains(w.log.String(), "panic") {
			t.Errorf("log:\n%s", w.log.String())
		}
	})
	return w
}

// recorder is an access log that wants every record.
type recorder func(*accesslog.Record)

func (recorder) Wants(*routing.Service) bool { return true }

func (f recorder) Write(r *accesslog.Record) { f(r) }

func (recorder) Failed(*accesslog.Record) {}

// resourceRecorder is recorder for connections to resources.
type resourceRecorder func(*accesslog.ResourceRecord)

func (resourceRecorder) WantsResource([]*lattice.AccessLogSubscription) bool { return true }

func (f resourceRecorder) WriteResource(r *accesslog.ResourceRecord, _ []*lattice.AccessLogSubscription) {
	f(r)
}

type lockedWriter struct {
	mu *sync.Mutex
	to io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}

func (w *world) base(id string) lattice.Base {
	w.born++
	return lattice.Base{ID: id, Name: "the-" + id, Scope: scope, CreatedAt: time.Unix(1700000000+int64(w.born), 0)}
}

// put creates or replaces records in one revision, and lets the proxy follow.
func (w *world) put(records ...lattice.Record) {
	changes := make([]lattice.Change, len(records))
	for i, record := range records {
		changes[i] = lattice.Change{Old: w.records[record.Key()], New: record}
		w.records[record.Key()] = record
	}
	w.router.Apply(changes)
	w.proxy.SetPorts(w.router.Ports())
	w.proxy.SetResources(w.router.Resources())
}

func (w *world) delete(key lattice.Key) {
	w.router.Apply([]lattice.Change{{Old: w.records[key]}})
	delete(w.records, key)
	w.proxy.SetPorts(w.router.Ports())
	w.proxy.SetResources(w.router.Resources())
}

// service makes a service svc-N with one HTTP listener, whose default rule has the action.
func (w *world) service(id string, port int32, action *shape.RuleAction, groups ...string) {
	w.put(
		&lattice.Service{Base: w.base(id), DomainName: id + ".lattice.test", IdleTimeoutSeconds: 60},
		&lattice.ServiceNetworkServiceAssociation{Base: w.base("snsa-" + id), ServiceID: id, ServiceNetworkID: "sn-1"},
		&lattice.Listener{Base: w.base("listener-" + id), ServiceID: id, Protocol: shape.ListenerProtocolHttp, Port: port, DefaultRuleID: "rule-default"},
		&lattice.Rule{Base: w.base("rule-default"), ServiceID: id, ListenerID: "listener-" + id, IsDefault: true,
			Priority: lattice.DefaultRulePriority, Action: action, TargetGroupIDs: groups},
	)
}

// targetGroup makes a target group with targets at the addresses.
func (w *world) targetGroup(id string, protocol shape.TargetGroupProtocol, targets ...string) {
	records := []lattice.Record{&lattice.TargetGroup{Base: w.base(id), Type: shape.TargetGroupTypeIp, Config: &shape.TargetGroupConfig{
		Port: new(int32(80)), Protocol: protocol, ProtocolVersion: shape.TargetGroupProtocolVersionHttp1}}}
	w.put(append(records, w.targets(id, targets...))...)
}

// setVersion replaces the protocol version of a target group that has no targets yet.
func (w *world) setVersion(id string, version shape.TargetGroupProtocolVersion) {
	group := *w.records[lattice.TargetGroupKey(scope, id)].(*lattice.TargetGroup)
	config := *group.Config
	config.ProtocolVersion = version
	group.Config = &config
	w.put(&group)
}

// targets returns the record of a target group's targets, which are those that it has and those at the addresses.
func (w *world) targets(group string, addresses ...string) *lattice.Targets {
	record := &lattice.Targets{Scope: scope, TargetGroupID: group}
	if stored, ok := w.records[record.Key()].(*lattice.Targets); ok {
		record.Members = slices.Clone(stored.Members)
	}
	for _, address := range addresses {
		at := netip.MustParseAddrPort(address)
		target := &lattice.Target{Scope: scope, TargetGroupID: group, ID: at.Addr().String(), Port: int32(at.Port())}
		if !slices.ContainsFunc(record.Members, func(member *lattice.Target) bool { return member.Key() == target.Key() }) {
			record.Members = append(record.Members, target)
		}
	}
	return record
}

// deregister removes the target at an address.
func (w *world) deregister(group, address string) {
	record := w.targets(group)
	record.Members = slices.DeleteFunc(record.Members, func(member *lattice.Target) bool {
		return net.JoinHostPort(member.ID, strconv.Itoa(int(member.Port))) == address
	})
	w.put(record)
}

// storefront makes a service svc-1 on port 80 that forwards to tg-1, with the targets.
func (w *world) storefront(targets ...string) {
	w.targetGroup("tg-1", shape.TargetGroupProtocolHttp, targets...)
	w.service("svc-1", 80, forwardTo("tg-1"), "tg-1")
}

// setIdleTimeout replaces the idle timeout of svc-1.
func (w *world) setIdleTimeout(seconds int32) {
	service := *w.records[lattice.ServiceKey(scope, "svc-1")].(*lattice.Service)
	service.IdleTimeoutSeconds = seconds
	w.put(&service)
}

func forwardTo(groups ...string) *shape.RuleAction {
	action := &shape.RuleAction{Forward: &shape.ForwardAction{}}
	for _, id := range groups {
		action.Forward.TargetGroups = append(action.Forward.TargetGroups,
			shape.WeightedTargetGroup{TargetGroupIdentifier: new(id), Weight: new(int32(100))})
	}
	return action
}

func respondWith(status int32) *shape.RuleAction {
	return &shape.RuleAction{FixedResponse: &shape.FixedResponseAction{StatusCode: new(status)}}
}

// accessLog returns what the access log got once it has n entries.
func (w *world) accessLog(n int) []accesslog.Record {
	w.t.Helper()
	var got []accesslog.Record
	trellistest.Await(w.t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		got = slices.Clone(w.recorded)
		return len(got) >= n
	}, "the access log has %d entries", n)
	return got
}

// client is a connection to the proxy.
type client struct {
	t testing.TB
	net.Conn
	*bufio.Reader
}

// dialler returns what connects an http.Transport to a listener, whatever address the transport asks for. A transport may still
// dial when the test has ended and the port is closed: it dials for a request that another connection has carried meanwhile.
func (w *world) dialler(port int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		address := w.proxy.Addr(port)
		if address == nil {
			return nil, fmt.Errorf("listener port %d: %w", port, net.ErrClosed)
		}
		return new(net.Dialer).DialContext(ctx, network, address.String())
	}
}

func (w *world) dial() *client {
	w.t.Helper()
	return w.dialPort(80)
}

func (w *world) dialPort(port int) *client {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.proxy.Addr(port).String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(50 * time.Second))
	return &client{w.t, conn, bufio.NewReader(conn)}
}

func (c *client) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	if _, err := io.WriteString(c.Conn, format); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// answer is a response that has been read.
type answer struct {
	*http.Response
	body string
	err  error // of reading the body
}

// receive reads a response to a request of the method.
func (c *client) receive(method string) answer {
	c.t.Helper()
	response, err := http.ReadResponse(c.Reader, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("receiving: %v", err)
	}
	body, err := io.ReadAll(response.Body)
	return answer{response, string(body), err}
}

// get sends a GET and reads the response.
func (c *client) get(path string, lines ...string) answer {
	c.t.Helper()
	var extra string
	for _, line := range lines {
		extra += line + "\r\n"
	}
	c.send("GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, host, extra)
	return c.receive("GET")
}

// atEnd checks that the proxy has closed the connection.
func (c *client) atEnd() {
	c.t.Helper()
	if b, err := c.Reader.ReadByte(); err != io.EOF {
		c.t.Fatalf("after the last response: byte %q, error %v; want the end", b, err)
	}
}

// expectEnd checks that the other side ends a connection, in order or by a reset, and sends nothing before. It fails the test if
// the connection lasts until the test's own deadline.
func expectEnd(t testing.TB, conn io.Reader) {
	t.Helper()
	n, err := conn.Read(make([]byte, 1))
	// To crypto/tls an end without close_notify is unexpected.
	if n != 0 || err != io.EOF && err != io.ErrUnexpectedEOF && !isReset(err) {
		t.Fatalf("%d bytes came, error %v; want the end of the connection", n, err)
	}
}

// backend is a target that the test scripts: serve is called for each connection.
func backend(t testing.TB, serve func(conn net.Conn, r *bufio.Reader)) string {
	t.Helper()
	return trellistest.ServeTCP(t, func(conn *net.TCPConn) { serve(conn, bufio.NewReader(conn)) }).String()
}

// answering is a backend that answers every request with the text, on connections that stay open.
func answering(t testing.TB, text string) string {
	return backend(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			if readRequest(r) == nil {
				return
			}
			io.WriteString(conn, text)
		}
	})
}

// holding is a backend that answers a request for /slow only when release is closed, and all others at once. It closes arrived
// when the request for /slow has come.
func holding(t testing.TB) (address string, arrived, release chan struct{}) {
	arrived, release = make(chan struct{}), make(chan struct{})
	return backend(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			request := readRequest(r)
			if request == nil {
				return
			}
			if request.RequestURI == "/slow" {
				close(arrived)
				<-release
			}
			io.WriteString(conn, okAnswer)
		}
	}), arrived, release
}

// seen is a request as a backend got it.
type seen struct {
	*http.Request
	lines []string // header lines as they were
	body  string
}

// readRequest reads a request and its body; nil at the end of the connection.
func readRequest(r *bufio.Reader) *seen {
	var lines []string
	var head strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil
		}
		head.WriteString(line)
		if line == "\r\n" {
			break
		}
		lines = append(lines, strings.TrimSuffix(line, "\r\n"))
	}
	request, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head.String()), r)))
	if err != nil {
		return nil
	}
	s := &seen{Request: request, lines: lines}
	if request.Body != nil && (request.ContentLength != 0) {
		// Read from r itself, so that nothing of the next request is lost in another buffer.
		if request.ContentLength > 0 {
			body := make([]byte, request.ContentLength)
			if _, err := io.ReadFull(r, body); err != nil {
				return nil
			}
			s.body = string(body)
		} else {
			body, err := io.ReadAll(request.Body)
			if err != nil {
				return nil
			}
			s.body = string(body)
		}
	}
	return s
}

// recording is a backend that keeps the requests it gets and answers each with 200 and a body.
func recording(t testing.TB) (address string, requests <-chan *seen) {
	kept := make(chan *seen, 100)
	return backend(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			request := readRequest(r)
			if request == nil {
				return
			}
			kept <- request
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}), kept
}

func next(t testing.TB, requests <-chan *seen) *seen {
	t.Helper()
	return trellistest.Receive(t, requests, "the target has got a request")
}

// sweepIn sweeps all connections once as if it were later.
func (w *world) sweepIn(after time.Duration) {
	p := w.proxy
	p.sweeping.Lock()
	defer p.sweeping.Unlock()
	p.mu.Lock()
	connections := slices.Collect(maps.Keys(p.connections))
	p.mu.Unlock()
	for _, c := range connections {
		c.Sweep(p.env.Clock.Now()+after.Milliseconds(), false)
	}
}
