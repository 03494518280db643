package upstream

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"trellis/internal/outbound"
	"trellis/internal/proxy/wire/http2"
)

// HTTP2Pool is the connections to a target that speaks HTTP/2, and so carries many exchanges on each.
type HTTP2Pool struct {
	pools *Pools
	way

	mu       sync.Mutex    // mu guards the fields below.
	conns    []*http2.Conn // replaced, never changed
	dialing  *http2Dial    // the attempt that is being made
	greeting *http2.Conn   // the connection of that attempt, until the target has sent its SETTINGS
	freed    chan struct{} // closed when there may be room on a connection
}

// http2Dial is an attempt to connect, for which many may wait.
type http2Dial struct {
	done chan struct{}
	err  error
}

var (
	errNotH2  = errors.New("the target does not speak HTTP/2")
	errClosed = errors.New("no more connections are made")
)

// Open opens a stream with a request's header block on a connection that has room, making one if need be. The error is
// a *DialError.
func (p *HTTP2Pool) Open(ctx context.Context, block []byte, request http2.Request) (s *http2.Stream, err error) {
	for waited := false; ; waited = true {
		p.mu.Lock()
		conns := p.conns
		if p.freed == nil {
			p.freed = make(chan struct{})
		}
		freed := p.freed
		p.mu.Unlock()
		for _, c := range conns {
			if s, err = c.Open(block, request); err == nil {
				return s, nil
			}
		}
		if !waited {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, 2*p.pools.cfg.DialTimeout, errBusy)
			defer cancel()
		}
		if err := p.await(ctx, conns, freed); err != nil {
			return nil, &DialError{Address: p.address, Err: err}
		}
	}
}

// await waits for room on a connection, after there was none on conns, or for a new connection.
func (p *HTTP2Pool) await(ctx context.Context, conns []*http2.Conn, freed chan struct{}) error {
	p.mu.Lock()
	if !slices.Equal(p.conns, conns) {
		p.mu.Unlock()
		return nil
	}
	d := p.dialing
	if d == nil && len(conns) < p.pools.cfg.MaxHTTP2Connections {
		d = &http2Dial{done: make(chan struct{})}
		if !p.startDial(d) {
			p.mu.Unlock()
			return errClosed
		}
		p.dialing = d
	}
	p.mu.Unlock()
	var done chan struct{}
	if d != nil {
		done = d.done
	}
	select {
	case <-done:
		return d.err
	case <-freed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// startDial makes a connection, unless the pools are closed. The caller holds p.mu.
func (p *HTTP2Pool) startDial(d *http2Dial) bool {
	pools := p.pools
	pools.mu.Lock()
	defer pools.mu.Unlock()
	started := pools.inBackground(func() { p.run(d) })
	if started {
		pools.open[p] = struct{}{}
	}
	return started
}

// run makes a connection and reads from it until it ends.
func (p *HTTP2Pool) run(d *http2Dial) {
	conn, err := p.connect()
	if err != nil {
		p.dialed(d, nil, err)
		p.forget(nil)
		return
	}
	defer p.pools.disconnected(p.way)
	p.connections.HTTP2.Add(1)
	var c *http2.Conn
	c = p.pools.cfg.HTTP2.Client(conn, func() { p.dialed(d, c, nil) }, p.announceRoom)
	conn.SetReadDeadline(time.Now().Add(p.pools.cfg.DialTimeout))
	p.mu.Lock()
	p.greeting = c
	p.mu.Unlock()
	p.pools.mu.Lock()
	isLate := p.pools.closed
	p.pools.mu.Unlock()
	if isLate {
		c.Abort()
	}
	c.Serve()
	conn.Close()
	p.dialed(d, nil, errNotH2) // dialed does nothing if the attempt has ended already.
	p.forget(c)
}

// dialed tells those who wait how the attempt has ended.
func (p *HTTP2Pool) dialed(d *http2Dial, c *http2.Conn, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dialing != d {
		return
	}
	p.dialing, p.greeting, d.err = nil, nil, err
	if c != nil {
		p.conns = append(slices.Clone(p.conns), c)
	}
	close(d.done)
}

func (p *HTTP2Pool) connect() (net.Conn, error) {
	var secured net.Conn
	var secure func(context.Context, *net.TCPConn) error
	if p.tls {
		secure = func(ctx context.Context, conn *net.TCPConn) (err error) {
			secured, err = outbound.Secure(ctx, conn, p.pools.http2TLS)
			return err
		}
	}
	conn, err := p.pools.connect(context.Background(), p.way, secure)
	if err != nil || secured != nil {
		return secured, err
	}
	return conn, nil
}

// forget removes a connection that has ended.
func (p *HTTP2Pool) forget(c *http2.Conn) {
	p.mu.Lock()
	p.conns = slices.DeleteFunc(slices.Clone(p.conns), func(other *http2.Conn) bool { return other == c })
	isEmpty := len(p.conns) == 0 && p.dialing == nil
	if isEmpty {
		p.pools.mu.Lock()
		delete(p.pools.open, p)
		p.pools.mu.Unlock()
	}
	p.mu.Unlock()
	p.announceRoom()
}

// announceRoom wakes those who wait for room.
func (p *HTTP2Pool) announceRoom() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.freed != nil {
		close(p.freed)
		p.freed = nil
	}
}

// abort breaks all connections off, also the one that is being made.
func (p *HTTP2Pool) abort() {
	p.each((*http2.Conn).Abort)
	p.mu.Lock()
	c := p.greeting
	p.mu.Unlock()
	if c != nil {
		c.Abort()
	}
}

// sweep ends the connections that have been idle for too long, and what lasts too long.
func (p *HTTP2Pool) sweep() {
	p.each(func(c *http2.Conn) {
		if c.Idle() > p.pools.cfg.IdleTimeout.Milliseconds() {
			c.Drain()
		}
		c.Sweep()
	})
}

// closeQuiet lets up to n connections end that have no streams, and returns how many.
func (p *HTTP2Pool) closeQuiet(n int) (closed int) {
	p.each(func(c *http2.Conn) {
		if quiet, _ := c.Quiet(); quiet && closed < n {
			c.Drain()
			closed++
		}
	})
	return closed
}

func (p *HTTP2Pool) each(call func(*http2.Conn)) {
	p.mu.Lock()
	conns := p.conns
	p.mu.Unlock()
	for _, c := range conns {
		call(c)
	}
}

// Close lets the connections end with the streams that are open. Open still works, for an exchange that chose the target
// before.
func (p *HTTP2Pool) Close() {
	p.each((*http2.Conn).Drain)
}
