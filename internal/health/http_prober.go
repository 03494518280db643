package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// userAgent is how checks introduce themselves.
const userAgent = "Trellis-HealthChecker/1.0"

const (
	// maxHeaderBytes is how large the header of an answer may be.
	maxHeaderBytes = 64 << 10
	// maxBodyBytes is how much of a body is read at most; readers of a report see the first maxExcerptBytes of it.
	maxBodyBytes    = 4 << 10
	maxExcerptBytes = 256
)

// httpProber probes over HTTP/1.1 and HTTP/2, each time on a connection of its own.
type httpProber struct{ http1, http2 *http.Transport }

func newHTTPProber() *httpProber {
	transport := func(enable func(*http.Protocols)) *http.Transport {
		var protocols http.Protocols
		enable(&protocols)
		return &http.Transport{
			Protocols:              &protocols,
			DisableCompression:     true, // Do not ask for a compression that nobody will undo.
			MaxResponseHeaderBytes: maxHeaderBytes,
			ReadBufferSize:         2 << 10,
			WriteBufferSize:        2 << 10,
			DialContext:            (&net.Dialer{KeepAlive: -1}).DialContext,
			// UG target-groups: the certificates of targets are not validated.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		}
	}
	return &httpProber{
		http1: transport(func(p *http.Protocols) { p.SetHTTP1(true) }),
		http2: transport(func(p *http.Protocols) { p.SetHTTP2(true); p.SetUnencryptedHTTP2(true) }),
	}
}

// Probe asks with GET, a Host header that is the address, and Connection: close. Redirects are answers like
// any other. The answer's head and the first bytes of its body must arrive before ctx is done; nobody waits
// for the rest of the body, which does not change the verdict.
func (p *httpProber) Probe(ctx context.Context, probe Probe) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, probe.URL(), nil)
	if err != nil {
		return Answer{}, fmt.Errorf("making the request: %w", err)
	}
	request.Header.Set("User-Agent", userAgent)
	request.Close = true

	transport := p.http1
	if probe.HTTP2 {
		transport = p.http2
	}
	conn, err := transport.NewClientConn(ctx, request.URL.Scheme, probe.Address.String())
	if err != nil {
		return Answer{}, failure(ctx, "connecting", err)
	}
	defer conn.Close()
	response, err := conn.RoundTrip(request)
	if err != nil {
		return Answer{}, failure(ctx, "waiting for the answer", err)
	}
	defer response.Body.Close()
	// Without ALPN net/http falls back to HTTP/1.1, but requests would be sent over HTTP/2.
	if probe.HTTP2 && response.ProtoMajor != 2 {
		return Answer{}, fmt.Errorf("the target speaks %s, not HTTP/2", response.Proto)
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		// What follows is no body, and ctx does not end the wait for it.
		return Answer{StatusCode: response.StatusCode}, nil
	}

	// One Read: most bodies come in one piece with the head, and reading them spares the target a reset connection.
	body := make([]byte, maxBodyBytes)
	n, err := response.Body.Read(body)
	if n == 0 && err != nil && !errors.Is(err, io.EOF) {
		return Answer{}, failure(ctx, "waiting for the body", err)
	}
	excerpt := strings.ToValidUTF8(string(body[:min(n, maxExcerptBytes)]), "\uFFFD")
	return Answer{StatusCode: response.StatusCode, Body: excerpt}, nil
}

// failure says why there is no answer, and during which phase.
func failure(ctx context.Context, phase string, err error) error {
	for _, local := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, local) {
			return &UnmadeError{err}
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: %w", phase, cause)
	}
	return fmt.Errorf("%s: %w", phase, err)
}
