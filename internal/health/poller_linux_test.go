package health

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"trellis/internal/lattice"
	"trellis/internal/outbound"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// polled is a poller and the outcomes that it has reported.
type polled struct {
	*poller
	outcome *outcome
	body    string
}

func newPolled(t *testing.T) *polled {
	t.Helper()
	p := &polled{}
	var err error
	p.poller, err = newPoller(outbound.New(outbound.Config{}), func(_ *check, o outcome, body []byte) {
		p.outcome, p.body = &o, excerpt(body)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// polledError is the error of an outcome, with the text that a report shows.
type polledError struct{ *outcome }

func (e *polledError) Error() string { return e.failure() }
func (e *polledError) Unwrap() error { return e.err }

// askPolled asks a target with a poller, if the probe is of a kind that a poller carries out.
func askPolled(t *testing.T, probe Probe) (Answer, error) {
	t.Helper()
	q := &question{https: probe.HTTPS, http2: probe.HTTP2, path: probe.Path}
	if parsed, err := url.Parse("http://host" + probe.Path); err == nil {
		q.target = parsed.RequestURI()
	}
	if !q.isPlain() {
		return ask(t, probe)
	}
	p := newPolled(t)
	p.begin(t.Context(), &check{question: q, address: probe.Address})
	for end := time.Now().Add(within); p.outcome == nil; p.sleep() {
		if time.Now().After(end) {
			t.Fatal("the probe waited for something that never comes")
		}
		p.set(end)
	}
	if p.outcome.err != nil {
		return Answer{}, &polledError{p.outcome}
	}
	return Answer{StatusCode: p.outcome.status, Body: p.body}, nil
}

func TestDroppedCheckOfThePollerReportsItsPhase(t *testing.T) {
	for _, test := range []struct{ head, want string }{
		{"", awaiting},
		{"HTTP/1.1 200 OK\r\nx-slow: ", awaiting},
		{"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", reading},
	} {
		ended := make(chan error, 1)
		address := serveRaw(t, func(conn net.Conn) {
			io.ReadAtLeast(conn, make([]byte, 4096), 1)
			io.WriteString(conn, test.head)
			_, err := io.Copy(io.Discard, conn)
			ended <- err
		})
		p := newPolled(t)
		k := &check{question: &question{target: "/"}, address: address}
		p.begin(t.Context(), k)
		for end := time.Now().Add(within); k.call.phase != test.want; p.sleep() {
			if time.Now().After(end) {
				t.Fatalf("%q: still %s", test.head, k.call.phase)
			}
			p.set(end)
		}
		if phase := p.drop(k); phase != test.want || p.outcome != nil {
			t.Errorf("%q: dropped while %s, outcome %+v", test.head, phase, p.outcome)
		}
		<-ended
		if len(p.checks) != 0 {
			t.Errorf("%q: the poller still has it", test.head)
		}
	}
}

func TestResponseInPiecesIsReadAmongOtherChecks(t *testing.T) {
	p := newPolled(t)
	outcomes := make(map[*check]outcome)
	p.finish = func(k *check, o outcome, _ []byte) { outcomes[k] = o }
	for i := range 200 {
		pieces := [][]byte{[]byte("HTTP/1.1 200 OK\r\nContent-"), []byte("Length: 2\r\n\r"), []byte("\no"), []byte("k")}
		address := serveRaw(t, func(conn net.Conn) {
			io.ReadAtLeast(conn, make([]byte, 4096), 1)
			for _, piece := range pieces[i%4:] { // some begin in the middle, and are malformed
				conn.Write(piece)
			}
		})
		p.begin(t.Context(), &check{question: &question{target: "/"}, address: address})
	}
	for end := time.Now().Add(within); len(outcomes) < 200; p.sleep() {
		if time.Now().After(end) {
			t.Fatalf("%d of 200 are done", len(outcomes))
		}
		p.set(end)
	}
	passed := 0
	for _, o := range outcomes {
		if o.err == nil && o.status == 200 {
			passed++
		}
	}
	if passed != 50 {
		t.Errorf("%d checks got an answer, want 50", passed)
	}
	if len(p.spare) > 200 || slices.Contains(p.spare, nil) {
		t.Errorf("%d answers are kept", len(p.spare))
	}
}

// serveQuietly answers every connection, and allocates nothing for it.
func serveQuietly(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	fd := int(file.Fd())
	unix.SetNonblock(fd, false)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		request, answer := make([]byte, 4096), []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		for {
			conn, _, errno := syscall.Syscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
			if errno != 0 {
				return
			}
			unix.Read(int(conn), request)
			unix.Write(int(conn), answer)
			unix.Close(int(conn))
		}
	}()
	t.Cleanup(func() {
		unix.Shutdown(fd, unix.SHUT_RDWR)
		<-ended
		file.Close()
		listener.Close()
	})
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

// TestTargetsHaveNoGoroutinesOfTheirOwn counts goroutines while some targets, which refuse connections, are being checked, and
// the others wait.
func TestTargetsHaveNoGoroutinesOfTheirOwn(t *testing.T) {
	c := NewChecker(Config{Log: slog.New(slog.DiscardHandler)})
	defer c.Close()
	targets := targetsOf("tg-1", 10_000)
	for i, target := range targets {
		target.ID, target.Port = fmt.Sprintf("127.7.%d.%d", i/250, 1+i%250), 1
	}
	before := runtime.NumGoroutine()
	c.Apply(inUse(groupWith("tg-1", withInterval(300)), targets...))
	trellistest.Await(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		checked := 0
		for _, target := range c.schedule {
			if !target.last.began.IsZero() {
				checked++
			}
		}
		return checked > 50
	}, "more than 50 targets have been checked")
	if more := runtime.NumGoroutine() - before; more > 8 {
		t.Errorf("10,000 targets have %d goroutines", more)
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	address := serveQuietly(t)
	c := NewChecker(Config{Log: slog.New(slog.DiscardHandler)})
	defer c.Close()
	g := groupWith("tg-1", withInterval(300))
	record := &lattice.Target{Scope: scope, TargetGroupID: "tg-1", ID: address.Addr().String(), Port: int32(address.Port())}
	c.Apply(inUse(g, record))
	again := func() {
		c.mu.Lock()
		target := c.schedule[0]
		before := target.last.began
		target.due = time.Now()
		c.sleeper.wake()
		for target.last.began == before {
			c.mu.Unlock()
			runtime.Gosched()
			c.mu.Lock()
		}
		c.mu.Unlock()
	}
	for range 100 {
		again()
	}
	if n := testing.AllocsPerRun(500, again); n > 0 {
		t.Errorf("a check allocates %v times", n)
	}
	wantHealthy(t, c, record)
}

// Each refusal ends at once, so that the next check begins within the call of the one before.
func TestTargetsThatRefuseAreUnhealthyAndSayWhy(t *testing.T) {
	client, err := net.Dial("tcp", serveQuietly(t).String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	refused := client.LocalAddr().(*net.TCPAddr).AddrPort() // No program can listen at this address.
	c := NewChecker(Config{Log: slog.New(slog.DiscardHandler)})
	defer c.Close()
	g := groupWith("tg-1", withThresholds(2, 1))
	var records []*lattice.Target
	for i := range 60 {
		records = append(records, &lattice.Target{Scope: scope, TargetGroupID: "tg-1", ID: netip.AddrFrom4([4]byte{127, 9, 0, byte(i)}).String(), Port: int32(refused.Port())})
	}
	records[0].ID = "127.0.0.1"
	c.Apply(inUse(g, records...))
	for end := time.Now().Add(within); ; runtime.Gosched() {
		unhealthy := 0
		for _, report := range c.Report(g.Key()) {
			if report.Status == shape.TargetStatusUnhealthy {
				unhealthy++
				if want := "connecting: connection refused"; report.Last.Failure != want {
					t.Fatalf("failure %q, want %q", report.Last.Failure, want)
				}
			}
		}
		if unhealthy == len(records) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d are unhealthy", unhealthy, len(records))
		}
	}
}
