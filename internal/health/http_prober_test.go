package health

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"trellis/internal/outbound"
	"trellis/test/trellistest"
)

// within is more time than any response takes.
const within = 30 * time.Second

// serveRaw serves connections with a function, and returns the address.
func serveRaw(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	return trellistest.ServeTCP(t, func(conn *net.TCPConn) { serve(conn) }).AddrPort()
}

// answerRaw reads a request's head and sends a response byte for byte.
func answerRaw(t *testing.T, answer string) netip.AddrPort {
	t.Helper()
	return serveRaw(t, func(conn net.Conn) {
		io.ReadAtLeast(conn, make([]byte, 4096), 1)
		io.WriteString(conn, answer)
	})
}

// serveHTTP starts a server that speaks exactly the given protocols.
func serveHTTP(t *testing.T, enable func(*http.Protocols), useTLS bool, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.Protocols = new(http.Protocols)
	enable(server.Config.Protocols)
	if useTLS {
		server.EnableHTTP2 = server.Config.Protocols.HTTP2()
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

func addressOf(server *httptest.Server) netip.AddrPort {
	return server.Listener.Addr().(*net.TCPAddr).AddrPort()
}

func ask(t *testing.T, probe Probe) (Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	answer, err := newHTTPProber(outbound.New(outbound.Config{})).Probe(ctx, probe)
	if ctx.Err() != nil {
		t.Error("the probe waited for something that never comes")
	}
	return answer, err
}

// asker asks a target once.
type asker func(*testing.T, Probe) (Answer, error)

// inEachWay runs a test with checks on goroutines, and with polled checks where the system has them.
func inEachWay(t *testing.T, test func(t *testing.T, ask asker)) {
	t.Run("on a goroutine", func(t *testing.T) { test(t, ask) })
	t.Run("polled", func(t *testing.T) { test(t, askPolled) })
}

func speakHTTP1(p *http.Protocols) { p.SetHTTP1(true) }
func speakHTTP2(p *http.Protocols) { p.SetHTTP2(true) }
func speakH2C(p *http.Protocols)   { p.SetUnencryptedHTTP2(true) }

func TestProbeSpeaksEveryProtocol(t *testing.T) {
	inEachWay(t, func(t *testing.T, ask asker) {
		for _, test := range []struct {
			name         string
			enable       func(*http.Protocols)
			https, http2 bool
			proto        string
		}{
			{"HTTP/1.1", speakHTTP1, false, false, "HTTP/1.1"},
			{"HTTP/1.1 over TLS with an unknown certificate", speakHTTP1, true, false, "HTTP/1.1"},
			{"HTTP/2 with prior knowledge", speakH2C, false, true, "HTTP/2.0"},
			{"HTTP/2 over TLS", speakHTTP2, true, true, "HTTP/2.0"},
		} {
			t.Run(test.name, func(t *testing.T) {
				var got *http.Request
				server := serveHTTP(t, test.enable, test.https, func(w http.ResponseWriter, r *http.Request) {
					got = r.Clone(context.Background())
					w.WriteHeader(http.StatusAccepted)
					io.WriteString(w, "fine")
				})
				answer, err := ask(t, Probe{Address: addressOf(server), HTTPS: test.https, HTTP2: test.http2, Path: "/health/%7Edeep?a=b&c"})
				if err != nil {
					t.Fatal(err)
				}
				server.Close() // waits for the handler.
				if answer != (Answer{StatusCode: 202, Body: "fine"}) {
					t.Errorf("answer %+v", answer)
				}
				for _, check := range []struct{ what, got, want string }{
					{"method", got.Method, "GET"},
					{"target", got.RequestURI, "/health/%7Edeep?a=b&c"},
					{"protocol", got.Proto, test.proto},
					{"Host", got.Host, addressOf(server).String()},
					{"User-Agent", got.Header.Get("User-Agent"), "Trellis-HealthChecker/1.0"},
					{"Accept-Encoding", got.Header.Get("Accept-Encoding"), ""},
				} {
					if check.got != check.want {
						t.Errorf("%s is %q, want %q", check.what, check.got, check.want)
					}
				}
				if !test.http2 && !got.Close {
					t.Error("no Connection: close")
				}
			})
		}
	})
}

func TestEveryProbeHasItsOwnConnectionAndClosesIt(t *testing.T) {
	for _, test := range []struct {
		name         string
		enable       func(*http.Protocols)
		https, http2 bool
	}{
		{"HTTP/1.1", speakHTTP1, false, false},
		{"HTTP/1.1 over TLS", speakHTTP1, true, false},
		{"HTTP/2", speakH2C, false, true},
		{"HTTP/2 over TLS", speakHTTP2, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			opened, closed := make(chan struct{}, 8), make(chan struct{}, 8)
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.Protocols = new(http.Protocols)
			test.enable(server.Config.Protocols)
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				switch state {
				case http.StateNew:
					opened <- struct{}{}
				case http.StateClosed:
					closed <- struct{}{}
				}
			}
			if server.EnableHTTP2 = test.http2; test.https {
				server.StartTLS()
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			prober := newHTTPProber(outbound.New(outbound.Config{}))
			for range 3 {
				answer, err := prober.Probe(t.Context(), Probe{Address: addressOf(server), HTTPS: test.https, HTTP2: test.http2, Path: "/"})
				if err != nil || answer.StatusCode != http.StatusNotFound {
					t.Fatalf("answer %+v, error %v", answer, err)
				}
				<-opened
				<-closed
			}
		})
	}
}

func TestProbeDoesNotFollowRedirects(t *testing.T) {
	inEachWay(t, func(t *testing.T, ask asker) {
		server := serveHTTP(t, speakHTTP1, false, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		})
		answer, err := ask(t, Probe{Address: addressOf(server), Path: "/"})
		if err != nil || answer.StatusCode != http.StatusFound {
			t.Errorf("answer %+v, error %v", answer, err)
		}
	})
}

