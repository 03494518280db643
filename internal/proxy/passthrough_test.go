package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"trellis/internal/accesslog"
	"trellis/test/trellistest"
)

// A client may send more than its ClientHello before anybody answers; none of it may be lost or reordered.
func TestPassthroughKeepsEarlyBytes(t *testing.T) {
	hello := recordHello(t, &tls.Config{ServerName: customHost})
	for name, early := range map[string]int{"nothing more": 0, "one byte": 1, "a few": 500, "more than a buffer": 200_000} {
		t.Run(name, func(t *testing.T) {
			w := newSecureWorld(t)
			got := make(chan []byte, 1)
			w.passthrough(backend(t, func(conn net.Conn, r *bufio.Reader) {
				b, _ := io.ReadAll(r)
				got <- b
			}))
			sent := bytes.Clone(hello)
			for range early {
				sent = append(sent, byte(rand.Uint32()))
			}
			c := w.dialPort(443)
			go func() {
				c.Conn.Write(sent)
				c.Conn.(*net.TCPConn).CloseWrite()
			}()
			if b := trellistest.Receive(t, got, "the target has got the bytes"); !bytes.Equal(b, sent) {
				t.Fatalf("the target got %d bytes, want %d", len(b), len(sent))
			}
		})
	}
}

func TestPassthroughSpeaksTheTargetsTLS(t *testing.T) {
	w := newSecureWorld(t)
	site := w.site(customHost)
	site.NextProtos = []string{"something/else"}
	w.passthrough(secureBackend(t, site, echoTLS))
	for name, below := range map[string]func(net.Conn) net.Conn{
		"at once":             func(c net.Conn) net.Conn { return c },
		"one byte at a time":  func(c net.Conn) net.Conn { return slowly{c} },
		"records of one byte": func(c net.Conn) net.Conn { return &fragmenting{Conn: c} },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.client(strings.ToUpper(customHost))
			cfg.NextProtos = site.NextProtos
			c, err := w.tls(cfg, below)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.tls.ConnectionState(); got.NegotiatedProtocol != "something/else" || !got.PeerCertificates[0].Equal(site.Certificates[0].Leaf) {
				t.Fatalf("the handshake was made with somebody else: %+v", got)
			}
			c.send("hello")
			c.tls.CloseWrite()
			if got, err := io.ReadAll(c.Reader); err != nil || string(got) != "hello" {
				t.Fatalf("got %q, error %v", got, err)
			}
		})
	}
}

func TestPassthroughCarriesHalfCloses(t *testing.T) {
	hello := recordHello(t, &tls.Config{ServerName: customHost})
	t.Run("by the client", func(t *testing.T) {
		w := newSecureWorld(t)
		w.passthrough(backend(t, func(conn net.Conn, r *bufio.Reader) {
			n, _ := io.Copy(io.Discard, r) // Answers only when the client has ended.
			conn.Write([]byte{byte(n >> 8), byte(n)})
		}))
		c := w.dialPort(443)
		c.send("%s", hello)
		c.Conn.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(c.Conn)
		if err != nil || len(got) != 2 || int(got[0])<<8|int(got[1]) != len(hello) {
			t.Fatalf("got %v, error %v", got, err)
		}
	})
	t.Run("by the target", func(t *testing.T) {
		w := newSecureWorld(t)
		got := make(chan []byte, 1)
		w.passthrough(backend(t, func(conn net.Conn, r *bufio.Reader) {
			io.WriteString(conn, "bye")
			conn.(*net.TCPConn).CloseWrite()
			b, _ := io.ReadAll(r)
			got <- b[len(hello):]
		}))
		c := w.dialPort(443)
		c.send("%s", hello)
		if b, err := io.ReadAll(c.Conn); err != nil || string(b) != "bye" {
			t.Fatalf("got %q, error %v", b, err)
		}
		c.send("still there")
		c.Conn.(*net.TCPConn).CloseWrite()
		if b := <-got; string(b) != "still there" {
			t.Fatalf("the target got %q", b)
		}
	})
}

func TestPassthroughCarriesLargeBodiesBothWays(t *testing.T) {
	w := newSecureWorld(t)
	w.passthrough(secureBackend(t, w.site(customHost), echoTLS))
	c := w.dialTLS(customHost)
	body := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{}).Read(body)
	go func() {
		c.tls.Write(body)
		c.tls.CloseWrite()
	}()
	if got, err := io.ReadAll(c.Reader); err != nil || !bytes.Equal(got, body) {
		t.Fatalf("got %d bytes, error %v; want %d", len(got), err, len(body))
	}
	c.Conn.Close()
	r := w.accessLog(1)[0]
	if r.Protocol != "TLS" || r.TLS == nil || r.TLS.ServerName != customHost || r.TLS.Version != "" || r.Failure != "" ||
		r.Received < int64(len(body)) || r.Sent < int64(len(body)) || !r.Target.IsKnown() || r.Service == nil || r.Forward == nil || !r.Source.IsValid() {
		t.Fatalf("the access log has %+v", r)
	}
}

