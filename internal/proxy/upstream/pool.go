// Package upstream keeps connections to targets: a pool per target, and what has to be known about a failed attempt
// to decide whether another may follow. It moves bytes and knows where a request was broken off, but not what the
// bytes mean; that is package http1's part, and package proxy is the caller of both.
//
// Invariant: a connection has one owner. Idle and Dial hand it out, Release and Discard take it back.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/outbound"
)

// Config bounds the pools. All fields but Dialer and Spare must be set.
type Config struct {
	// Dialer connects to targets. Nil is one that connects to any address.
	Dialer *outbound.Dialer
	// DialTimeout bounds connecting, the TLS handshake, and waiting for a connection to come free.
	DialTimeout time.Duration
	// IdleTimeout is how long a connection is kept for the next exchange.
	IdleTimeout time.Duration
	// MaxIdle is how many are kept per target. MaxConnections is how many there may be per target, idle and in use.
	MaxIdle        int
	MaxConnections int
	// Spare is how many connections to a target are made ready, idle ones included, once it has been used.
	Spare int
}

// Pools makes pools and does what must be done now and then for all of them.
type Pools struct {
	cfg Config
	tls *tls.Config
	now atomic.Int64 // nanoseconds of the last Sweep; read instead of the clock, since a second more or less is nothing

	// warming ends with Close, and with it the making of spare connections.
	warming context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex // mu guards the fields below.
	idling map[*Pool]struct{}
	closed bool
}

// NewPools returns a maker of pools.
func NewPools(cfg Config) *Pools {
	if cfg.Dialer == nil {
		cfg.Dialer = outbound.New(outbound.Config{})
	}
	p := &Pools{cfg: cfg, tls: outbound.TLSConfig("http/1.1"), idling: make(map[*Pool]struct{})}
	p.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1024)
	p.warming, p.stop = context.WithCancel(context.Background())
	p.now.Store(time.Now().UnixNano())
	return p
}

// Sweep closes the connections that have been idle for too long, and those that their targets have closed. It is to
// be called about once a second.
func (p *Pools) Sweep(now time.Time) {
	last := p.now.Swap(now.UnixNano())
	p.mu.Lock()
	pools := make([]*Pool, 0, len(p.idling))
	for pool := range p.idling {
		pools = append(pools, pool)
	}
	p.mu.Unlock()
	for _, pool := range pools {
		pool.sweep(last, now.UnixNano())
	}
}

// Close closes all idle connections and keeps no more.
func (p *Pools) Close() {
	p.mu.Lock()
	p.closed = true
	pools := p.idling
	p.idling = make(map[*Pool]struct{})
	p.mu.Unlock()
	p.stop()
	for pool := range pools {
		pool.Close()
	}
	p.running.Wait()
}

// setIdling notes whether a pool has idle connections, so that Sweep need not look at the others: there may be
// 100,000 targets, few of them with traffic. It says whether idle connections may be kept.
func (p *Pools) setIdling(pool *Pool, idling bool) bool {
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

// Pool is the connections to one target.
type Pool struct {
	pools   *Pools
	address netip.AddrPort
	tls     bool

	mu      sync.Mutex // mu guards the fields below.
	idle    []*Conn    // the one used last is at the end
	open    int        // connections that are idle, in use or being made
	waiting []chan *Conn
	idling  bool // what setIdling was told
	warming bool // spare connections are being made
	closed  bool
}

// New returns a pool for a target. With TLS, the target's certificate is not verified.
func (p *Pools) New(address netip.AddrPort, useTLS bool) *Pool {
	return &Pool{pools: p, address: address, tls: useTLS}
}

// errBusy says that all connections were in use for the whole DialTimeout.
var errBusy = errors.New("all connections to the target are in use")

// Idle returns the connection that was used last, or nil when none is idle.
func (p *Pool) Idle() *Conn {
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
func (p *Pool) Dial(ctx context.Context) (*Conn, error) {
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
		c.Conn.Close()
		return p.dial(ctx)
	}
	turn := make(chan *Conn, 1)
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	return p.await(ctx, turn)
}

// await waits for a connection to come free. A nil connection means that there is room for a new one.
func (p *Pool) await(ctx context.Context, turn chan *Conn) (*Conn, error) {
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
	return p.taken(ctx, <-turn) // It was this one's turn just now.
}

func (p *Pool) taken(ctx context.Context, c *Conn) (*Conn, error) {
	if c == nil {
		return p.dial(ctx)
	}
	c.Reused = true
	return c, nil
}

// dial makes a new connection, which p.open already counts.
func (p *Pool) dial(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.pools.cfg.DialTimeout)
	defer cancel()
	conn, err := p.pools.cfg.Dialer.Connect(ctx, p.address)
	if err != nil {
		p.gone()
		return nil, &DialError{p.address, err}
	}
	c := newConn(p, conn)
	if p.tls {
		if err := c.secure(ctx, p.pools.tls); err != nil {
			conn.Close()
			p.gone()
			return nil, &DialError{p.address, err}
		}
	}
	return c, nil
}

// gone notes that a connection is no more, or could not be made.
func (p *Pool) gone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		turn := p.waiting[0]
		p.waiting = p.waiting[1:]
		turn <- nil // The room passes on: open stays.
		return
	}
	p.open--
}

// put takes a connection back for the next exchange.
func (p *Pool) put(c *Conn) {
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

// sweep closes the idle connections whose time is over or whose targets have closed them.
func (p *Pool) sweep(last, now int64) {
	p.mu.Lock()
	// Those used since the last sweep are at the end. The others are taken out while they are looked at.
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
	p.mu.Unlock()
	for _, c := range kept {
		c.Discard()
	}
}

// Close closes the idle connections and keeps no more. Those in use are closed when they come back.
func (p *Pool) Close() {
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
