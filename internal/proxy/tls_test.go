package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

func TestHTTPSRequestReachesTheTarget(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			w := newSecureWorld(t)
			address, requests := recording(t)
			w.https(address)
			cfg := w.client(host)
			cfg.MinVersion, cfg.MaxVersion = version, version
			c, err := w.tls(cfg)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if got := c.get("/path"); got.StatusCode != 200 || got.body != "ok" {
					t.Fatalf("got %d %q", got.StatusCode, got.body)
				}
				request := next(t, requests)
				if proto, port := request.Header.Get("x-forwarded-proto"), request.Header.Get("x-forwarded-port"); proto != "https" || port != "443" {
					t.Fatalf("x-forwarded-proto is %q, -port %q", proto, port)
				}
			}
			facts := w.accessLog(1)[0].TLS
			want := map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}[version]
			if facts == nil || facts.ServerName != host || facts.Version != want || facts.Cipher != accesslog.CipherName(c.tls.ConnectionState().CipherSuite) {
				t.Fatalf("the access log has %+v", facts)
			}
		})
	}
}

func TestHTTP2IsPreferred(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	for want, offered := range map[string][]string{"h2": {"http/1.1", "h2"}, "http/1.1": {"http/1.0", "http/1.1"}, "": nil} {
		cfg := w.client(host)
		cfg.NextProtos = offered
		c, err := w.tls(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.tls.ConnectionState().NegotiatedProtocol; got != want {
			t.Fatalf("of %q, %q was chosen", offered, got)
		}
		if want != "h2" {
			if got := c.get("/"); got.body != "ok" {
				t.Fatalf("got %q", got.body)
			}
		}
	}
	cfg := w.client(host)
	cfg.NextProtos = []string{"acme-tls/1"}
	if _, err := w.tls(cfg); err == nil || !strings.Contains(err.Error(), "no application protocol") {
		t.Fatalf("error %v", err)
	}
}

func TestHTTP2PassesOverTLS(t *testing.T) {
	w := newSecureWorld(t)
	address, requests := recording(t)
	w.https(address)
	w.targetGroup("tg-2", shape.TargetGroupProtocolHttp, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"))
	w.listen("svc-2", shape.ListenerProtocolHttps, 443, "tg-2")
	transport := &http.Transport{TLSClientConfig: w.client(host), ForceAttemptHTTP2: true, DisableCompression: true,
		DialContext: w.dialler(443)}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	ask := func(name string) (int, string) {
		t.Helper()
		request, err := http.NewRequest("GET", "https://"+host+"/path", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = name
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.ProtoMajor != 2 {
			t.Fatalf("error %v, HTTP/%d", err, response.ProtoMajor)
		}
		return response.StatusCode, string(body)
	}
	for range 3 {
		if status, body := ask(host); status != 200 || body != "ok" {
			t.Fatalf("got %d %q", status, body)
		}
		if got := next(t, requests).Header.Get("x-forwarded-proto"); got != "https" {
			t.Fatalf("x-forwarded-proto is %q", got)
		}
	}
	if status, _ := ask("svc-2.lattice.test"); status != 421 {
		t.Fatalf("another service: got %d", status)
	}
	for _, r := range w.accessLog(4) {
		if r.TLS == nil || r.TLS.ServerName != host {
			t.Fatalf("the access log has %+v", r.TLS)
		}
	}
}

func TestNameThatNobodyServesIsRefusedByAlert(t *testing.T) {
	w := newSecureWorld(t)
	w.https()
	w.service("svc-2", 443, respondWith(404)) // An HTTP listener on the same port.
	for name, want := range map[string]string{
		"nobody.lattice.test": "unrecognized name",
		"svc-2.lattice.test":  "unrecognized name",
		"":                    "missing extension",
	} {
		cfg := w.client(name)
		cfg.InsecureSkipVerify = true
		if _, err := w.tls(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("name %q: error %v, want %q", name, err, want)
		}
	}
}

func TestServerNameIsComparedWithoutCase(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	cfg := w.client("SVC-1.Lattice.Test")
	c, err := w.tls(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.get("/"); got.StatusCode != 200 {
		t.Fatalf("got %d", got.StatusCode)
	}
}

func TestCustomDomainHasItsOwnCertificate(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	serial := func(name string) string {
		return w.dialTLS(name).tls.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	local := serial(customHost) // From the authority, as long as the inventory has none.
	w.custom = &w.site(customHost).Certificates[0]
	if got := serial(customHost); got != w.custom.Leaf.SerialNumber.String() || got == local {
		t.Fatalf("served %s, want %v", got, w.custom.Leaf.SerialNumber)
	}
	if got := serial(host); got == w.custom.Leaf.SerialNumber.String() {
		t.Fatal("the generated name has the certificate of the custom one")
	}
}

func TestCertificateChangeDropsNothing(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	w.custom = &w.site(customHost).Certificates[0]
	c := w.dialTLS(customHost)
	for range 5 {
		w.mu.Lock()
		w.custom = &w.site(customHost).Certificates[0]
		w.mu.Unlock()
		if got := c.get("/"); got.StatusCode != 200 || got.body != "ok" {
			t.Fatalf("got %d %q", got.StatusCode, got.body)
		}
		if got := w.dialTLS(customHost).tls.ConnectionState().PeerCertificates[0]; !got.Equal(w.custom.Leaf) {
			t.Fatal("a new connection has an old certificate")
		}
	}
}

func TestSessionIsResumed(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			w := newSecureWorld(t)
			w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			cfg := w.client(host)
			cfg.MaxVersion = version
			cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for i := range 3 {
				c, err := w.tls(cfg)
				if err != nil {
					t.Fatal(err)
				}
				if got := c.get("/"); got.StatusCode != 200 {
					t.Fatalf("got %d", got.StatusCode)
				}
				if resumed := c.tls.ConnectionState().DidResume; resumed != (i > 0) {
					t.Fatalf("connection %d: resumed is %v", i, resumed)
				}
			}
		})
	}
}

//
func TestHTTPAndHTTPSShareAPort(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure"))
	w.targetGroup("tg-2", shape.TargetGroupProtocolHttp, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain"))
	w.service("svc-2", 443, forwardTo("tg-2"), "tg-2")
	c := w.dialTLS(host)
	plain := w.dialPort(443)
	for range 2 {
		if got := c.get("/"); got.body != "secure" {
			t.Fatalf("got %q", got.body)
		}
		plain.send("GET / HTTP/1.1\r\nHost: svc-2.lattice.test\r\n\r\n")
		if got := plain.receive("GET"); got.body != "plain" {
			t.Fatalf("got %q", got.body)
		}
	}
	plain.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	if got := plain.receive("GET"); got.StatusCode != 400 || got.body != "This is an HTTPS listener" {
		t.Fatalf("plain HTTP to an HTTPS listener: got %d %q", got.StatusCode, got.body)
	}
	// A head in pieces, of which the first is one byte.
	pieces := w.dialPort(443)
	pieces.send("G")
	awaitArrival(t, pieces.Conn)
	pieces.send("ET / HTTP/1.1\r\nHost: svc-2.lattice.test\r\n\r\n")
	if got := pieces.receive("GET"); got.body != "plain" {
		t.Fatalf("got %q", got.body)
	}
}

//
func TestServerNameSelectsTheService(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"))
	w.targetGroup("tg-2", shape.TargetGroupProtocolHttp, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"))
	w.listen("svc-2", shape.ListenerProtocolHttps, 443, "tg-2")
	c := w.dialTLS(host)
	for _, test := range []struct {
		host   string
		status int
	}{
		{host, 200},
		{host + ":8443", 200},
		{customHost, 200},
		{"SVC-1.lattice.test", 200},
		{"anything.at.all", 200},
		{"svc-2.lattice.test", 421},
		{host, 200},
	} {
		c.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", test.host)
		got := c.receive("GET")
		if got.StatusCode != test.status || got.StatusCode == 200 && got.body != "one" {
			t.Errorf("host %s: got %d %q, want %d", test.host, got.StatusCode, got.body, test.status)
		}
	}
	w.delete(lattice.ListenerKey(scope, "svc-1", "listener-svc-1"))
	c.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	if got := c.receive("GET"); got.StatusCode != 404 {
		t.Fatalf("after the listener was deleted: got %d", got.StatusCode)
	}
}

func TestHelloInPiecesIsUnderstood(t *testing.T) {
	for name, below := range map[string]func(net.Conn) net.Conn{
		"one byte at a time":  func(c net.Conn) net.Conn { return slowly{c} },
		"records of one byte": func(c net.Conn) net.Conn { return &fragmenting{Conn: c} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newSecureWorld(t)
			w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			c, err := w.tls(w.client(host), below)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.get("/"); got.body != "ok" {
				t.Fatalf("got %q", got.body)
			}
		})
	}
}

func TestSlowClientHelloHitsTheDeadline(t *testing.T) {
	w := newSecureWorld(t, func(cfg *Config) { cfg.HeadTimeout = 500 * time.Millisecond })
	w.https()
	hello := recordHello(t, w.client(host))
	for name, sent := range map[string][]byte{
		"first byte only":       hello[:1],
		"all but the last byte": hello[:len(hello)-1],
		"hello and silence":     hello,
	} {
		t.Run(name, func(t *testing.T) {
			c := w.dialPort(443)
			c.send("%s", sent)
			if _, err := io.Copy(io.Discard, c.Conn); err != nil && !isReset(err) {
				t.Fatalf("error %v", err)
			}
		})
	}
}

func isReset(err error) bool { return err != nil && strings.Contains(err.Error(), "reset") }

// recordHello returns a ClientHello.
func recordHello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go tls.Client(near, cfg).Handshake()
	defer near.Close()
	b := make([]byte, 16<<10)
	n, err := far.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func TestGarbageInsteadOfAHelloIsRefused(t *testing.T) {
	w := newSecureWorld(t)
	w.https()
	hello := recordHello(t, w.client(host))
	for name, c := range map[string]struct {
		sent []byte
		want byte // the alert
	}{
		"version 2":           {[]byte{22, 2, 1}, 70},
		"ServerHello":         {[]byte{22, 3, 1, 0, 4, 2, 0, 0, 0}, 10},
		"oversized":           {[]byte{22, 3, 1, 0, 4, 1, 1, 0, 0}, 50},
		"broken inside":       {append(bytes.Clone(hello[:len(hello)-1]), 0), 0},
		"another message too": {append(append(bytes.Clone(hello[:3]), byte((len(hello)-1)>>8), byte(len(hello)-1)), append(bytes.Clone(hello[5:]), 1, 0, 0, 0)...), 10},
	} {
		t.Run(name, func(t *testing.T) {
			conn := w.dialPort(443)
			conn.send("%s", c.sent)
			conn.Conn.(*net.TCPConn).CloseWrite()
			got, err := io.ReadAll(conn.Conn)
			if err != nil {
				t.Fatal(err)
			}
			if c.want != 0 && !bytes.Equal(got, []byte{21, 3, 3, 0, 2, 2, c.want}) {
				t.Fatalf("got % x, want alert %d", got, c.want)
			}
		})
	}
}

func TestBodiesOfAllKindsPassOverTLS(t *testing.T) {
	w := newSecureWorld(t)
	w.https(backend(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			request := readRequest(r)
			if request == nil {
				return
			}
			if request.URL.Path == "/chunks" {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(request.body), request.body)
			} else {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(request.body), request.body)
			}
		}
	}))
	c := w.dialTLS(host)
	for _, size := range []int{0, 1, 100, 5000, 20_000, 70_000, 1 << 20} {
		body := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		for _, path := range []string{"/", "/chunks"} {
			go c.send("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", path, host, size, body)
			if got := c.receive("POST"); got.body != body || got.err != nil {
				t.Fatalf("%s with %d bytes: got %d, error %v", path, size, len(got.body), got.err)
			}
		}
	}
	// Several requests in one record.
	c.send("%s", strings.Repeat(fmt.Sprintf("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 3\r\n\r\nabc", host), 3))
	for range 3 {
		if got := c.receive("POST"); got.body != "abc" {
			t.Fatalf("got %q", got.body)
		}
	}
}