func TestProbeFailsWithoutAnAnswer(t *testing.T) {
	inEachWay(t, func(t *testing.T, ask asker) {
		plain := serveHTTP(t, speakHTTP1, false, func(http.ResponseWriter, *http.Request) {})
		secure := serveHTTP(t, speakHTTP1, true, func(http.ResponseWriter, *http.Request) {})
		withoutALPN := httptest.NewUnstartedServer(http.NotFoundHandler())
		withoutALPN.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
		withoutALPN.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			config := withoutALPN.TLS.Clone()
			config.NextProtos, config.GetConfigForClient = nil, nil
			return config, nil
		}}
		withoutALPN.StartTLS()
		t.Cleanup(withoutALPN.Close)
		// The near end of a connection holds its port, so that nobody can listen there meanwhile.
		client, err := net.Dial("tcp", addressOf(plain).String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		refused := client.LocalAddr().(*net.TCPAddr).AddrPort()

		for _, test := range []struct {
			name  string
			probe Probe
			want  string // part of the error.
		}{
			{"refused", Probe{Address: refused}, "connection refused"},
			{"closed without a word", Probe{Address: answerRaw(t, "")}, "waiting for the answer"},
			{"garbage", Probe{Address: answerRaw(t, "\x00\x01\x02 no HTTP at all\r\n\r\n")}, "malformed status line"},
			{"another protocol's greeting", Probe{Address: serveRaw(t, func(conn net.Conn) {
				io.WriteString(conn, "SSH-2.0-OpenSSH_9.9\r\n")
				io.Copy(io.Discard, conn)
			})}, "malformed status line"},
			{"endless header", Probe{Address: serveRaw(t, func(conn net.Conn) {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
				for range 1 << 20 {
					if _, err := io.WriteString(conn, "x-more: and more\r\n"); err != nil {
						return
					}
				}
			})}, "too many headers"},
			{"body that breaks before it starts", Probe{Address: answerRaw(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")}, "waiting for the body"},
			{"TLS asked, plain spoken", Probe{Address: addressOf(plain), HTTPS: true}, "connecting"},
			{"plain asked, TLS spoken over HTTP/2", Probe{Address: addressOf(secure), HTTP2: true}, "waiting for the answer"},
			{"HTTP/2 asked, HTTP/1.1 spoken", Probe{Address: addressOf(plain), HTTP2: true}, "waiting for the answer"},
			{"HTTP/2 over TLS asked, HTTP/1.1 offered", Probe{Address: addressOf(secure), HTTPS: true, HTTP2: true}, "no application protocol"},
			{"HTTP/2 over TLS asked, nothing offered", Probe{Address: addressOf(withoutALPN), HTTPS: true, HTTP2: true}, "does not agree to HTTP/2"},
			{"malformed path", Probe{Address: addressOf(plain), Path: "/%zz"}, "invalid URL escape"},
		} {
			t.Run(test.name, func(t *testing.T) {
				if test.probe.Path == "" {
					test.probe.Path = "/"
				}
				answer, err := ask(t, test.probe)
				if err == nil {
					t.Fatalf("answer %+v, want an error with %q", answer, test.want)
				}
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %q does not say %q", err, test.want)
				}
				if _, isUnmade := errors.AsType[*UnmadeError](err); isUnmade {
					t.Errorf("%v counts as a check that was not made", err)
				}
			})
		}
	})
}

func TestProbeEndsAtItsTimeout(t *testing.T) {
	for _, test := range []struct {
		name, head string
		http2      bool
	}{
		{"before the answer", "", false},
		{"before the answer over HTTP/2", "", true},
		{"in the header", "HTTP/1.1 200 OK\r\nx-slow: ", false},
		{"before the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, outOfTime := context.WithCancelCause(t.Context())
			address := serveRaw(t, func(conn net.Conn) {
				io.ReadAtLeast(conn, make([]byte, 4096), 1)
				io.WriteString(conn, test.head)
				outOfTime(errors.New("out of time"))
				io.Copy(io.Discard, conn)
			})
			_, err := newHTTPProber(outbound.New(outbound.Config{})).Probe(ctx, Probe{Address: address, HTTP2: test.http2, Path: "/"})
			if err == nil || !strings.HasSuffix(err.Error(), ": out of time") {
				t.Errorf("error %v, want one that ends with out of time", err)
			}
		})
	}
}

