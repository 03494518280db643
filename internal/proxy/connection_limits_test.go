package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	wire "golang.org/x/net/http2"

	"trellis/internal/accesslog"
	"trellis/internal/caller"
	"trellis/internal/principal"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// crowded returns a world with limits and a service that answers 404.
func crowded(t *testing.T, limits Limits) *world {
	w := newWorld(t, func(cfg *Config) { cfg.Limits = limits })
	w.service("svc-1", 80, respondWith(404))
	return w
}

// await waits until a condition holds.
func (w *world) await(what string, condition func() bool) {
	w.t.Helper()
	trellistest.Await(w.t, condition, "%s", what)
}

// silent connects and sends nothing. It returns when the proxy has accepted the connection.
func (w *world) silent() *client {
	w.t.Helper()
	return w.silentOn(80)
}

func (w *world) silentOn(port int) *client {
	w.t.Helper()
	accepted := w.proxy.accepted()
	c := w.dialPort(port)
	w.await("the connection is accepted", func() bool { return w.proxy.accepted() > accepted })
	return c
}

func (p *Proxy) accepted() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.crowd.accepted
}

// busy connects and sends a first request.
func (w *world) busy() *client {
	w.t.Helper()
	c := w.dial()
	w.serves(c)
	return c
}

// serves checks that a connection carries requests.
func (w *world) serves(clients ...*client) {
	w.t.Helper()
	for _, c := range clients {
		if got := c.get("/"); got.StatusCode != 404 || got.Close {
			w.t.Errorf("got %d, close %v", got.StatusCode, got.Close)
		}
	}
}

// awaitIdle waits until all connections have been idle for some ticks.
func (w *world) awaitIdle(ticks int) {
	w.t.Helper()
	w.await("all connections are idle", func() bool {
		p := w.proxy
		p.sweeping.Lock()
		defer p.sweeping.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		for c := range p.connections {
			if idle, ok := c.Idleness(); !ok || idle.Ticks < ticks {
				return false
			}
		}
		return true
	})
}

// idleTicks returns for how many ticks a client's connection has been idle, and false while it is not.
func (w *world) idleTicks(c *client) (ticks int, isIdle bool) {
	p := w.proxy
	p.sweeping.Lock()
	defer p.sweeping.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.connections {
		if conn.Client.Source.String() == c.LocalAddr().String() {
			idle, ok := conn.Idleness()
			return idle.Ticks, ok
		}
	}
	w.t.Fatal("the connection is closed")
	return 0, false
}

func TestConnectionsThatNeverCarriedARequestMakeRoomFirst(t *testing.T) {
	w := crowded(t, Limits{Clients: 3})
	kept := w.busy()
	first := w.silent()
	w.awaitIdle(2)
	second := w.silent()
	third := w.silent()
	first.atEnd()
	fourth := w.silent()
	second.atEnd()
	w.serves(kept, third, fourth)
	w.await("two were closed", func() bool { return w.proxy.Usage() == Usage{Open: 3, Limit: 3, Closed: 2} })
}

func TestLongestIdleConnectionMakesRoom(t *testing.T) {
	w := crowded(t, Limits{Clients: 2})
	first, second := w.busy(), w.busy()
	w.awaitIdle(2)
	w.serves(first)
	w.await("the first connection is idle again", func() bool {
		ticks, isIdle := w.idleTicks(first)
		longest, _ := w.idleTicks(second)
		return isIdle && ticks < longest
	})
	third := w.busy()
	second.atEnd()
	w.serves(first, third)
}