func TestRequestMayComeInManyRecords(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	c := w.dialTLS(host)
	for range 2 {
		for i, b := range []byte("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n") {
			c.send("%c", b)
			if i%10 == 0 {
				awaitArrival(t, c.Conn)
			}
		}
		if got := c.receive("GET"); got.body != "ok" {
			t.Fatalf("got %q", got.body)
		}
	}
}

func TestRecordMayComeInManyPieces(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	c, err := w.tls(w.client(host), func(c net.Conn) net.Conn { return slowly{c} })
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := c.get("/" + strings.Repeat("x", 500)); got.body != "ok" {
			t.Fatalf("got %q", got.body)
		}
	}
}

func TestSmallResponseIsOneRecord(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"+strings.Repeat("x", 4000)))
	var wire *counting
	c, err := w.tls(w.client(host), func(c net.Conn) net.Conn {
		wire = &counting{Conn: c}
		return wire
	})
	if err != nil {
		t.Fatal(err)
	}
	c.get("/")
	wire.records() // Session tickets are among them.
	for range 3 {
		if got := c.get("/"); len(got.body) != 4000 {
			t.Fatalf("got %d bytes", len(got.body))
		}
		if got := wire.records(); len(got) != 1 {
			t.Fatalf("a response took records of %v bytes, want one", got)
		}
	}
}

