package http2

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	wire "golang.org/x/net/http2"

	"trellis/internal/outbound"
	"trellis/internal/proxy/upstream"
)

// Pools keeps connections to targets.
type Pools struct {
	endpoint *Endpoint
	tls      *tls.Config

	mu      sync.Mutex // mu guards the fields below.
	open    map[*Pool]struct{}
	closed  bool
	running sync.WaitGroup
}

// NewPools returns a maker of pools.
func (e *Endpoint) NewPools() *Pools {
	p := &Pools{endpoint: e, open: make(map[*Pool]struct{}), tls: outbound.TLSConfig(wire.NextProtoTLS)}
	p.tls.ClientSessionCache = tls.NewLRUClientSessionCache(256)
	return p
}

// Sweep ends connections that have been idle for too long, and what lasts too long. It is to be called now and then.
func (p *Pools) Sweep() {
	p.mu.Lock()
	pools := make([]*Pool, 0, len(p.open))
	for pool := range p.open {
		pools = append(pools, pool)
	}
	p.mu.Unlock()
	for _, pool := range pools {
		pool.each(func(c *Conn) {
			if c.Idle() > p.endpoint.cfg.IdleTimeout.Milliseconds() {
				c.Drain()
			}
			c.Sweep()
		})
	}
}

// Close breaks all connections off and makes no more.
func (p *Pools) Close() {
	p.mu.Lock()
	p.closed = true
	pools := make([]*Pool, 0, len(p.open))
	for pool := range p.open {
		pools = append(pools, pool)
	}
	p.mu.Unlock()
	for _, pool := range pools {
		pool.each((*Conn).Abort)
		pool.abortGreeting()
	}
	p.running.Wait()
}

// Pool is the connections to one target.
type Pool struct {
	pools   *Pools
	address netip.AddrPort
	tls     bool

	mu       sync.Mutex    // mu guards the fields below.
	conns    []*Conn       // replaced, never changed
	dialing  *dial         // the attempt that is being made
	greeting *Conn         // which has come of it, if the target has not answered yet
	freed    chan struct{} // closed when there may be room on a connection
}

// dial is an attempt to connect, for which many may wait.
type dial struct {
	done chan struct{}
	err  error
}

// New returns a pool for a target. With TLS, the target's certificate is not verified.
func (p *Pools) New(address netip.AddrPort, useTLS bool) *Pool {
	return &Pool{pools: p, address: address, tls: useTLS}
}

var (
	errBusy   = errors.New("all connections to the target are in use")
	errFull   = errors.New("the connection has no room for another stream")
	errNotH2  = errors.New("the target does not speak HTTP/2")
	errClosed = errors.New("no more connections are made")
)

// Open opens a stream with a request's header block on a connection that has room, making one if need be. The error is
// a *upstream.DialError.
func (p *Pool) Open(ctx context.Context, block []byte, request Request) (s *Stream, err error) {
	for waited := false; ; waited = true {
		p.mu.Lock()
		conns := p.conns
		if p.freed == nil {
			p.freed = make(chan struct{})
		}
		freed := p.freed
		p.mu.Unlock()
		for _, c := range conns {
			if s, err = c.openStream(block, request); err == nil {
				return s, nil
			}
		}
		if !waited {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, 2*p.pools.endpoint.cfg.DialTimeout, errBusy)
			defer cancel()
		}
		if err := p.await(ctx, conns, freed); err != nil {
			return nil, &upstream.DialError{Address: p.address, Err: err}
		}
	}
}

