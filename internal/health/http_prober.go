package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"trellis/internal/outbound"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/proxy/wire/http2"
)

// userAgent is how checks identify themselves.
const userAgent = "Trellis-HealthChecker/1.0"

// maxExcerptBytes is how much of a body a report shows.
const maxExcerptBytes = 256

// The phases of a probe, as its error names them.
const (
	connecting = "connecting"
	sending    = "sending the request"
	awaiting   = "waiting for the answer"
	reading    = "waiting for the body"
)

// httpProber probes over HTTP/1.1 and HTTP/2, each time on a new connection. It uses the parsers of traffic: a target whose
// responses no request could use must not pass.
type httpProber struct {
	dialer   *outbound.Dialer
	tls      *tls.Config // for HTTP/1.1
	http2TLS *tls.Config
	http2    *http2.Endpoint
	answers  sync.Pool // of *http1Answer
}

func newHTTPProber(dialer *outbound.Dialer) *httpProber {
	began := time.Now()
	return &httpProber{
		dialer:   dialer,
		tls:      outbound.TLSConfig("http/1.1"),
		http2TLS: outbound.TLSConfig("h2"),
		http2: http2.NewEndpoint(http2.Config{
			Now:          func() int64 { return time.Since(began).Milliseconds() },
			MaxStreams:   1,
			TargetWindow: 16 << 10,
			MaxHeadBytes: http1.MaxHeadBytes,
		}),
		answers: sync.Pool{New: func() any { return newHTTP1Answer() }},
	}
}

// Probe asks with GET, a Host header that is the address, and Connection: close. Redirects are responses like any
// other. The response's head and the first bytes of its body must arrive before ctx is done. The prober does not wait
// for the rest of the body, which does not change the result.
func (p *httpProber) Probe(ctx context.Context, probe Probe) (Answer, error) {
	parsed, err := url.Parse(probe.URL())
	if err != nil {
		return Answer{}, fmt.Errorf("making the request: %w", err)
	}
	conn, err := p.connect(ctx, probe)
	if err != nil {
		return Answer{}, failure(ctx, connecting, err)
	}
	defer conn.Close()
	if probe.HTTP2 {
		return p.askHTTP2(ctx, conn, probe, parsed.RequestURI())
	}
	return p.askHTTP1(ctx, conn, probe, parsed.RequestURI())
}

// connect returns a new connection to the target, with TLS if the probe uses it.
func (p *httpProber) connect(ctx context.Context, probe Probe) (net.Conn, error) {
	conn, err := p.dialer.Connect(ctx, probe.Address)
	if err != nil {
		return nil, err
	}
	if !probe.HTTPS {
		return conn, nil
	}
	config := p.tls
	if probe.HTTP2 {
		config = p.http2TLS
	}
	secured, err := outbound.Secure(ctx, conn, config)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

func (p *httpProber) askHTTP1(ctx context.Context, conn net.Conn, probe Probe, target string) (Answer, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) // The deadline wakes reads and writes.
	defer stop()
	if _, err := conn.Write(appendRequest(nil, target, probe.Address)); err != nil {
		return Answer{}, failure(ctx, sending, err)
	}
	reader := p.answers.Get().(*http1Answer)
	defer func() {
		reader.rest()
		p.answers.Put(reader)
	}()
	answer, phase, err := reader.read(conn)
	if err != nil {
		return Answer{}, failure(ctx, phase, err)
	}
	return answer, nil
}

// appendRequest appends the request of a check.
func appendRequest(to []byte, target string, address netip.AddrPort) []byte {
	to = append(append(append(to, "GET "...), target...), " HTTP/1.1\r\nHost: "...)
	return append(address.AppendTo(to), "\r\nUser-Agent: "+userAgent+"\r\nConnection: close\r\n\r\n"...)
}

// askHTTP2 is askHTTP1 for HTTP/2.
func (p *httpProber) askHTTP2(ctx context.Context, conn net.Conn, probe Probe, target string) (Answer, error) {
	block := http2.AppendRequest(nil, []byte("GET"), probe.HTTPS, []byte(probe.Address.String()), []byte(target), nil)
	block = http2.AppendField(block, []byte("user-agent"), []byte(userAgent))
	var answer Answer
	phase := awaiting
	err := p.http2.Ask(ctx, conn, block, func(stream *http2.Stream) (err error) {
		answer, phase, err = readHTTP2(stream)
		return err
	})
	if err != nil {
		return Answer{}, failure(ctx, phase, err)
	}
	return answer, nil
}

// readHTTP2 reads the final response and the first piece of its body. With an error it returns the phase that failed.
func readHTTP2(stream *http2.Stream) (answer Answer, phase string, err error) {
	var response http1.Response
	ended := false
	for interim := 0; ; interim++ {
		var head []byte
		if head, ended, err = stream.Head(); err != nil {
			return Answer{}, awaiting, err
		}
		response.Reset()
		n, err := response.Parse(head)
		if err == nil && n != len(head) {
			err = http1.BadLineEnd
		}
		if err == nil && response.Status < 200 && interim == http1.MaxInterim {
			err = http1.UnexpectedStatus
		}
		if err != nil {
			return Answer{}, awaiting, err
		}
		if response.Status >= 200 {
			break
		}
	}
	var body []byte
	if !ended {
		body = make([]byte, maxExcerptBytes)
		n, err := stream.Read(body)
		if n == 0 && err != nil && err != io.EOF {
			return Answer{}, reading, err
		}
		body = body[:n]
	}
	return Answer{StatusCode: response.Status, Body: excerpt(body)}, "", nil
}

// excerpt returns the beginning of a body, for people to read.
func excerpt(body []byte) string {
	return strings.ToValidUTF8(string(body[:min(len(body), maxExcerptBytes)]), "\uFFFD")
}

// isLocal reports whether an error is due to a shortage on this machine.
func isLocal(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// failed returns the outcome of a check that got no response because of an error during a phase.
func failed(phase string, err error) outcome {
	if isLocal(err) {
		return outcome{err: &UnmadeError{err}}
	}
	return outcome{phase: phase, err: err}
}

// failure says why there is no response, and during which phase.
func failure(ctx context.Context, phase string, err error) error {
	if isLocal(err) {
		return &UnmadeError{err}
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%s: %w", phase, cause)
	}
	return fmt.Errorf("%s: %w", phase, err)
}
