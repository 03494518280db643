package upstream

import (
	"context"
	"net"
	"sync"
	"time"
)

// HTTP1Pool is the connections to a target that carry one exchange at a time: HTTP/1.1, or what TLS hides.
type HTTP1Pool struct {
	pools *Pools
	way

	mu      sync.Mutex // mu guards the fields below.
	idle    []*Conn    // the one used last is at the end
	open    int        // connections that are idle, in use or being made
	waiting []chan *Conn
	idling  bool // the last argument of setIdling
	warming bool // spare connections are being made
	closed  bool
}

// setIdling notes whether a pool has idle connections, so that Sweep need not look at the others: there may be
// 100,000 targets, few of them with traffic. It reports whether idle connections may be kept.
func (p *Pools) setIdling(pool *HTTP1Pool, idling bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !idling {
		delete(p.idling, pool)
		return false
	}
	if p.closed {
		return false
	}
	p.idling[pool] = struct{}{}
	return true
}

// Idle returns the connection that was used last, or nil when none is idle.
func (p *HTTP1Pool) Idle() *Conn {
	p.mu.Lock()
	n := len(p.idle)
	if n == 0 {
		p.mu.Unlock()
		return nil
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	p.mu.Unlock()
	c.Reused = true
	return c
}

// Dial returns a new connection; one that comes free meanwhile will do when there is no room for another. The error
// is a *DialError. Dial works on a closed pool too, for an exchange that chose the target before.
func (p *HTTP1Pool) Dial(ctx context.Context) (*Conn, error) {
	p.mu.Lock()
	if p.open < p.pools.cfg.MaxConnections {
		p.open++
		p.mu.Unlock()
		return p.dial(ctx)
	}
	if len(p.idle) > 0 { // The oldest makes room.
		c := p.idle[0]
		p.idle = append(p.idle[:0], p.idle[1:]...)
		p.mu.Unlock()
		c.close()
		return p.dial(ctx)
	}
	turn := make(chan *Conn, 1)
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	return p.await(ctx, turn)
}

// await waits for a connection to come free. A nil connection means that there is room for a new one.
func (p *HTTP1Pool) await(ctx context.Context, turn chan *Conn) (*Conn, error) {
	timeout := time.NewTimer(p.pools.cfg.DialTimeout)
	defer timeout.Stop()
	err := errBusy
	select {
	case c := <-turn:
		return p.taken(ctx, c)
	case <-timeout.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.mu.Lock()
	for i, other := range p.waiting {
		if other == turn {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.mu.Unlock()
			return nil, &DialError{p.address, err}
		}
	}
	p.mu.Unlock()
	return p.taken(ctx, <-turn) // At the same moment, a connection was handed over.
}

func (p *HTTP1Pool) taken(ctx context.Context, c *Conn) (*Conn, error) {
	if c == nil {
		return p.dial(ctx)
	}
	c.Reused = true
	return c, nil
}

// dial makes a new connection, which p.open already counts.
func (p *HTTP1Pool) dial(ctx context.Context) (*Conn, error) {
	var c *Conn
	var secure func(context.Context, *net.TCPConn) error
	if p.tls {
		secure = func(ctx context.Context, conn *net.TCPConn) error {
			c = newConn(p, conn)
			return c.secure(ctx, p.pools.http1TLS)
		}
	}
	conn, err := p.pools.connect(ctx, p.way, secure)
	if err != nil {
		p.gone()
		return nil, &DialError{p.address, err}
	}
	p.connections.HTTP1.Add(1)
	if c == nil {
		c = newConn(p, conn)
	}
	return c, nil
}

// gone notes that a connection has been closed, or could not be made.
func (p *HTTP1Pool) gone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		turn := p.waiting[0]
		p.waiting = p.waiting[1:]
		turn <- nil // The goroutine that waits gets the place, so p.open stays as it is.
		return
	}
	p.open--
}

// put takes a connection back for the next exchange.
func (p *HTTP1Pool) put(c *Conn) {
	p.mu.Lock()
	if len(p.waiting) > 0 {
		turn := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		turn <- c
		return
	}
	if !p.idling && !p.closed {
		p.idling = p.pools.setIdling(p, true)
	}
	if p.closed || !p.idling || len(p.idle) >= p.pools.cfg.MaxIdle {
		p.mu.Unlock()
		c.Discard()
		return
	}
	c.idleSince = p.pools.now.Load()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
}

// sweep closes the idle connections whose time is over or whose targets have closed them, and returns how many are left.
func (p *HTTP1Pool) sweep(last, now int64) (left int) {
	p.mu.Lock()
	// Those used since the last sweep are at the end. The others are taken out while they are checked.
	quiet := 0
	for quiet < len(p.idle) && p.idle[quiet].idleSince < last {
		quiet++
	}
	looked := append([]*Conn(nil), p.idle[:quiet]...)
	rest := copy(p.idle, p.idle[quiet:])
	clear(p.idle[rest:])
	p.idle = p.idle[:rest]
	if len(looked) == 0 && len(p.idle) == 0 && p.idling {
		p.idling = p.pools.setIdling(p, false)
	}
	p.mu.Unlock()

	kept := looked[:0]
	for _, c := range looked {
		if now-c.idleSince > int64(p.pools.cfg.IdleTimeout) || c.stale() {
			c.Discard()
		} else {
			kept = append(kept, c)
		}
	}
	p.mu.Lock()
	if !p.closed {
		p.idle = append(kept, p.idle...)
		kept = nil
	}
	left = len(p.idle)
	p.mu.Unlock()
	for _, c := range kept {
		c.Discard()
	}
	return left
}

// idleLongest returns when the connection that has been idle for longest became so, if there is one.
func (p *HTTP1Pool) idleLongest() (since int64, any bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return 0, false
	}
	return p.idle[0].idleSince, true
}

// closeOldest closes the connection that has been idle for longest. It reports whether there was one.
func (p *HTTP1Pool) closeOldest() bool {
	p.mu.Lock()
	if len(p.idle) == 0 {
		p.mu.Unlock()
		return false
	}
	c := p.idle[0]
	p.idle = append(p.idle[:0], p.idle[1:]...)
	p.mu.Unlock()
	c.Discard()
	return true
}

// Close closes the idle connections and keeps no more. Those in use are closed when they come back.
func (p *HTTP1Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	if p.idling {
		p.idling = p.pools.setIdling(p, false)
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.Discard()
	}
}