func TestPassthroughNeedsTheCustomDomainExactly(t *testing.T) {
	w := newSecureWorld(t)
	w.passthrough(secureBackend(t, w.site(customHost), echoTLS))
	for name, want := range map[string]string{
		host:                 "unrecognized name", // The generated name.
		"www." + customHost:  "unrecognized name",
		"example.test":       "unrecognized name",
		"":                   "missing extension",
		"x" + customHost[1:]: "unrecognized name",
	} {
		cfg := w.client(name)
		cfg.InsecureSkipVerify = true
		if _, err := w.tls(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("name %q: error %v, want %q", name, err, want)
		}
	}
}

func TestPassthroughTriesAnotherTargetOnce(t *testing.T) {
	w := newSecureWorld(t)
	w.passthrough(refusing(t), secureBackend(t, w.site(customHost), echoTLS))
	for range 4 {
		c := w.dialTLS(customHost)
		c.send("hello")
		b := make([]byte, 5)
		if _, err := io.ReadFull(c.Reader, b); err != nil || string(b) != "hello" {
			t.Fatalf("got %q, error %v", b, err)
		}
		c.Conn.Close()
	}
}

func TestPassthroughWithoutTargetEndsInAnAlert(t *testing.T) {
	for name, targets := range map[string][]string{"none": nil, "all refuse": {refusing(t), refusing(t), refusing(t)}} {
		t.Run(name, func(t *testing.T) {
			w := newSecureWorld(t)
			w.passthrough(targets...)
			if _, err := w.tls(w.client(customHost)); err == nil || !strings.Contains(err.Error(), "internal error") {
				t.Fatalf("error %v", err)
			}
			if r := w.accessLog(1)[0]; r.Failure != accesslog.TargetConnectionError || r.Service == nil {
				t.Fatalf("the access log has %+v", r)
			}
		})
	}
}

func TestPassthroughEndsWhenItIsIdle(t *testing.T) {
	t.Parallel()
	w := newSecureWorld(t)
	w.passthrough(secureBackend(t, w.site(customHost), echoTLS))
	w.setIdleTimeout(6)
	c := w.dialTLS(customHost)
	for range 70 { // It is not idle while bytes move.
		c.send("hello")
		if _, err := io.ReadFull(c.Reader, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // Sleeps: a client's pace.
	}
	expectEnd(t, c)
	if r := w.accessLog(1)[0]; r.Failure != "" {
		t.Fatalf("the access log has %+v", r)
	}
}

func TestPassthroughEndsAfterItsLife(t *testing.T) {
	t.Parallel()
	w := newSecureWorld(t, func(cfg *Config) { cfg.ConnectionDuration = 6 * time.Second })
	w.passthrough(secureBackend(t, w.site(customHost), echoTLS))
	c := w.dialTLS(customHost)
	for {
		if _, err := c.tls.Write([]byte("x")); err != nil {
			break
		}
		if _, err := c.Reader.ReadByte(); err != nil {
			break
		}
		time.Sleep(10 * time.Millisecond) // Sleeps: a client's pace.
	}
	if r := w.accessLog(1)[0]; r.Failure != accesslog.ConnectionDurationExceeded {
		t.Fatalf("the access log has %+v", r)
	}
}

func TestPassthroughBreaksBothSides(t *testing.T) {
	hello := recordHello(t, &tls.Config{ServerName: customHost})
	t.Run("when the target breaks", func(t *testing.T) {
		w := newSecureWorld(t)
		w.passthrough(backend(t, func(conn net.Conn, r *bufio.Reader) {
			io.ReadFull(r, make([]byte, len(hello)))
			conn.(*net.TCPConn).SetLinger(0)
		}))
		c := w.dialPort(443)
		c.send("%s", hello)
		if _, err := io.ReadAll(c.Conn); !isReset(err) {
			t.Fatalf("error %v, want a reset", err)
		}
		if r := w.accessLog(1)[0]; r.Failure != accesslog.TargetConnectionClosed {
			t.Fatalf("the access log has %+v", r)
		}
	})
	t.Run("when the client breaks", func(t *testing.T) {
		w := newSecureWorld(t)
		connected, broken := make(chan struct{}), make(chan error, 1)
		w.passthrough(backend(t, func(conn net.Conn, r *bufio.Reader) {
			io.ReadFull(r, make([]byte, len(hello)))
			close(connected)
			_, err := io.ReadAll(r)
			broken <- err
		}))
		c := w.dialPort(443)
		c.send("%s", hello)
		<-connected
		c.Conn.(*net.TCPConn).SetLinger(0)
		c.Conn.Close()
		if err := <-broken; !isReset(err) {
			t.Fatalf("error %v, want a reset", err)
		}
		if r := w.accessLog(1)[0]; r.Failure != accesslog.ClientConnectionClosed {
			t.Fatalf("the access log has %+v", r)
		}
	})
}

func TestPassthroughIsBrokenOffAtTheEndOfADrain(t *testing.T) {
	w := newSecureWorld(t)
	w.passthrough(secureBackend(t, w.site(customHost), echoTLS))
	c := w.dialTLS(customHost)
	c.send("x")
	if _, err := c.Reader.ReadByte(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.proxy.Shutdown(ctx); err == nil {
		t.Fatal("nothing was broken off")
	}
	expectEnd(t, c)
}