// The sweeper keeps looking for room while a connection that makes it is being closed.
func TestOneConnectionMakesRoomForOne(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Limits.Clients = 2 })
	w.storefront(answering(t, okAnswer))
	for round := range int64(20) {
		var clients []*client
		for range 2 { // The second one connects when the first is idle.
			c := w.dial()
			c.get("/")
			w.awaitIdle(0)
			clients = append(clients, c)
		}
		var looking sync.WaitGroup
		var found atomic.Bool
		looking.Go(func() {
			for !found.Load() {
				w.proxy.makeRoom()
			}
		})
		third := w.dial()
		third.get("/")
		clients = append(clients, third)
		w.await("there is room", func() bool { return w.proxy.Usage().Open <= 2 })
		found.Store(true)
		looking.Wait()
		for _, c := range clients[1:] {
			if got := c.get("/"); got.StatusCode != 200 || got.Close {
				t.Errorf("got %d, close %v", got.StatusCode, got.Close)
			}
		}
		if closed := w.proxy.Usage().Closed; closed != round+1 {
			t.Fatalf("%d connections have made room, want %d", closed, round+1)
		}
		for _, c := range clients {
			c.Close()
		}
		w.await("all connections are closed", func() bool { return w.proxy.Usage().Open == 0 })
	}
}

func TestUnfinishedHeadMakesRoom(t *testing.T) {
	w := crowded(t, Limits{Clients: 2})
	kept := w.busy()
	unfinished := w.silent()
	unfinished.send("GET / HTTP/1.1\r\nHost:")
	w.await("the head has begun", func() bool {
		w.proxy.mu.Lock()
		defer w.proxy.mu.Unlock()
		for c := range w.proxy.connections {
			if c.State() == downstream.ReadingHead {
				return true
			}
		}
		return false
	})
	w.serves(kept)
	third := w.busy()
	unfinished.atEnd()
	w.serves(kept, third)
}

func TestIdleHTTP2ConnectionMakesRoomByGOAWAY(t *testing.T) {
	w := crowded(t, Limits{Clients: 1})
	c := w.dialFrames()
	c.request(1, true, "GET", "/")
	c.headers()
	c.next() // The body.
	w.busy()
	frame, err := c.next()
	if f, ok := frame.(*wire.GoAwayFrame); !ok || f.ErrCode != wire.ErrCodeNo || f.LastStreamID != 1 {
		t.Errorf("got %v, %v; want a GOAWAY", frame, err)
	}
	w.await("its place is free", func() bool { return w.proxy.Usage().Open == 1 })
}

func TestUnfinishedHandshakeMakesRoom(t *testing.T) {
	w := newSecureWorld(t, func(cfg *Config) { cfg.Limits.Clients = 1 })
	w.https(answering(t, okAnswer))
	w.silentOn(443).send("\x16\x03\x01\x02\x00\x01")
	if c := w.dialTLS(host); c == nil {
		t.Error("no place for another connection")
	}
	w.await("the place is free", func() bool { return w.proxy.Usage().Open == 1 })
}

func TestExchangesAreNotBrokenOffForRoom(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Limits.Clients = 1 })
	var arrived atomic.Int32
	release := make(chan struct{})
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		for readRequest(r) != nil {
			arrived.Add(1)
			<-release
			io.WriteString(conn, okAnswer)
		}
	}))
	// One more than the limit is accepted, and room is made for it; the others wait.
	clients := make([]*client, 4)
	for i := range clients {
		clients[i] = w.dial()
		clients[i].send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	}
	w.await("two are served", func() bool { return arrived.Load() == 2 })
	w.proxy.makeRoom()
	if got := w.proxy.Usage(); got.Open != 2 || got.Closed != 0 {
		t.Errorf("usage %+v", got)
	}
	close(release)
	for _, c := range clients {
		if got := c.receive("GET"); got.body != "ok" {
			t.Errorf("got %d %q", got.StatusCode, got.body)
		}
	}
}

// waiting are principals whose look-up waits until release is closed.
type waiting struct{ asked, release chan struct{} }

func (p waiting) Principal(string) (*principal.Principal, bool) {
	p.asked <- struct{}{}
	<-p.release
	return nil, false
}

