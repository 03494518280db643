package server

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"trellis/internal/summary"
)

// httpPort is a port of this node with an HTTP server: the API's or the admin port. It speaks HTTPS too, with clients that begin
// with a TLS handshake. It can be paused, so that connections and requests wait instead of being refused, and then be resumed
// or lead to a successor.
type httpPort struct {
	tcp     *net.TCPListener
	handler http.Handler
	// pass is a secret by which a successor knows that this process passed a request on, and that no client made it up.
	pass   string
	limit  int
	tls    *tls.Config
	log    *slog.Logger
	closed *summary.Summary // logs idle connections that were closed to make room
	failed *summary.Summary // accepting
	broken *summary.Summary // TLS handshakes

	mu          sync.Mutex // mu guards the fields below.
	isPaused    bool
	isClosed    bool
	successor   http.Handler // handles requests once there is a successor
	underWay    int          // the number of requests under way in the handler
	connections map[*portConnection]struct{}
	changed     chan struct{} // closed, and replaced, when one of the fields above changes
}

// httpPortConfig is what an httpPort is built from.
type httpPortConfig struct {
	Listener net.Listener
	Handler  http.Handler
	// Limit bounds the connections.
	Limit int
	// TLS is for the clients that begin with a handshake.
	TLS *tls.Config
	// Pass is a secret by which a successor knows that this process passed a request on.
	Pass string
	Log  *slog.Logger
}

func newHTTPPort(cfg httpPortConfig) *httpPort {
	return &httpPort{
		tcp: cfg.Listener.(*net.TCPListener), handler: cfg.Handler, limit: cfg.Limit, tls: cfg.TLS, pass: cfg.Pass, log: cfg.Log,
		closed: summary.New(summary.Config{Log: cfg.Log,
			First: "there are as many connections as there may be; idle ones are closed to make room", Again: "more idle connections were closed to make room"}),
		failed: summary.New(summary.Config{Log: cfg.Log,
			First: "a connection cannot be accepted; trying again", Again: "more connections could not be accepted"}),
		broken: summary.New(summary.Config{Log: cfg.Log,
			First: "a TLS handshake has failed", Again: "more TLS handshakes have failed"}),
		connections: map[*portConnection]struct{}{}, changed: make(chan struct{}),
	}
}

// update changes what mu guards.
func (p *httpPort) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

// await waits until a condition on what mu guards holds. condition may change it too.
func (p *httpPort) await(ctx context.Context, condition func() bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !condition() {
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			p.mu.Lock()
			return context.Cause(ctx)
		}
		p.mu.Lock()
	}
	return nil
}

// pause makes connections and requests wait from now on.
func (p *httpPort) pause() {
	p.update(func() { p.isPaused = true })
	// It fails only when the listener is closed, which Accept will notice.
	_ = p.tcp.SetDeadline(time.Unix(1, 0))
}

// idle waits until no requests are under way.
func (p *httpPort) idle(ctx context.Context) error {
	return p.await(ctx, func() bool { return p.underWay == 0 })
}

// resume ends pause.
func (p *httpPort) resume() {
	_ = p.tcp.SetDeadline(time.Time{}) // As in pause.
	p.update(func() { p.isPaused = false })
}

// sourceHeader holds the secret of the two processes, the address that a request came from, and whether it came over TLS.
const sourceHeader = "X-Trellis-Source"

// byTLS ends the header of a request that came over TLS.
const byTLS = " tls"

// forwardTo passes requests that still come to this process on to the successor at an address, which accepts the connections
// of the same port. It adds the address that they came from. Each connection of this process ends with the response.
func (p *httpPort) forwardTo(address string) {
	target := &url.URL{Scheme: "http", Host: address}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // The signature covers the host.
			source := p.pass + " " + r.In.RemoteAddr
			if r.In.TLS != nil {
				source += byTLS
			}
			r.Out.Header.Set(sourceHeader, source)
		},
		Transport: &http.Transport{DisableCompression: true},
		ErrorLog:  slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	p.update(func() {
		p.successor = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			proxy.ServeHTTP(w, r)
		})
	})
}