func TestStatusCodeCountsOnceTheBodyHasStarted(t *testing.T) {
	inEachWay(t, func(t *testing.T, ask asker) {
		for _, test := range []struct {
			name, answer string
			want         Answer
		}{
			{"no body", "HTTP/1.1 204 No Content\r\n\r\n", Answer{204, ""}},
			{"body that breaks off", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Answer{200, "half"}},
			{"endless stream", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n", Answer{200, "event"}},
			{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nold", Answer{200, "old"}},
			{"informational answer first", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Answer{200, ""}},
			{"switch that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: odd\r\n\r\n", Answer{101, ""}},
			{"binary body", "HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\na\xff\xfe", Answer{500, "a\uFFFD"}},
			{"long body", "HTTP/1.1 500 No\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 9000), Answer{500, strings.Repeat("x", 256)}},
		} {
			t.Run(test.name, func(t *testing.T) {
				// The connection stays open as long as the prober wants, unless the body must break off.
				address := serveRaw(t, func(conn net.Conn) {
					io.ReadAtLeast(conn, make([]byte, 4096), 1)
					io.WriteString(conn, test.answer)
					if test.want.Body != "half" {
						io.Copy(io.Discard, conn)
					}
				})
				answer, err := ask(t, Probe{Address: address, Path: "/"})
				if err != nil || answer != test.want {
					t.Errorf("answer %+v, error %v, want %+v", answer, err, test.want)
				}
			})
		}
	})
}

func TestLackOfFileDescriptorsIsNotTheTargetsFault(t *testing.T) {
	for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		dialling := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", err)}
		for way, got := range map[string]error{
			"on a goroutine": failure(t.Context(), connecting, dialling),
			"polled":         failed(connecting, dialling).err,
		} {
			if _, isUnmade := errors.AsType[*UnmadeError](got); !isUnmade {
				t.Errorf("%s: %v counts against the target", way, got)
			}
		}
	}
}