// To the sweeper a connection is idle until its request goes to a target.
func TestConnectionWhoseRequestHasJustBeenReadIsClosedOnlyWithTheResponse(t *testing.T) {
	principals := waiting{make(chan struct{}, 1), make(chan struct{})}
	w := newGuardedWorld(t, func(cfg *Config) {
		cfg.Callers = caller.NewVerifier(caller.Config{Principals: principals})
		cfg.Limits.Clients = 1
	})
	w.storefront(answering(t, okAnswer))
	w.guard("svc-1", statement("Allow", ""))
	c := w.dial()
	request := requestTo(t, "GET", "/")
	sign(t, request, userKey)
	if err := request.Write(c); err != nil {
		t.Fatal(err)
	}
	<-principals.asked
	w.silent()
	w.await("the first is to make room", func() bool { return w.isToMakeRoom(1) })
	if got := w.proxy.Usage(); got.Open != 2 || got.Closed != 0 {
		t.Errorf("while the request is carried: usage %+v", got)
	}
	close(principals.release)
	if got := c.receive("GET"); got.StatusCode != http.StatusForbidden {
		t.Errorf("got %d", got.StatusCode)
	}
	c.atEnd()
	if got := w.proxy.Usage(); got.Closed != 1 {
		t.Errorf("afterwards: usage %+v", got)
	}
}

// isToMakeRoom reports whether the connection with a number in order of arrival must make room.
func (w *world) isToMakeRoom(number uint64) bool {
	w.proxy.mu.Lock()
	defer w.proxy.mu.Unlock()
	for c := range w.proxy.connections {
		if c.Number == number {
			return c.MakesRoom()
		}
	}
	return false
}

func TestFullProxySaysSoOnce(t *testing.T) {
	w := crowded(t, Limits{Clients: 2})
	for range 20 {
		w.silent()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := strings.Count(w.log.String(), "as many connections of clients as there may be"); n != 1 || !strings.Contains(w.log.String(), "limit=2") {
		t.Errorf("said %d times:\n%s", n, w.log.String())
	}
}

func TestSourceHasAsManyConnectionsAsItMay(t *testing.T) {
	trellistest.NeedAddress(t, "127.0.0.2")
	w := crowded(t, Limits{PerSource: 2})
	dial := func(source string) (*client, error) {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
		conn, err := dialer.Dial("tcp", w.proxy.Addr(80).String())
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(50 * time.Second))
		return &client{t, conn, bufio.NewReader(conn)}, nil
	}
	from := func(source string) *client {
		t.Helper()
		c, err := dial(source)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := from("127.0.0.1"), from("127.0.0.1")
	w.serves(first, second)
	third, err := dial("127.0.0.1")
	if err == nil { // The proxy's reset may also have come before the client knows that it is connected.
		_, err = third.ReadByte()
	}
	if !isReset(err) {
		t.Errorf("a third connection ends with %v, want a reset", err)
	}
	w.serves(from("127.0.0.2"), first, second)
	if got := w.proxy.Usage(); got != (Usage{Open: 3, Refused: 1}) {
		t.Errorf("usage %+v", got)
	}
	first.Close()
	w.await("it is gone", func() bool { return w.proxy.Usage().Open == 2 })
	w.serves(from("127.0.0.1"))
}

// starved is a listener that finds no file for a connection now and then.
type starved struct {
	*net.TCPListener
	failures atomic.Int32
}

func (l *starved) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.TCPListener.Accept()
}

func TestConnectionsAreAcceptedAgainOnceThereAreFiles(t *testing.T) {
	var listener *starved
	w := newWorld(t, func(cfg *Config) {
		cfg.Listen = func(port int, address string) (net.Listener, error) {
			l, err := listen(port, address)
			if err != nil {
				return nil, err
			}
			listener = &starved{TCPListener: l.(*net.TCPListener)}
			return listener, nil
		}
	})
	w.service("svc-1", 80, respondWith(404))
	idle := w.silent()
	w.silent() // The accept loop is waiting for another one now.
	listener.failures.Store(3)
	w.silent()
	late := w.dial()
	idle.atEnd() // It has given up its file.
	w.serves(late)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := strings.Count(w.log.String(), "a connection cannot be accepted"); n != 1 {
		t.Errorf("said %d times:\n%s", n, w.log.String())
	}
}

