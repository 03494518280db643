package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/internal/certificate"
	"trellis/internal/configuration"
	"trellis/internal/summary"
	"trellis/test/trellistest"
)

// ownTLS returns the TLS of a port with a local authority and further names, and the roots of clients that trust the authority.
func ownTLS(t *testing.T, names ...string) (ours *tls.Config, roots *x509.CertPool) {
	t.Helper()
	authority, err := certificate.OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{cfg: Config{Configuration: configuration.Configuration{Common: configuration.Common{AllowedHosts: names}}}}
	s.certificates = certificate.NewStore(certificate.Config{Authority: authority})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM())
	return s.portTLS(), roots
}

// openSecurePort serves a handler on an httpPort that speaks TLS for further names.
func openSecurePort(t *testing.T, handler http.HandlerFunc, names ...string) (d *httpPort, plain string, roots *x509.CertPool) {
	t.Helper()
	ours, roots := ownTLS(t, names...)
	d, plain = openPort(t, httpPortConfig{Handler: handler, TLS: ours, Log: slog.New(slog.DiscardHandler)})
	return d, plain, roots
}

// trusting returns a client that trusts an authority and has connections of its own.
func trusting(t *testing.T, roots *x509.CertPool) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// tellsTLS responds with the version of HTTP that a request came in, and whether it came over TLS.
func tellsTLS(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, r.Proto, " ", r.TLS != nil)
}

func TestPortSpeaksHTTPSToClientsThatBeginWithAHandshake(t *testing.T) {
	d, plain, roots := openSecurePort(t, tellsTLS)
	client := trusting(t, roots)
	for range 2 { // On one connection each.
		if got := <-ask(t, client, plain); got != "HTTP/1.1 false" {
			t.Errorf("over HTTP, the port answers %q, want HTTP/1.1 false", got)
		}
		if got := <-ask(t, client, strings.Replace(plain, "http:", "https:", 1)); got != "HTTP/1.1 true" {
			t.Errorf("over HTTPS, the port answers %q, want HTTP/1.1 true", got)
		}
	}
	if got := d.usage(); got.Open != 2 {
		t.Errorf("usage %+v", got)
	}
}

//
func TestPortHasACertificateForEachNameOfItsOwn(t *testing.T) {
	d, _, roots := openSecurePort(t, tellsTLS, "trellis", ".lan.example")
	for name, want := range map[string]string{
		"":                    "", // An address, which is in no ClientHello.
		"localhost":           "",
		"api.localhost":       "",
		"trellis":             "",
		"a.lan.example":       "",
		"lan.example":         "unrecognized name",
		"example.com":         "unrecognized name",
		"trellis.example.com": "unrecognized name",
	} {
		config := &tls.Config{RootCAs: roots, ServerName: name}
		if name == "" {
			config.ServerName = "127.0.0.1"
		}
		conn, err := tls.Dial("tcp", d.Addr().String(), config)
		if err == nil {
			conn.Close()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", name, err, want)
		}
	}
}

// TestUnfinishedHandshakesMakeRoom sends the beginning of a handshake, as TestUnfinishedHeadsMakeRoomAtTheAPI that of a head.
func TestUnfinishedHandshakesMakeRoom(t *testing.T) {
	d, url, _ := openSecurePort(t, says("here"))
	checkMakeRoom(t, d, url, "\x16\x03\x01\x02\x00\x01")
}

// TestHandshakeHasTheTimeOfTheFirstHead ends that time during the handshake. The HTTP server sets the deadline before it reads.
func TestHandshakeHasTheTimeOfTheFirstHead(t *testing.T) {
	ours, _ := ownTLS(t)
	for name, sent := range map[string][]byte{"silence": nil, "a part": {handshakeRecord, 3, 1, 2, 0, 1}} {
		t.Run(name, func(t *testing.T) {
			server, client := net.Pipe()
			defer client.Close()
			failed := summary.New(summary.Config{Log: slog.New(slog.DiscardHandler)})
			defer failed.Close()
			conn := &portConnection{Conn: server, config: ours, failed: failed}
			ended := make(chan error, 1)
			go func() {
				_, err := conn.Read(make([]byte, 4096))
				ended <- err
			}()
			if sent != nil {
				if _, err := client.Write(sent); err != nil {
					t.Fatal(err)
				}
			}
			if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err == nil {
				t.Error("reading goes on after its time")
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if _, err := client.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the client reads %v, want the end", err)
			}
		})
	}
}

