package server

import (
	"context"
	"crypto/subtle"
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

// door is a port of ours with an HTTP server behind it: the API's or the admin port. It can be shut for a while, when
// neither connections nor requests are turned away but wait, and then be opened again or lead to a successor.
type door struct {
	tcp     *net.TCPListener
	handler http.Handler
	// pass is a secret by which a successor knows that a request was passed on by us, and not made up by a client.
	pass   string
	limit  int
	log    *slog.Logger
	closed *summary.Summary // idle connections that had to make room
	failed *summary.Summary // accepting

	mu        sync.Mutex // mu guards the fields below.
	isShut    bool
	isClosed  bool
	successor http.Handler // what answers instead, once there is a successor
	underWay  int          // requests that the handler is at
	visitors  map[net.Conn]*visitor
	changed   chan struct{} // closed, and replaced, when one of the above has changed
}

// doorConfig is what a door is built from.
type doorConfig struct {
	Listener net.Listener
	Handler  http.Handler
	// Limit is how many connections there may be.
	Limit int
	// Pass is a secret by which a successor knows that a request was passed on by us.
	Pass string
	Log  *slog.Logger
}

func newDoor(cfg doorConfig) *door {
	return &door{
		tcp: cfg.Listener.(*net.TCPListener), handler: cfg.Handler, limit: cfg.Limit, pass: cfg.Pass, log: cfg.Log,
		closed: summary.New(summary.Config{Log: cfg.Log,
			First: "there are as many connections as there may be; idle ones are closed to make room", Again: "more idle connections were closed to make room"}),
		failed: summary.New(summary.Config{Log: cfg.Log,
			First: "a connection cannot be accepted; trying again", Again: "more connections could not be accepted"}),
		visitors: map[net.Conn]*visitor{}, changed: make(chan struct{}),
	}
}

// update changes what mu guards.
func (d *door) update(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
	close(d.changed)
	d.changed = make(chan struct{})
}

// await waits until a condition on what mu guards holds. condition may change it too.
func (d *door) await(ctx context.Context, condition func() bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for !condition() {
		changed := d.changed
		d.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			d.mu.Lock()
			return context.Cause(ctx)
		}
		d.mu.Lock()
	}
	return nil
}

// shut lets connections and requests wait from now on.
func (d *door) shut() {
	d.update(func() { d.isShut = true })
	// It fails only when the listener is closed, which whoever accepts will notice.
	_ = d.tcp.SetDeadline(time.Unix(1, 0))
}

// idle waits until no requests are under way.
func (d *door) idle(ctx context.Context) error {
	return d.await(ctx, func() bool { return d.underWay == 0 })
}

// reopen ends shut.
func (d *door) reopen() {
	_ = d.tcp.SetDeadline(time.Time{}) // As in shut.
	d.update(func() { d.isShut = false })
}

// sourceHeader holds the secret of the doors and the address that a request came from.
const sourceHeader = "X-Trellis-Source"

// passTo sends requests that still come to us on to the successor at an address, which accepts the connections of the
// same port, with the address that they came from. Each connection of ours ends with the response.
func (d *door) passTo(address string) {
	target := &url.URL{Scheme: "http", Host: address}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // It is signed.
			r.Out.Header.Set(sourceHeader, d.pass+" "+r.In.RemoteAddr)
		},
		Transport: &http.Transport{DisableCompression: true},
		ErrorLog:  slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
	}
	d.update(func() {
		d.successor = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			proxy.ServeHTTP(w, r)
		})
	})
}

// restoreSource gives a request that another door has passed on the address that it came from, for who asks where it
// comes from. What a client says of that without knowing the secret is dropped.
func (d *door) restoreSource(r *http.Request) {
	values, ok := r.Header[sourceHeader]
	if !ok {
		return
	}
	delete(r.Header, sourceHeader)
	pass, source, _ := strings.Cut(values[0], " ")
	if len(values) != 1 || subtle.ConstantTimeCompare([]byte(pass), []byte(d.pass)) == 0 {
		return
	}
	if _, err := netip.ParseAddrPort(source); err == nil {
		r.RemoteAddr = source
	}
}

// empty waits until there are no connections.
func (d *door) empty(ctx context.Context) error {
	return d.await(ctx, func() bool { return len(d.visitors) == 0 })
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.restoreSource(r)
	var successor http.Handler
	err := d.await(r.Context(), func() bool {
		successor = d.successor
		if d.isShut && successor == nil {
			return false
		}
		if successor == nil {
			d.underWay++
		}
		return true
	})
	switch {
	case err != nil: // The client has gone away.
	case successor != nil:
		successor.ServeHTTP(w, r)
	default:
		defer d.update(func() { d.underWay-- })
		d.handler.ServeHTTP(w, r)
	}
}

// Accept implements net.Listener. Its only error is that the door is closed.
func (d *door) Accept() (net.Conn, error) {
	pause := time.Duration(0)
	for {
		conn, err := d.tcp.Accept()
		switch {
		case err == nil && d.admit(conn):
			return conn, nil
		case err == nil:
			conn.Close()
			return nil, net.ErrClosed
		case errors.Is(err, os.ErrDeadlineExceeded):
			// It never fails: without an end of its context there is none but the condition's.
			_ = d.await(context.Background(), func() bool { return !d.isShut || d.isClosed })
		case errors.Is(err, net.ErrClosed):
			return nil, err
		default: // Mostly there are too many open files, in this process or on the machine.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			d.failed.Happened(1, "error", err)
			d.rest(pause)
		}
	}
}

// rest waits for a time, or until the door is closed.
func (d *door) rest(pause time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), pause)
	defer cancel()
	_ = d.await(ctx, func() bool { return d.isClosed }) // Its only error is that the time is over.
}

// Close implements net.Listener.
func (d *door) Close() error {
	err := d.tcp.Close()
	d.update(func() { d.isClosed = true })
	return err
}

// Addr implements net.Listener.
func (d *door) Addr() net.Addr { return d.tcp.Addr() }

// The API's requests are small and its answers quick; these bounds only free what a broken client holds.
const (
	apiReadHeaderTimeout = 10 * time.Second
	apiReadTimeout       = 30 * time.Second
	apiWriteTimeout      = 5 * time.Minute // Profiles of the admin port take their time.
	apiIdleTimeout       = 2 * time.Minute
	apiShutdownTimeout   = 5 * time.Second
	// apiHeadBytes is more than UntagResource needs for 200 keys of 128 characters. Go's default of 1 MiB would be
	// held by whoever sends a head and does not end it.
	apiHeadBytes = 32 << 10
)

// serve runs the HTTP server until ctx ends, and lets requests under way finish.
func (d *door) serve(ctx context.Context) error {
	server := &http.Server{
		Handler:           d,
		ReadHeaderTimeout: apiReadHeaderTimeout,
		ReadTimeout:       apiReadTimeout,
		WriteTimeout:      apiWriteTimeout,
		IdleTimeout:       apiIdleTimeout,
		MaxHeaderBytes:    apiHeadBytes,
		ConnState:         d.note,
		ErrorLog:          slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
	}
	defer d.closed.Close()
	defer d.failed.Close()
	done := make(chan error, 1)
	go func() { done <- server.Serve(d) }()
	select {
	case err := <-done:
		return fmt.Errorf("serving %s: %w", d.Addr(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), apiShutdownTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		// Whoever still holds a request by now is cut off; that is no failure of ours.
		return server.Close()
	}
	<-done
	return nil
}