func TestTruncatedBodyBreaksTheTLSConnection(t *testing.T) {
	w := newSecureWorld(t)
	w.https(backend(t, func(conn net.Conn, r *bufio.Reader) {
		readRequest(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	}))
	c := w.dialTLS(host)
	c.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	if got := c.receive("GET"); got.err == nil || errors.Is(got.err, io.EOF) {
		t.Fatalf("got %q, error %v", got.body, got.err)
	}
}

func TestConnectionEndsInTheOrderOfTLS(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	c := w.dialTLS(host)
	c.send("GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
	if got := c.receive("GET"); got.body != "ok" {
		t.Fatalf("got %q", got.body)
	}
	c.atEnd() // io.EOF comes with close_notify only; crypto/tls calls anything else unexpected.
}

func TestClientThatClosesItsTLSConnectionIsLetGo(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	c := w.dialTLS(host)
	c.get("/")
	c.tls.CloseWrite()
	c.atEnd()
}

func TestClientThatLeavesOverTLSCancelsUpstream(t *testing.T) {
	for name, leave := range map[string]func(c *tlsClient){
		"in the order of TLS": func(c *tlsClient) { c.Conn.Close() },
		"at once":             func(c *tlsClient) { c.tcp.Close() },
		"by a reset": func(c *tlsClient) {
			c.tcp.(*net.TCPConn).SetLinger(0)
			c.tcp.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSecureWorld(t)
			got, cancelled := make(chan struct{}), make(chan struct{})
			w.https(backend(t, func(conn net.Conn, r *bufio.Reader) {
				readRequest(r)
				close(got)
				if _, err := r.ReadByte(); err != nil && !isTimeout(err) {
					close(cancelled)
				}
			}))
			c := w.dialTLS(host)
			c.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			<-got
			leave(c)
			trellistest.Receive(t, cancelled, "the target's connection has ended")
		})
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func TestUpgradedConnectionPassesOverTLS(t *testing.T) {
	w := newSecureWorld(t)
	w.https(backend(t, func(conn net.Conn, r *bufio.Reader) {
		readRequest(r)
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(conn, r)
	}))
	c := w.dialTLS(host)
	c.send("GET / HTTP/1.1\r\nHost: %s\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", host)
	if got := c.receive("GET"); got.StatusCode != 101 {
		t.Fatalf("got %d", got.StatusCode)
	}
	for range 3 {
		c.send("hello")
		b := make([]byte, 5)
		if _, err := io.ReadFull(c.Reader, b); err != nil || string(b) != "hello" {
			t.Fatalf("got %q, error %v", b, err)
		}
	}
}

func TestWithoutCertificatesNobodyIsServedOverHTTPS(t *testing.T) {
	w := newSecureWorld(t, func(cfg *Config) { cfg.Certificate = nil })
	w.https()
	if _, err := w.tls(w.client(host)); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Fatalf("error %v", err)
	}
}

func TestDrainEndsIdleTLSConnections(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	fresh, used := w.dialTLS(host), w.dialTLS(host)
	used.get("/")
	go w.proxy.Shutdown(t.Context())
	fresh.atEnd()
	used.atEnd()
}

func TestTLSHandshakeThatIsTooOldIsRefused(t *testing.T) {
	w := newSecureWorld(t)
	w.https()
	cfg := w.client(host)
	cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := w.tls(cfg); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Fatalf("error %v", err)
	}
}

func TestCipherSuitesHaveTheNamesOfOpenSSL(t *testing.T) {
	for _, suite := range newWorld(t).proxy.tls.CipherSuites {
		if name := accesslog.CipherName(suite); strings.HasPrefix(name, "TLS_") {
			t.Errorf("%s has no name", name)
		}
	}
	if got := accesslog.CipherName(tls.TLS_AES_128_GCM_SHA256); got != "TLS_AES_128_GCM_SHA256" {
		t.Errorf("got %q", got)
	}
}
