package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// userAgent is how checks introduce themselves.
const userAgent = "Trellis-HealthChecker/1.0"

const (
	// maxHeaderBytes is how large the header of an answer may be, informational answers before it included.
	maxHeaderBytes = 64 << 10
	// maxBodyBytes is how much of a body is read at most; readers of a report see the first maxExcerptBytes of it.
	maxBodyBytes    = 4 << 10
	maxExcerptBytes = 256
)

// httpProber probes over HTTP/1.1 and HTTP/2, each time on a connection of its own.
type httpProber struct {
	dialer net.Dialer
	tls    *tls.Config // for HTTP/1.1.
	http2  *http.Transport
}

func newHTTPProber() *httpProber {
	dialer := net.Dialer{KeepAlive: -1}
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &httpProber{
		dialer: dialer,
		// UG target-groups: the certificates of targets are not validated.
		tls: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}},
		http2: &http.Transport{
			Protocols:              &protocols,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
			DisableCompression:     true, // Do not ask for a compression that nobody will undo.
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
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
	if probe.HTTP2 {
		return p.askHTTP2(request)
	}
	return p.askHTTP1(request)
}

// askHTTP1 does without http.Transport, which logs what a target says that speaks first, as many protocols other than
// HTTP do, and starts two goroutines for each connection.
func (p *httpProber) askHTTP1(request *http.Request) (Answer, error) {
	ctx := request.Context()
	conn, err := p.dialer.DialContext(ctx, "tcp", request.URL.Host)
	if err != nil {
		return Answer{}, failure(ctx, "connecting", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) // wakes reads and writes.
	defer stop()

	stream := conn
	if request.URL.Scheme == "https" {
		secure := tls.Client(conn, p.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return Answer{}, failure(ctx, "connecting", err)
		}
		stream = secure
	}
	if err := request.Write(stream); err != nil {
		return Answer{}, failure(ctx, "sending the request", err)
	}
	limited := &io.LimitedReader{R: stream, N: maxHeaderBytes}
	response, err := readFinalResponse(bufio.NewReader(limited), request)
	if limited.N == 0 {
		return Answer{}, fmt.Errorf("waiting for the answer: its header exceeds %d bytes", maxHeaderBytes)
	}
	if err != nil {
		return Answer{}, failure(ctx, "waiting for the answer", err)
	}
	// The body is not closed: that would wait for its end. There is nothing to free but the connection.
	limited.N = maxBodyBytes
	return readAnswer(ctx, response)
}

// readFinalResponse leaves informational responses out. There is no limit to them but that of the header's size.
func readFinalResponse(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(r, request)
		if err != nil || response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
}

func (p *httpProber) askHTTP2(request *http.Request) (Answer, error) {
	ctx := request.Context()
	conn, err := p.http2.NewClientConn(ctx, request.URL.Scheme, request.URL.Host)
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
	if response.ProtoMajor != 2 {
		return Answer{}, fmt.Errorf("the target speaks %s, not HTTP/2", response.Proto)
	}
	return readAnswer(ctx, response)
}

// readAnswer reads the first piece of the body: most bodies come in one with the head, and reading them spares the
// target a reset connection.
func readAnswer(ctx context.Context, response *http.Response) (Answer, error) {
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
