package stories_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// upgradeBackend answers with what it gets, and to /stream with a line now and then until it is told to end.
type upgradeBackend struct {
	*httptest.Server
	streaming, end chan struct{}
}

func newUpgradeBackend(t *testing.T) *upgradeBackend {
	b := &upgradeBackend{streaming: make(chan struct{}), end: make(chan struct{})}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/stream" {
			_, _ = io.Copy(w, io.MultiReader(strings.NewReader("hello"), r.Body))
			return
		}
		defer fmt.Fprintln(w, "end")
		for first := true; ; first = false {
			fmt.Fprintln(w, "line")
			_ = http.NewResponseController(w).Flush()
			if first {
				close(b.streaming)
			}
			select {
			case <-b.end:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// traffic sends requests through the data plane until its context ends.
type traffic struct {
	host      string
	port      int
	tlsPort   int            // 0 means that there is no HTTPS listener
	authority *x509.CertPool // of its certificates

	sent atomic.Int64
	mu   sync.Mutex // mu guards the field below.
	lost []string
}

func (l *traffic) failed(what string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = append(l.lost, fmt.Sprintf("%s at %s: %v", what, time.Now().Format(time.StampMilli), err))
}

// run sends one request after the other. With body it posts, which clients do not repeat by themselves.
func (l *traffic) run(ctx context.Context, what string, transport *http.Transport, body []byte, pause time.Duration) {
	defer transport.CloseIdleConnections()
	client, secure := &http.Client{Transport: transport}, transport.TLSClientConfig != nil
	http2 := transport.ForceAttemptHTTP2 || transport.Protocols != nil
	for ctx.Err() == nil {
		if err := l.one(client, secure, http2, body); err != nil {
			l.failed(what, err)
		}
		l.sent.Add(1)
		time.Sleep(pause) // Sleeps: the pace of the load.
	}
}

// awaitMore waits until the load has gone on for a while.
func (l *traffic) awaitMore(t *testing.T) {
	t.Helper()
	before := l.sent.Load()
	trellistest.Await(t, func() bool { return l.sent.Load() >= before+50 }, "50 more requests are answered")
}

func (l *traffic) one(client *http.Client, secure, http2 bool, body []byte) error {
	url := fmt.Sprintf("http://127.0.0.1:%d/", l.port)
	if secure {
		url = fmt.Sprintf("https://127.0.0.1:%d/", l.tlsPort)
	}
	method := http.MethodGet
	var content io.Reader
	if body != nil {
		// Not replayable: a lost request is a lost request.
		method, content = http.MethodPost, io.MultiReader(bytes.NewReader(body))
		if http2 {
			// It repeats requests that the server says it has not processed. It must be able to: when a connection becomes
			// unusable just before it would have sent a request on it, net/http has closed the body.
			content = bytes.NewReader(body)
		}
	}
	r, err := http.NewRequest(method, url, content)
	if err != nil {
		return err
	}
	r.Host, r.ContentLength = l.host, int64(len(body))
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || string(got) != "hello"+string(body) {
		return fmt.Errorf("the response is %d with %d bytes", response.StatusCode, len(got))
	}
	return nil
}

// start begins requests of all kinds. stop ends them.
func (l *traffic) start(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	large := bytes.Repeat([]byte("x"), 300_000)
	both := new(http.Protocols)
	both.SetUnencryptedHTTP2(true)
	for range 2 {
		running.Go(func() { l.run(ctx, "GET, kept alive", &http.Transport{}, nil, time.Millisecond) })
		running.Go(func() { l.run(ctx, "POST, kept alive", &http.Transport{}, []byte("body"), time.Millisecond) })
		running.Go(func() { l.run(ctx, "POST, now and then", &http.Transport{}, []byte("body"), 200*time.Millisecond) })
		running.Go(func() { l.run(ctx, "large POST", &http.Transport{}, large, 10*time.Millisecond) })
		running.Go(func() {
			l.run(ctx, "new connection", &http.Transport{DisableKeepAlives: true}, []byte("body"), 2*time.Millisecond)
		})
		running.Go(func() { l.run(ctx, "HTTP/2", &http.Transport{Protocols: both}, []byte("body"), time.Millisecond) })
	}
	if l.tlsPort != 0 {
		secured := &tls.Config{RootCAs: l.authority, ServerName: l.host}
		running.Go(func() {
			l.run(ctx, "HTTPS", &http.Transport{TLSClientConfig: secured.Clone()}, []byte("body"), time.Millisecond)
		})
		running.Go(func() {
			l.run(ctx, "HTTPS, new connection", &http.Transport{TLSClientConfig: secured.Clone(), DisableKeepAlives: true}, []byte("body"), 10*time.Millisecond)
		})
		running.Go(func() {
			l.run(ctx, "HTTP/2 over TLS", &http.Transport{TLSClientConfig: secured.Clone(), ForceAttemptHTTP2: true}, []byte("body"), time.Millisecond)
		})
	}
	return func() {
		cancel()
		running.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, lost := range l.lost {
			if i < 20 {
				t.Error(lost)
			}
		}
		t.Logf("%d requests were sent, %d failed", l.sent.Load(), len(l.lost))
	}
}

// callAPI creates target groups, one after the other, until it is stopped, and fails the test unless each is created.
func callAPI(t *testing.T, c *vpclattice.Client) (stop func() (names []string)) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan []string, 1)
	go func() {
		var names []string
		var longest time.Duration
		for i := 0; ctx.Err() == nil && i < 150; i++ {
			name := fmt.Sprintf("group-%d", i)
			began := time.Now()
			if _, err := c.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{Name: &name, Type: types.TargetGroupTypeLambda}); err != nil {
				t.Errorf("creating %s: %v", name, err)
			}
			longest = max(longest, time.Since(began))
			names = append(names, name)
			time.Sleep(20 * time.Millisecond) // Sleeps: a client's pace.
		}
		t.Logf("%d target groups were created; the longest wait was %s", len(names), longest)
		done <- names
	}()
	return func() []string {
		cancel()
		return <-done
	}
}