func TestIPv6NetworkIsOneSource(t *testing.T) {
	of := func(address string) netip.Prefix {
		return sourceOf(&downstream.Conn{Client: exchange.Client{Connection: &accesslog.Connection{Source: netip.AddrPortFrom(netip.MustParseAddr(address), 1)}}})
	}
	if of("2001:db8::1") != of("2001:db8::ffff:0:0:2%eth0") {
		t.Error("two addresses of one /64 count as two sources")
	}
	if of("2001:db8::1") == of("2001:db8:0:1::1") {
		t.Error("two /64 networks count as one source")
	}
	if of("192.0.2.1") != of("::ffff:192.0.2.1") || of("192.0.2.1") == of("::ffff:192.0.2.2") {
		t.Error("IPv4 addresses are not told apart, or differ from their forms in IPv6")
	}
}

func TestIdleConnectionsToTargetsMakeRoomForOthers(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Limits.Targets = 1 })
	w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, http2Backend(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "ok")
	})))
	w.targetGroup("tg-2", "HTTP", answering(t, okAnswer))
	w.service("svc-2", 81, forwardTo("tg-2"), "tg-2")
	byHTTP2 := w.http2Client()
	for range 3 {
		if got := fetch(t, byHTTP2, "GET", "/", nil); got.body != "ok" {
			t.Errorf("over HTTP/2: got %d %q", got.StatusCode, got.body)
		}
		c := w.dialPort(81)
		c.send("GET / HTTP/1.1\r\nHost: svc-2.lattice.test\r\n\r\n")
		if got := c.receive("GET"); got.body != "ok" {
			t.Errorf("over HTTP/1.1: got %d %q", got.StatusCode, got.body)
		}
	}
}

func TestTunnelsAndStreamsAreCountedAndNotBrokenOffForRoom(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Limits.Clients = 2 })
	w.targetGroup("tg-1", "HTTP", backend(t, func(conn net.Conn, r *bufio.Reader) {
		readHeadOnly(r)
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(conn, r)
	}))
	w.service("svc-1", 80, forwardTo("tg-1"), "tg-1")
	arrived, release := make(chan struct{}), make(chan struct{})
	w.targetGroup("tg-2", "HTTP")
	w.setVersion("tg-2", shape.TargetGroupProtocolVersionHttp2)
	w.put(w.targets("tg-2", http2Backend(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		io.WriteString(w, "ok")
	}))))
	w.service("svc-2", 81, forwardTo("tg-2"), "tg-2")

	tunnel := w.dial()
	tunnel.send("GET / HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", host)
	if got, err := http.ReadResponse(tunnel.Reader, nil); err != nil || got.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the upgrade: %v, %v", got, err)
	}
	stream := make(chan string, 1)
	byHTTP2 := &http.Client{Transport: &http.Transport{Protocols: priorKnowledge()}, Timeout: 3 * time.Minute}
	t.Cleanup(byHTTP2.CloseIdleConnections)
	request, err := http.NewRequest("GET", "http://"+w.proxy.Addr(81).String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "svc-2.lattice.test"
	go func() {
		response, err := byHTTP2.Do(request)
		if err != nil {
			stream <- err.Error()
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		stream <- fmt.Sprint(string(body), err)
	}()
	<-arrived

	for range 2 { // These are the only idle ones.
		w.silent().atEnd()
	}
	tunnel.send("still here")
	got := make([]byte, len("still here"))
	if _, err := io.ReadFull(tunnel, got); err != nil || string(got) != "still here" {
		t.Errorf("the tunnel carries %q, %v", got, err)
	}
	close(release)
	if got := <-stream; got != "ok<nil>" {
		t.Errorf("the stream gets %q", got)
	}
}