// restoreSource gives a request that another process has passed on the address that it came from, and the mark of TLS. It
// drops such a header of a client, which does not know the secret.
func (p *httpPort) restoreSource(r *http.Request) {
	values, ok := r.Header[sourceHeader]
	if !ok {
		return
	}
	delete(r.Header, sourceHeader)
	pass, source, _ := strings.Cut(values[0], " ")
	if len(values) != 1 || subtle.ConstantTimeCompare([]byte(pass), []byte(p.pass)) == 0 {
		return
	}
	source, secure := strings.CutSuffix(source, byTLS)
	if _, err := netip.ParseAddrPort(source); err == nil {
		r.RemoteAddr = source
		if secure {
			r.TLS = &tls.ConnectionState{}
		}
	}
}

// empty waits until there are no connections.
func (p *httpPort) empty(ctx context.Context) error {
	return p.await(ctx, func() bool { return len(p.connections) == 0 })
}

// ServeHTTP implements http.Handler.
func (p *httpPort) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.TLS = stateOf(r)
	p.restoreSource(r)
	var successor http.Handler
	err := p.await(r.Context(), func() bool {
		successor = p.successor
		if p.isPaused && successor == nil {
			return false
		}
		if successor == nil {
			p.underWay++
		}
		return true
	})
	switch {
	case err != nil: // The client has disconnected.
	case successor != nil:
		successor.ServeHTTP(w, r)
	default:
		defer p.update(func() { p.underWay-- })
		p.handler.ServeHTTP(w, r)
	}
}

// Accept implements net.Listener. Its only error is that the port is closed.
func (p *httpPort) Accept() (net.Conn, error) {
	pause := time.Duration(0)
	for {
		accepted, err := p.tcp.Accept()
		conn := &portConnection{Conn: accepted, config: p.tls, failed: p.broken}
		switch {
		case err == nil && p.admit(conn):
			return conn, nil
		case err == nil:
			conn.abort()
			return nil, net.ErrClosed
		case errors.Is(err, os.ErrDeadlineExceeded):
			// It never fails: only the condition ends the wait, since the context never ends.
			_ = p.await(context.Background(), func() bool { return !p.isPaused || p.isClosed })
		case errors.Is(err, net.ErrClosed):
			return nil, err
		default: // usually because too many files are open
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			p.failed.Happened(1, "error", err)
			p.pauseFor(pause)
		}
	}
}

// pauseFor waits for a time, or until the port is closed.
func (p *httpPort) pauseFor(pause time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), pause)
	defer cancel()
	_ = p.await(ctx, func() bool { return p.isClosed }) // The only possible error is that the time is over.
}

// Close implements net.Listener.
func (p *httpPort) Close() error {
	err := p.tcp.Close()
	p.update(func() { p.isClosed = true })
	return err
}

// Addr implements net.Listener.
func (p *httpPort) Addr() net.Addr { return p.tcp.Addr() }

// The API's requests are small and its responses quick; these bounds only free what a broken client holds.
const (
	apiReadHeaderTimeout = 10 * time.Second
	apiReadTimeout       = 30 * time.Second
	apiWriteTimeout      = 5 * time.Minute // profiles of the admin port take their
	apiIdleTimeout       = 2 * time.Minute
	apiShutdownTimeout   = 5 * time.Second
	// apiHeadBytes is more than UntagResource needs for 200 keys of 128 characters. With Go's default of 1 MiB, a
	// client that sends a head and does not end it would hold that much.
	apiHeadBytes = 32 << 10
)

// serve runs the HTTP server until ctx ends, and lets requests under way finish.
func (p *httpPort) serve(ctx context.Context) error {
	server := &http.Server{
		Handler:           p,
		ReadHeaderTimeout: apiReadHeaderTimeout,
		ReadTimeout:       apiReadTimeout,
		WriteTimeout:      apiWriteTimeout,
		IdleTimeout:       apiIdleTimeout,
		MaxHeaderBytes:    apiHeadBytes,
		ConnState:         p.note,
		ConnContext:       withConnection,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	defer p.closed.Close()
	defer p.failed.Close()
	defer p.broken.Close()
	done := make(chan error, 1)
	go func() { done <- server.Serve(p) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving %s: %w", p.Addr(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiShutdownTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		// Requests that are still under way are cut off, which is not an error.
		return server.Close()
	}
	<-done
	return nil
}
