package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/downstream"
	"trellis/test/trellistest"
)

func TestSilentTargetTimesOut(t *testing.T) {
	for _, test := range []struct {
		name, response string
		status         int
	}{
		{"before the head", "", 504},
		{"in the head", "HTTP/1.1 200 OK\r\nContent-", 504},
		{"after an interim response", "HTTP/1.1 102 Processing\r\n\r\n", 504},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbo", 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
				readRequest(r)
				io.WriteString(conn, test.response)
				r.ReadByte()
			}))
			w.setIdleTimeout(6)
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			got := c.receive("GET")
			if got.StatusCode == 102 {
				got = c.receive("GET")
			}
			if got.StatusCode != test.status {
				t.Errorf("got %d", got.StatusCode)
			}
			if test.status == 200 && got.err == nil {
				t.Error("the response did not break")
			}
			if test.status == 504 && (got.body != "Gateway Timeout" || got.Close) {
				t.Errorf("got %q, close %v", got.body, got.Close)
			}
			if record := w.accessLog(1)[0]; record.Failure != accesslog.TargetDataTimeout || record.Status != test.status {
				t.Errorf("record %d %q", record.Status, record.Failure)
			}
		})
	}
}

func TestSlowClientTimesOut(t *testing.T) {
	for _, test := range []struct{ name, request string }{
		{"in the head", "GET / HTTP/1.1\r\nHos"},
		{"in the body", "POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 4\r\n\r\nbo"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(cfg *Config) { cfg.HeadTimeout = time.Second })
			address, _ := recording(t)
			w.storefront(address)
			w.setIdleTimeout(1)
			c := w.dial()
			c.send("%s", test.request)
			if got := c.receive("GET"); got.StatusCode != 408 || !got.Close {
				t.Errorf("got %d, close %v", got.StatusCode, got.Close)
			}
			c.atEnd()
			if record := w.accessLog(1)[0]; record.Failure != accesslog.ClientConnectionClosed || record.Status != 408 {
				t.Errorf("record %d %q", record.Status, record.Failure)
			}
		})
	}
}

// A byte now and then does not keep a head alive.
func TestTricklingHeadTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *Config) { cfg.HeadTimeout = time.Second })
	w.service("svc-1", 80, respondWith(404))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nX: ")
	for range 100 {
		if _, err := io.WriteString(c.Conn, "x"); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond) // Sleeps: a client's pace.
	}
	t.Error("the connection is still open")
}

// The idle timeout is about silence, not about how long an exchange takes.
func TestTimeoutsDoNotEndWhatMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		if readRequest(r) == nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n")
		for range 70 {
			time.Sleep(100 * time.Millisecond) // Sleeps: a target's pace.
			io.WriteString(conn, "x")
		}
	}))
	w.setIdleTimeout(6)
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 70\r\n\r\n", host)
	for range 70 {
		time.Sleep(100 * time.Millisecond) // Sleeps: a client's pace.
		c.send("x")
	}
	if got := c.receive("POST"); got.StatusCode != 200 || len(got.body) != 70 || got.err != nil {
		t.Errorf("got %d %q %v", got.StatusCode, got.body, got.err)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *Config) { cfg.IdleTimeout = 6 * time.Second })
	address, _ := recording(t)
	w.storefront(address)
	silent, used := w.dial(), w.dial()
	used.get("/")
	silent.atEnd()
	// The service's own timeout holds once the service is known.
	if got := used.get("/"); got.StatusCode != 200 {
		t.Errorf("got %d", got.StatusCode)
	}
	w.setIdleTimeout(1)
	used.get("/")
	used.atEnd()
}

func TestConnectionsHaveAMaximumDuration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *Config) { cfg.ConnectionDuration = 6 * time.Second })
	target, _, release := holding(t)
	defer close(release)
	w.storefront(target)
	idle, waiting := w.dial(), w.dial()
	idle.get("/")
	waiting.send("GET /slow HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	idle.atEnd()
	if got := waiting.receive("GET"); got.StatusCode != 500 || !got.Close {
		t.Errorf("got %d, close %v", got.StatusCode, got.Close)
	}
	waiting.atEnd()
	for _, record := range w.accessLog(2) {
		if string(record.Path) == "/slow" && record.Failure != accesslog.ConnectionDurationExceeded {
			t.Errorf("failure %q", record.Failure)
		}
	}
}

func TestUpgradedConnectionsHaveAMaximumDuration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *Config) { cfg.ConnectionDuration = 5 * time.Second })
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		readHeadOnly(r)
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(conn, r)
	}))
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", host)
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reading: %v", err)
	}
	if record := w.accessLog(1)[0]; record.Failure != accesslog.ConnectionDurationExceeded || record.Status != 101 {
		t.Errorf("record %d %q", record.Status, record.Failure)
	}
}

func TestUnreadResponseHasAMaximumDuration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *Config) { cfg.ConnectionDuration = 5 * time.Second })
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		readHeadOnly(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		for block := make([]byte, 64<<10); ; {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}))
	w.dial().send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	if record := w.accessLog(1)[0]; record.Failure != accesslog.ConnectionDurationExceeded || record.Status != 200 {
		t.Errorf("record %d %q", record.Status, record.Failure)
	}
}

func TestShutdownLetsExchangesFinish(t *testing.T) {
	w := newWorld(t)
	target, arrived, release := holding(t)
	w.storefront(target)
	idle, busy := w.dial(), w.dial()
	idle.get("/")
	busy.send("GET /slow HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	<-arrived
	address := w.proxy.Addr(80).String()
	finished := make(chan error)
	go func() { finished <- w.proxy.Shutdown(context.Background()) }()
	idle.atEnd()
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("a connection was accepted")
	}
	close(release)
	if got := busy.receive("GET"); got.body != "ok" || !got.Close {
		t.Errorf("got %q, close %v", got.body, got.Close)
	}
	if err := <-finished; err != nil {
		t.Error(err)
	}
}

// awaitBusy returns when no connection is idle any more.
func (w *world) awaitBusy() {
	w.t.Helper()
	w.awaitStates("busy", func(s downstream.State) bool { return s != downstream.Idle && s != downstream.Dialing })
}

// awaitStates returns when there are connections, and the states of all are accepted.
func (w *world) awaitStates(name string, accepts func(downstream.State) bool) {
	w.t.Helper()
	trellistest.Await(w.t, func() bool {
		w.proxy.mu.Lock()
		defer w.proxy.mu.Unlock()
		for c := range w.proxy.connections {
			if !accepts(c.State()) {
				return false
			}
		}
		return len(w.proxy.connections) > 0
	}, "all connections are %s", name)
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: %s\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: %s\r\n",
	} {
		w := newWorld(t)
		w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
			if head := readHead(r); head != nil && strings.Contains(strings.Join(head, " "), "upgrade") {
				io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
			}
			io.Copy(io.Discard, r)
		}))
		c := w.dial()
		c.send(request, host)
		w.awaitBusy()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		if err := w.proxy.Shutdown(ctx); err == nil {
			t.Errorf("%q: the exchange was not waited for", request)
		}
		cancel()
	}
}

func TestManySlowClientsDoNotHinderOthers(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	for i := range 300 {
		c := w.dial()
		c.send("GET /%d HTTP/1.1\r\nHost: ", i)
	}
	c := w.dial()
	for i := range 20 {
		if got := c.get(fmt.Sprintf("/%d", i)); got.StatusCode != 200 {
			t.Fatalf("got %d", got.StatusCode)
		}
		next(t, requests)
	}
}
