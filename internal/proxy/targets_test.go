package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/upstream"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// refusing returns an address at which nobody listens.
func refusing(t testing.TB) string { return trellistest.RefusingAddress(t).String() }

func TestConnectFailureTriesAnotherTargetOnce(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(refusing(t), address)
	c := w.dial()
	for range 10 {
		c.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 4\r\n\r\nbody", host)
		if got := c.receive("POST"); got.StatusCode != 200 {
			t.Fatalf("got %d", got.StatusCode)
		}
		if request := next(t, requests); request.body != "body" {
			t.Fatalf("the target got %q", request.body)
		}
	}
}

func TestTwoConnectFailuresAreTheEnd(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(refusing(t), refusing(t), refusing(t), address)
	c := w.dial()
	failed := 0
	for range 20 {
		if got := c.get("/"); got.StatusCode == 500 {
			failed++
		} else {
			next(t, requests)
		}
	}
	if failed == 0 || failed == 20 {
		t.Errorf("%d of 20 requests failed, want some and not all", failed)
	}
}

// The body is still with the client when no connection could be had, so it is not lost.
func TestConnectFailureLosesNothingOfAnUpload(t *testing.T) {
	w := newWorld(t)
	w.storefront(refusing(t), echo(t))
	c := w.dial()
	body := noise(300_000)
	for range 4 {
		go sendBody(c.Conn, "length", "length", body)
		if got := c.receive("POST"); got.body != string(body) {
			t.Fatalf("got %d, %d bytes", got.StatusCode, len(got.body))
		}
	}
}

func TestHTTPSTargetsAreNotVerified(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s over %s", r.Method, body, tls.VersionName(r.TLS.Version))
	}))
	var connections atomic.Int32
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	w.targetGroup("tg-1", shape.TargetGroupProtocolHttps, server.Listener.Addr().String())
	w.service("svc-1", 80, forwardTo("tg-1"), "tg-1")
	c := w.dial()
	for range 3 {
		c.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 4\r\n\r\nbody", host)
		if got := c.receive("POST"); got.body != "POST body over TLS 1.3" {
			t.Fatalf("got %d %q", got.StatusCode, got.body)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections were made, want one", n)
	}
	server.CloseClientConnections()
	if got := c.get("/"); got.StatusCode != 200 {
		t.Errorf("after the target closed: got %d", got.StatusCode)
	}
}

func TestHTTPTargetBehindHTTPSGroupIsAConnectionError(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Upstream.DialTimeout = 200 * time.Millisecond })
	w.targetGroup("tg-1", shape.TargetGroupProtocolHttps, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	w.service("svc-1", 80, forwardTo("tg-1"), "tg-1")
	got := w.dial().get("/")
	if record := w.accessLog(1)[0]; got.StatusCode != 500 || record.Failure != accesslog.TargetConnectionError {
		t.Errorf("got %d, %q", got.StatusCode, record.Failure)
	}
}

func TestConnectionsToATargetAreReused(t *testing.T) {
	w := newWorld(t)
	var connections atomic.Int32
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		connections.Add(1)
		for readRequest(r) != nil {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
	for range 20 {
		w.dial().get("/")
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections were made, want one", n)
	}
}

func TestConnectionsToATargetAreBounded(t *testing.T) {
	w := newWorld(t, func(cfg *Config) {
		// On a busy machine a request may wait for its turn for longer than 5 seconds, after which it would be refused.
		cfg.Upstream = upstream.Config{MaxConnections: 3, DialTimeout: time.Minute}
	})
	var open, most atomic.Int32
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		now := open.Add(1)
		defer open.Add(-1)
		for {
			before := most.Load()
			if now <= before || most.CompareAndSwap(before, now) {
				break
			}
		}
		for readRequest(r) != nil {
			time.Sleep(5 * time.Millisecond) // Sleeps: a target takes its time, so that others have to wait.
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
	var clients sync.WaitGroup
	for range 12 {
		c := w.dial()
		clients.Go(func() {
			for range 5 {
				if got := c.get("/"); got.StatusCode != 200 {
					t.Errorf("got %d", got.StatusCode)
				}
			}
		})
	}
	clients.Wait()
	if n := most.Load(); n > 3 {
		t.Errorf("%d connections were open at once, want at most 3", n)
	}
}

func TestBusyTargetRefusesInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *Config) {
		cfg.Upstream = upstream.Config{MaxConnections: 1, DialTimeout: 5 * time.Second}
	})
	arrived := make(chan struct{})
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		readRequest(r)
		close(arrived)
		r.ReadByte()
	}))
	first := w.dial()
	first.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	<-arrived
	if got := w.dial().get("/"); got.StatusCode != 500 {
		t.Errorf("got %d", got.StatusCode)
	}
}

