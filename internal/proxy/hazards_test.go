package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/downstream"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// The tests of this file are about ways in which proxies have gone wrong.

func TestTruncatedUpstreamBodyBreaksTheResponse(t *testing.T) {
	for _, test := range []struct{ name, response string }{
		{"by length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"},
		{"by chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"},
		{"inside a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabc"},
		{"before the empty line of the trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"},
	} {
		for _, version := range []string{"1.1", "1.0"} {
			t.Run(test.name+" to HTTP/"+version, func(t *testing.T) {
				w := newWorld(t)
				w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
					if readRequest(r) != nil {
						io.WriteString(conn, test.response)
						awaitArrival(t, conn)
					}
				}))
				c := w.dial()
				c.send("GET / HTTP/%s\r\nHost: %s\r\n\r\n", version, host)
				got := c.receive("GET")
				if got.StatusCode != 200 || got.err == nil {
					t.Fatalf("got %d %q, error %v; want a broken body", got.StatusCode, got.body, got.err)
				}
				if record := w.accessLog(1)[0]; record.Failure != accesslog.TargetConnectionClosed {
					t.Errorf("failure %q", record.Failure)
				}
			})
		}
	}
}

func TestEarlyResponseIsForwarded(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\r\n" {
				break
			}
		}
		io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
		<-release
	}))
	defer close(release)
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\nonly the beginning", host)
	if got := c.receive("POST"); got.StatusCode != 413 || got.body != "large" || got.err != nil {
		t.Fatalf("got %d %q %v", got.StatusCode, got.body, got.err)
	}
}

// The target answers and reads no more, while the client goes on sending.
func TestReplyDoesNotDrainTheRequest(t *testing.T) {
	w := newWorld(t)
	answered := make(chan struct{})
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		readHeadOnly(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		conn.Read(make([]byte, 1))
		<-answered
	}))
	defer close(answered)
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n", host)
	go func() {
		chunk := "2000\r\n" + strings.Repeat("x", 0x2000) + "\r\n"
		for {
			if _, err := io.WriteString(c.Conn, chunk); err != nil {
				return
			}
		}
	}()
	if got := c.receive("POST"); got.StatusCode != 200 || got.body != "ok" {
		t.Fatalf("got %d %q", got.StatusCode, got.body)
	}
}

func readHeadOnly(r *bufio.Reader) {
	for {
		if line, err := r.ReadString('\n'); err != nil || line == "\r\n" {
			return
		}
	}
}

func TestEveryConnectionLineIsHonoured(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	c := w.dial()
	c.get("/", "Connection: x-first", "X-First: 1", "Connection: keep-alive, X-Second", "x-second: 2", "Keep-Alive: timeout=5",
		"Proxy-Connection: keep-alive", "X-Third: 3")
	for _, line := range next(t, requests).lines[1:] {
		switch name, _, _ := strings.Cut(strings.ToLower(line), ":"); name {
		case "x-first", "x-second", "connection", "keep-alive", "proxy-connection":
			t.Errorf("the target got %q", line)
		}
	}

	w.targetGroup("tg-1", shape.TargetGroupProtocolHttp, answering(t, "HTTP/1.1 200 OK\r\nConnection: x-first\r\nX-First: 1\r\n"+
		"Connection: keep-alive\r\nConnection: x-second\r\nX-Second: 2\r\nKeep-Alive: timeout=5\r\nX-Third: 3\r\nContent-Length: 0\r\n\r\n"))
	w.deregister("tg-1", address)
	got := c.get("/")
	for _, name := range []string{"X-First", "X-Second", "Connection", "Keep-Alive"} {
		if value := got.Header.Get(name); value != "" {
			t.Errorf("the client got %s: %s", name, value)
		}
	}
	if got.Header.Get("X-Third") != "3" {
		t.Error("X-Third is missing")
	}
}