func TestNewProcessTakesOverWithoutLosingARequest(t *testing.T) {
	t.Parallel()
	backend := newUpgradeBackend(t)
	dir := t.TempDir()
	credentials := filepath.Join(dir, "credentials")
	l := &traffic{port: trellistest.FreePort(t), tlsPort: trellistest.FreePort(t), authority: x509.NewCertPool()}
	p := trellistest.Start(t, trellistest.Build(t), "serve", "--data-dir", dir, "--drain-timeout", "20s",
		"--port-map", fmt.Sprintf("80=%d,443=%d", l.port, l.tlsPort))
	c := client(t, p.API, credentials)
	n := buildNetwork(t, c, backend.Listener.Addr().String())
	must(c.CreateListener(t.Context(), &vpclattice.CreateListenerInput{
		ServiceIdentifier: &n.service, Name: aws.String("https"), Protocol: types.ListenerProtocolHttps, Port: aws.Int32(443),
		DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{
			TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: &n.targetGroup}},
		}},
	}))(t)
	l.host = n.host
	l.authority.AppendCertsFromPEM(must(os.ReadFile(filepath.Join(dir, "ca.pem")))(t))
	awaitHealth(t, c, n, types.TargetStatusHealthy)

	far := clientAt(t, p.API, credentials, farAddress)
	createFarGroup(t, far, "far-before")
	stopLoad := l.start(t)
	stopCalls := callAPI(t, c)
	stream := startStream(t, n.host, l.port)
	select {
	case <-backend.streaming:
	case body := <-stream:
		t.Fatalf("the stream ended at once with %q", body)
	}
	for i := range 2 {
		l.awaitMore(t)
		began := time.Now()
		called := make(chan struct{})
		time.AfterFunc(3*time.Second, sync.OnceFunc(func() {
			defer close(called)
			createFarGroup(t, far, fmt.Sprintf("far-after-%d", i)) // On the connection to the old process.
			if i == 0 {
				close(backend.end) // The stream has gone through the old process up to now.
			}
		}))
		p.Upgrade()
		t.Logf("replaced after %s", time.Since(began))
		<-called
		if i == 0 {
			if body := <-stream; !strings.HasSuffix(body, "line\nend\n") {
				t.Errorf("the stream ended with %q", body[max(0, len(body)-100):])
			}
		}
		if summary := health(t, c, n); summary.Status != types.TargetStatusHealthy {
			t.Errorf("the target is %s", summary.Status)
		}
	}
	l.awaitMore(t)
	names := stopCalls()
	stopLoad()
	for name, source := range creators(t, filepath.Join(dir, "audit.log")) {
		if want := "127.0.0.1"; strings.HasPrefix(name, "far-") && source != farAddress || strings.HasPrefix(name, "group-") && source != want {
			t.Errorf("the audit log says that %s was created from %s", name, source)
		}
	}
	groups := listGroups(t, c)
	for _, name := range append(names, "far-before", "far-after-0", "far-after-1") {
		if _, ok := groups[name]; !ok {
			t.Errorf("%s was created and is not there", name)
		}
	}
}

// farAddress is another address of the loopback than the one from which clients connect by default.
const farAddress = "127.9.9.9"

// clientAt returns a client that connects from an address.
func clientAt(t *testing.T, api, credentials, address string) *vpclattice.Client {
	t.Helper()
	transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext}
	return vpclattice.New(client(t, api, credentials).Options(), func(o *vpclattice.Options) {
		o.HTTPClient = &http.Client{Transport: transport}
	})
}