func TestFailedHandshakesAreLoggedAndLeaveNothing(t *testing.T) {
	log := &trellistest.Text{}
	ours, _ := ownTLS(t)
	d, _ := openPort(t, httpPortConfig{Handler: says("here"), TLS: ours, Log: slog.New(slog.NewTextHandler(log, nil))})
	if _, err := tls.Dial("tcp", d.Addr().String(), &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}); err == nil {
		t.Error("a client that trusts nobody connects")
	}
	conn := silence(t, d)
	if _, err := conn.Write([]byte{handshakeRecord, 'n', 'o', ' ', 't', 'l', 's'}); err != nil {
		t.Fatal(err)
	}
	trellistest.Await(t, func() bool { return d.broken.Total() == 2 }, "both handshakes have failed")
	if err := d.empty(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "source=127.0.0.1:") {
		t.Errorf("log:\n%s", log)
	}
}

func TestSuccessorKnowsThatAPassedCallCameOverTLS(t *testing.T) {
	first, plain, roots := openSecurePort(t, tellsTLS)
	second, _ := openHTTPPort(t, tellsTLS)
	first.forwardTo(second.Addr().String())
	for url, want := range map[string]string{plain: "HTTP/1.1 false, and the end", strings.Replace(plain, "http:", "https:", 1): "HTTP/1.1 true, and the end"} {
		if got := <-ask(t, trusting(t, roots), url); got != want {
			t.Errorf("%s answers %q, want %q", url, got, want)
		}
	}
	// Nobody else can say so.
	request, err := http.NewRequest("GET", "http://"+second.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set(sourceHeader, "guessed 127.0.0.1:1"+byTLS)
	response, err := trusting(t, roots).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); string(body) != "HTTP/1.1 false" {
		t.Errorf("a client that says so gets %q, %v", body, err)
	}
}

// TestPoliciesSeeThatACallCameOverTLS lets a principal list services over TLS alone.
func TestPoliciesSeeThatACallCameOverTLS(t *testing.T) {
	credentials := t.TempDir() + "/credentials"
	err := os.WriteFile(credentials, []byte(`[careful]
aws_access_key_id = AKIDCAREFULCAREFULCA
aws_secret_access_key = any
trellis_account = 111122223333
trellis_policy = {"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	node := start(t, "serve", "--data-dir", t.TempDir(), "--credentials", credentials)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(node.server.authority.PEM())
	for scheme, allowed := range map[string]bool{"http": false, "https": true} {
		url := scheme + strings.TrimPrefix(node.url, "http")
		client := node.client(profile(t, credentials, "careful"))
		_, err := client.ListServices(context.Background(), &vpclattice.ListServicesInput{}, func(o *vpclattice.Options) {
			o.BaseEndpoint, o.HTTPClient = &url, trusting(t, roots)
		})
		if (err == nil) != allowed {
			t.Errorf("over %s: %v, want it allowed: %t", scheme, err, allowed)
		}
	}
}

// TestWebPagesAreKeptOutOverTLSToo asks for a host that the gate does not admit, on a connection for one that it does.
func TestWebPagesAreKeptOutOverTLSToo(t *testing.T) {
	node := start(t, "dev")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(node.server.authority.PEM())
	for _, port := range []string{node.url, node.admin()} {
		for host, want := range map[string]int{"": 200, "evil.example": 403} {
			request, err := http.NewRequest("GET", "https"+strings.TrimPrefix(port, "http")+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = host
			response, err := trusting(t, roots).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s for the host %q: %d, want %d", port, host, response.StatusCode, want)
			}
		}
	}
}