func TestClientCannotRemoveLatticeHeaders(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	c := w.dial()
	c.get("/",
		"Connection: x-forwarded-for, x-amzn-lattice-target, x-amzn-lattice-network, x-amzn-requestid, host, x-forwarded-proto",
		"X-Forwarded-For: 6.6.6.6", "X-Amzn-Lattice-Target: mine", "x-amzn-lattice-identity: Principal=me", "X-AMZN-LATTICE-NETWORK: mine",
		"x-amzn-source-vpc: vpc-1", "X-Forwarded-Port: 1", "X-Forwarded-Proto: gopher")
	header := next(t, requests).Header
	for name, want := range map[string]string{
		"X-Forwarded-For":         "127.0.0.1",
		"X-Forwarded-Port":        "80",
		"X-Forwarded-Proto":       "http",
		"X-Amzn-Lattice-Identity": "",
		"X-Amzn-Source-Vpc":       "",
	} {
		if got := strings.Join(header.Values(name), "|"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for name, part := range map[string]string{"X-Amzn-Lattice-Target": "tg-1", "X-Amzn-Lattice-Network": "SourceVpcArn="} {
		if got := header.Values(name); len(got) != 1 || !strings.Contains(got[0], part) {
			t.Errorf("%s is %q", name, got)
		}
	}
	if got := header.Values("X-Amzn-Requestid"); len(got) != 1 || got[0] == "" {
		t.Errorf("x-amzn-requestid is %q", got)
	}
}

// The target closes the connection at the moment at which it is used again.
func TestStaleUpstreamConnection(t *testing.T) {
	for _, test := range []struct {
		name    string
		request string
		// seen reports whether the target reads the second request before it closes.
		seen bool
		want int
	}{
		{"closed before: any request is sent again", "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n\r\nhi", false, 200},
		{"closed after sending: GET is sent again", "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", true, 200},
		{"closed after sending: PUT is sent again", "PUT / HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n\r\nhi", true, 200},
		{"closed after sending: POST is not", "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\n\r\nhi", true, 502},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			var connections atomic.Int32
			closed := make(chan struct{})
			w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
				first := connections.Add(1) == 1
				for i := 0; ; i++ {
					if first && i == 1 && !test.seen {
						conn.(*net.TCPConn).CloseWrite()
						awaitArrival(t, conn)
						close(closed)
						return
					}
					if readRequest(r) == nil || first && i == 1 {
						return
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}))
			c := w.dial()
			c.get("/")
			if !test.seen {
				<-closed
			}
			c.send(test.request, host)
			if got := c.receive("GET"); got.StatusCode != test.want {
				t.Errorf("got %d, want %d", got.StatusCode, test.want)
			}
		})
	}
}

// A target that breaks a new connection has got the request, so that it is not sent again.
func TestFreshConnectionThatBreaksIsNotRetried(t *testing.T) {
	w := newWorld(t)
	requests := make(chan *seen, 10)
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) { requests <- readRequest(r) }))
	c := w.dial()
	if got := c.get("/"); got.StatusCode != 502 || got.body != "Bad Gateway" {
		t.Errorf("got %d %q", got.StatusCode, got.body)
	}
	if len(requests) != 1 {
		t.Errorf("the target got %d requests", len(requests))
	}
	if failure := w.accessLog(1)[0].Failure; failure != accesslog.TargetConnectionClosed {
		t.Errorf("failure %q", failure)
	}
}

// Half of a response counts as a response: another attempt would bring another one.
func TestBrokenHeadIsNotRetried(t *testing.T) {
	w := newWorld(t)
	var count atomic.Int32
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		for readRequest(r) != nil {
			if count.Add(1) == 2 {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le")
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
	c := w.dial()
	c.get("/")
	if got := c.get("/"); got.StatusCode != 502 || count.Load() != 2 {
		t.Errorf("got %d after %d requests", got.StatusCode, count.Load())
	}
}

// Bytes that a target sends unasked must not become the response to a request, whether they come later or with a response.
func TestUnaskedResponseIsNotTakenForTheNext(t *testing.T) {
	const answer, poison = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for _, protocol := range []shape.TargetGroupProtocol{shape.TargetGroupProtocolHttp, shape.TargetGroupProtocolHttps} {
		for _, later := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, later %v", protocol, later), func(t *testing.T) {
				w := newWorld(t)
				got, poisoned := make(chan struct{}), make(chan struct{})
				serve := func(conn net.Conn, r *bufio.Reader) {
					for readRequest(r) != nil {
						if later {
							io.WriteString(conn, answer)
							<-got
							io.WriteString(conn, poison)
						} else {
							io.WriteString(conn, answer+poison)
						}
						awaitArrival(t, conn)
						poisoned <- struct{}{}
					}
				}
				if protocol == shape.TargetGroupProtocolHttps {
					serve = overTLS(t, serve)
				}
				w.targetGroup("tg-1", protocol, backend(t, serve))
				w.service("svc-1", 80, forwardTo("tg-1"), "tg-1")
				c := w.dial()
				for range 3 {
					if answer := c.get("/"); answer.body != "ok" {
						t.Fatalf("got %q", answer.body)
					}
					if later {
						got <- struct{}{}
					}
					<-poisoned
				}
			})
		}
	}
}