func createFarGroup(t *testing.T, c *vpclattice.Client, name string) {
	t.Helper()
	if _, err := c.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{Name: &name, Type: types.TargetGroupTypeLambda}); err != nil {
		t.Errorf("creating %s: %v", name, err)
	}
}

// creators returns the address from which each target group was created, by its name, as the audit log has it.
func creators(t *testing.T, auditLog string) map[string]string {
	t.Helper()
	sources := map[string]string{}
	for line := range bytes.Lines(must(os.ReadFile(auditLog))(t)) {
		var entry struct {
			Operation, SourceIP string
			Parameters          struct{ Name string }
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Operation == "CreateTargetGroup" {
			sources[entry.Parameters.Name] = entry.SourceIP
		}
	}
	return sources
}

// startStream asks for the stream; the body comes when it has ended.
func startStream(t *testing.T, host string, port int) <-chan string {
	done := make(chan string, 1)
	go func() {
		_, body, err := get(context.WithoutCancel(t.Context()), host, port, "/stream")
		if err != nil {
			t.Errorf("the stream failed: %v", err)
		}
		done <- body
	}()
	return done
}

// health returns the only target of a network.
func health(t *testing.T, c *vpclattice.Client, n network) types.TargetSummary {
	t.Helper()
	out := must(c.ListTargets(t.Context(), &vpclattice.ListTargetsInput{TargetGroupIdentifier: &n.targetGroup}))(t)
	if len(out.Items) != 1 {
		t.Fatalf("there are %d targets", len(out.Items))
	}
	return out.Items[0]
}

func awaitHealth(t *testing.T, c *vpclattice.Client, n network, want types.TargetStatus) {
	t.Helper()
	trellistest.Await(t, func() bool { return health(t, c, n).Status == want }, "the target is %s", want)
}

func TestProcessGoesOnIfTheNewProgramIsBroken(t *testing.T) {
	t.Parallel()
	backend := newUpgradeBackend(t)
	dir := t.TempDir()
	dataPort := trellistest.FreePort(t)
	good, err := os.ReadFile(trellistest.Build(t))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "trellis")
	replace := func(content []byte) {
		if err := errors.Join(os.WriteFile(program+".new", content, 0o700), os.Rename(program+".new", program)); err != nil {
			t.Fatal(err)
		}
	}
	replace(good)
	p := trellistest.Start(t, program, "serve", "--data-dir", dir, "--drain-timeout", "12s", "--port-map", fmt.Sprintf("80=%d", dataPort))
	c := client(t, p.API, filepath.Join(dir, "credentials"))
	n := buildNetwork(t, c, backend.Listener.Addr().String())
	awaitHealth(t, c, n, types.TargetStatusHealthy)
	l := &traffic{host: n.host, port: dataPort}
	stopLoad := l.start(t)
	stopCalls := callAPI(t, c)

	const failed = "the new process has failed before it could take over"
	for i, broken := range []string{"no program at all", "#!/bin/sh\nexit 1\n", "#!/bin/sh\nkill -9 $$\n"} {
		replace([]byte(broken))
		_ = syscall.Kill(p.PID(), syscall.SIGUSR2)
		trellistest.Await(t, func() bool { return strings.Count(p.Log(), failed) > i }, "the program says that %q has failed", broken)
	}
	expectAnswer(t, n.host, dataPort)
	must(c.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{Name: aws.String("afterwards"), Type: types.TargetGroupTypeLambda}))(t)

	// It fails when the old process has given up the data directory. Then the old one takes over itself, as another
	// process.
	if err := errors.Join(os.Mkdir(dir+"/broken", 0o700), os.WriteFile(dir+"/broken/etcd", nil, 0o600), os.WriteFile(program+".good", good, 0o700)); err != nil {
		t.Fatal(err)
	}
	replace(fmt.Appendf(nil, "#!/bin/sh\nexec %s.good \"$@\" --data-dir %s/broken --credentials %[2]s/credentials --ca-dir %[2]s\n", program, dir))
	p.Upgrade()
	if !strings.Contains(p.Log(), "the new process has failed as it took over") {
		t.Error("the program does not say that the new one has failed")
	}
	expectAnswer(t, n.host, dataPort)

	replace(good)
	p.Upgrade()
	expectAnswer(t, n.host, dataPort)
	stopCalls()
	stopLoad()
}

func TestDevWithItsOwnStoreIsNotReplaced(t *testing.T) {
	t.Parallel()
	p := trellistest.Start(t, trellistest.Build(t), "dev")
	_ = syscall.Kill(p.PID(), syscall.SIGUSR2)
	awaitLog(t, p, "cannot be replaced by a new one")
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.API, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