// await waits for room on a connection, after there was none on conns, or for a new connection.
func (p *Pool) await(ctx context.Context, conns []*Conn, freed chan struct{}) error {
	p.mu.Lock()
	if !slices.Equal(p.conns, conns) {
		p.mu.Unlock()
		return nil
	}
	d := p.dialing
	if d == nil && len(conns) < p.pools.endpoint.cfg.MaxConnections {
		d = &dial{done: make(chan struct{})}
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

// startDial makes a connection, unless no more are made. p.mu is held.
func (p *Pool) startDial(d *dial) bool {
	pools := p.pools
	pools.mu.Lock()
	defer pools.mu.Unlock()
	if pools.closed {
		return false
	}
	pools.open[p] = struct{}{}
	pools.running.Go(func() { p.run(d) })
	return true
}

// run makes a connection and reads from it until it ends.
func (p *Pool) run(d *dial) {
	conn, err := p.connect()
	if err != nil {
		p.dialed(d, nil, err)
		p.forget(nil)
		return
	}
	c := p.pools.endpoint.client(conn)
	c.onRoom = p.announceRoom
	// How many streams the target takes is known only then.
	c.onGreeting = func() { p.dialed(d, c, nil) }
	c.introduce()
	conn.SetReadDeadline(time.Now().Add(p.pools.endpoint.cfg.DialTimeout))
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
	p.dialed(d, nil, errNotH2) // Unless it has been.
	p.forget(c)
}

// dialed tells those that wait how the attempt has ended.
func (p *Pool) dialed(d *dial, c *Conn, err error) {
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

func (p *Pool) connect() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), p.pools.endpoint.cfg.DialTimeout)
	defer cancel()
	conn, err := p.pools.endpoint.cfg.Dialer.Connect(ctx, p.address)
	if err != nil {
		return nil, err
	}
	if !p.tls {
		return conn, nil
	}
	secured, err := outbound.Secure(ctx, conn, p.pools.tls)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// forget takes a connection out that has ended.
func (p *Pool) forget(c *Conn) {
	p.mu.Lock()
	p.conns = slices.DeleteFunc(slices.Clone(p.conns), func(other *Conn) bool { return other == c })
	isEmpty := len(p.conns) == 0 && p.dialing == nil
	if isEmpty {
		p.pools.mu.Lock()
		delete(p.pools.open, p)
		p.pools.mu.Unlock()
	}
	p.mu.Unlock()
	p.announceRoom()
}

// announceRoom wakes those that wait for room.
func (p *Pool) announceRoom() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.freed != nil {
		close(p.freed)
		p.freed = nil
	}
}

// abortGreeting breaks off a connection that is being made.
func (p *Pool) abortGreeting() {
	p.mu.Lock()
	c := p.greeting
	p.mu.Unlock()
	if c != nil {
		c.Abort()
	}
}

func (p *Pool) each(call func(*Conn)) {
	p.mu.Lock()
	conns := p.conns
	p.mu.Unlock()
	for _, c := range conns {
		call(c)
	}
}

// Close lets the connections end with the streams that are open. Open works still, for an exchange that chose the
// target before.
func (p *Pool) Close() {
	p.each((*Conn).Drain)
}

// Request says what follows a request's header block.
type Request struct {
	// Ended says that there is no body; More that Send will be called at once.
	Ended bool
	More  bool
	// ToHead says that the response has no body: the method is HEAD.
	ToHead bool
}

// openStream opens a stream if there is room.
func (c *Conn) openStream(block []byte, request Request) (s *Stream, err error) {
	c.mu.Lock()
	defer c.unlock()
	switch {
	case c.err != nil:
		return nil, c.err
	case c.draining || c.goneAway || c.lastOwnID > maxStreamID-2:
		return nil, errEnded
	case uint32(len(c.streams)) >= c.peerStreams:
		c.full = true
		return nil, errFull
	}
	if c.lastOwnID == 0 {
		c.lastOwnID = 1
	} else {
		c.lastOwnID += 2
	}
	s = c.newStream(c.lastOwnID)
	s.noBody, s.opened, s.reused, s.writtenAt = request.ToHead, c.endpoint.cfg.Now(), c.answered, c.appended()
	c.appendHeaders(s.id, block, request.Ended)
	if request.Ended {
		s.localEnded = true
	}
	if !request.More {
		c.write()
	}
	return s, nil
}