// overTLS makes a backend speak TLS, with a certificate that no client trusts.
func overTLS(t testing.TB, serve func(net.Conn, *bufio.Reader)) func(net.Conn, *bufio.Reader) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	t.Cleanup(server.Close)
	config := &tls.Config{Certificates: server.TLS.Certificates}
	return func(conn net.Conn, _ *bufio.Reader) {
		secured := tls.Server(conn, config)
		serve(secured, bufio.NewReader(secured))
	}
}

func TestReplacedPoolClosesIdleConnections(t *testing.T) {
	w := newWorld(t)
	closed := make(chan struct{}, 1)
	address := backend(t, func(conn net.Conn, r *bufio.Reader) {
		for readRequest(r) != nil {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		closed <- struct{}{}
	})
	w.storefront(address)
	c := w.dial()
	c.get("/")
	w.deregister("tg-1", address)
	trellistest.Receive(t, closed, "the connection to the target has ended")
	if got := c.get("/"); got.StatusCode != 503 || got.body != "service not available" {
		t.Errorf("got %d %q", got.StatusCode, got.body)
	}
}

func TestPanicInOneExchange(t *testing.T) {
	var calls atomic.Int32
	w := newWorld(t, func(cfg *Config) {
		cfg.AccessLog = recorder(func(*accesslog.Record) {
			if calls.Add(1) == 1 {
				panic("for the test")
			}
		})
	})
	address, _ := recording(t)
	w.storefront(address)
	c := w.dial()
	c.get("/")
	expectEnd(t, c)
	if got := w.dial().get("/"); got.StatusCode != 200 {
		t.Errorf("the next exchange got %d", got.StatusCode)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.Contains(w.log.String(), "panic in an exchange") {
		t.Error("the panic is not in the log")
	}
	w.log.Reset()
}

func TestClientDisconnectCancelsUpstream(t *testing.T) {
	for _, test := range []struct{ name, request, response string }{
		{"before the response", "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", ""},
		{"after the head", "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"},
		{"while it sends the body", "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 10\r\n\r\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			got, cancelled := make(chan struct{}), make(chan struct{})
			w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
				readHeadOnly(r)
				io.WriteString(conn, test.response)
				close(got)
				if _, err := r.ReadByte(); err != nil && !isTimeout(err) {
					close(cancelled)
				}
			}))
			c := w.dial()
			c.send(test.request, host)
			<-got
			c.Conn.Close()
			trellistest.Receive(t, cancelled, "the target's connection has ended")
			if failure := w.accessLog(1)[0].Failure; failure != accesslog.ClientConnectionClosed {
				t.Errorf("failure %q", failure)
			}
		})
	}
}

func TestPathIsDecodedAtMostOnce(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	c := w.dial()
	for _, path := range []string{"/public/%252e%252e/admin", "/a/../b/./c//d", "/%2e%2e/%2F?x=%2525&y=%zz", "/A%20b;c=d"} {
		c.get(path)
		if got := next(t, requests).RequestURI; got != path {
			t.Errorf("%s became %s", path, got)
		}
	}
}

func TestIdleConnectionCostsUnder16KB(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.AccessLog = nil })
	w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	const count = 200
	measure := func() uint64 {
		var stats runtime.MemStats
		for range 3 { // Pools are emptied by the second.
			runtime.GC()
		}
		runtime.ReadMemStats(&stats)
		return stats.HeapInuse + stats.StackInuse
	}
	one := w.dial()
	one.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	one.receive("GET")
	before := measure()
	clients := make([]net.Conn, count)
	reply := make([]byte, 4096)
	for i := range clients {
		conn, err := net.Dial("tcp", w.proxy.Addr(80).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		if _, err := conn.Read(reply); err != nil {
			t.Fatal(err)
		}
		clients[i] = conn
	}
	w.awaitStates("idle", func(s downstream.State) bool { return s == downstream.Idle })
	cost := (int64(measure()) - int64(before)) / count
	t.Logf("%d bytes per idle connection, its client included", cost)
	if cost > 16<<10 {
		t.Errorf("an idle connection costs %d bytes", cost)
	}
	runtime.KeepAlive(clients)
}