func TestIdleConnectionThatTheTargetClosesIsClosed(t *testing.T) {
	w := newWorld(t)
	seen := make(chan error, 1)
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		readRequest(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		conn.(*net.TCPConn).CloseWrite()
		_, err := r.ReadByte()
		seen <- err
	}))
	w.dial().get("/")
	if err := <-seen; err != io.EOF {
		t.Errorf("the target saw %v", err)
	}
}

func TestIdleConnectionsToTargetsAreClosedInTime(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Upstream.IdleTimeout = 500 * time.Millisecond })
	seen := make(chan error, 1)
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		readRequest(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_, err := r.ReadByte()
		seen <- err
	}))
	w.dial().get("/")
	if err := <-seen; err != io.EOF {
		t.Errorf("the target saw %v", err)
	}
}

func TestWeightsHoldUnderLoad(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.AccessLog = nil })
	w.targetGroup("tg-1", shape.TargetGroupProtocolHttp, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"))
	w.targetGroup("tg-2", shape.TargetGroupProtocolHttp, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"))
	action := forwardTo("tg-1", "tg-2")
	action.Forward.TargetGroups[0].Weight = new(int32(75))
	action.Forward.TargetGroups[1].Weight = new(int32(25))
	w.service("svc-1", 80, action, "tg-1", "tg-2")
	var counts [3]atomic.Int32
	var clients sync.WaitGroup
	for range 8 {
		c := w.dial()
		clients.Go(func() {
			for range 50 {
				counts[c.get("/").body[0]-'0'].Add(1)
			}
		})
	}
	clients.Wait()
	if counts[1].Load() != 300 || counts[2].Load() != 100 {
		t.Errorf("got %d and %d, want 300 and 100", counts[1].Load(), counts[2].Load())
	}
}

// Requests of all kinds come from many clients at once. With the tag invariants, a use of a buffer after its release shows.
func TestManyClientsAtOnceGetTheirOwnResponses(t *testing.T) {
	w := newWorld(t)
	w.storefront(echo(t), echo(t), echo(t))
	var clients sync.WaitGroup
	for i := range 16 {
		c := w.dial()
		clients.Go(func() {
			for j := range 30 {
				body := strings.Repeat(fmt.Sprintf("<%d.%d>", i, j), 1+(i*j*j)%3000)
				framing := []string{"length", "chunks", "close"}[(i+j)%3]
				sending := make(chan error, 1)
				go func() {
					sending <- sendBody(c.Conn, framing, []string{"length", "chunks", "small chunks"}[j%3], []byte(body))
				}()
				got := c.receive("POST")
				if err := <-sending; err != nil || got.body != body || got.err != nil {
					t.Errorf("client %d, request %d: got %d, %d bytes, %v, %v; want %d", i, j, got.StatusCode, len(got.body), got.err, err, len(body))
					return
				}
			}
		})
	}
	clients.Wait()
}

func TestTargetThatHasBeenUsedHasConnectionsReady(t *testing.T) {
	connected := make(chan struct{}, 10)
	w := newWorld(t, func(cfg *Config) { cfg.Upstream.Spare = 2 })
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		connected <- struct{}{}
		for readRequest(r) != nil {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
	c := w.dial()
	for range 3 {
		if got := c.get("/"); got.body != "ok" {
			t.Fatalf("got %d %q", got.StatusCode, got.body)
		}
	}
	<-connected // For the first request.
	trellistest.Receive(t, connected, "there is a spare connection")
}
