// Package upstream is the way of requests to targets. It has a Carrier for each target, which keeps connections of the version
// of HTTP that the target speaks; it makes and bounds connections, and it decides whether another attempt may follow a failed
// one. It moves bytes and streams and knows where a request was broken off. What they mean, exchange and downstream know.
//
// Invariant: a connection of HTTP/1.1 has one owner. Idle and Dial hand it out, Release and Discard take it back.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/outbound"
	"trellis/internal/proxy/wire/http2"
	"trellis/internal/routing"
	"trellis/internal/tally"
)

// Config bounds the connections to targets. All fields but Dialer, MaxTotal, Spare, InProcess and HTTP2 must be set.
type Config struct {
	// Dialer connects to targets. Nil means one that connects to any address.
	Dialer *outbound.Dialer
	// DialTimeout bounds connecting, the TLS handshake, and waiting for a connection to come free.
	DialTimeout time.Duration
	// IdleTimeout is how long a connection is kept for the next exchange.
	IdleTimeout time.Duration
	// MaxIdle is how many connections of HTTP/1.1 are kept per target. MaxConnections is how many there may be per target,
	// idle and in use; MaxHTTP2Connections is the same for HTTP/2, whose connections carry many exchanges each.
	MaxIdle             int
	MaxConnections      int
	MaxHTTP2Connections int
	// MaxTotal is how many connections there may be to all targets, of both versions. 0 means any number.
	MaxTotal int
	// Spare is how many connections of HTTP/1.1 to a target are made ready, idle ones included, once it has been used.
	Spare int
	// InProcess returns a connection for one request to a target that is not on the network, such as a function. The
	// connection speaks HTTP/1.1. InProcess may be nil when there are no such targets.
	InProcess func(*routing.Target) net.Conn
	// HTTP2 makes the connections of HTTP/2.
	HTTP2 *http2.Endpoint
}

// Pools makes the pools of all targets, and sweeps them.
type Pools struct {
	cfg      Config
	http1TLS *tls.Config
	http2TLS *tls.Config
	room     *room
	now      atomic.Int64 // nanoseconds of the last Sweep; read instead of the clock, since a second more or less does not matter
	idle     atomic.Int64 // connections of HTTP/1.1 at the last Sweep

	// warming ends with Close, and with it the making of spare connections.
	warming context.Context
	stop    context.CancelFunc
	running sync.WaitGroup // spare connections that are being made, and all connections of HTTP/2

	mu     sync.Mutex // mu guards the fields below.
	idling map[*HTTP1Pool]struct{}
	open   map[*HTTP2Pool]struct{}
	closed bool
}

// NewPools returns a maker of pools.
func NewPools(cfg Config) *Pools {
	if cfg.Dialer == nil {
		cfg.Dialer = outbound.New(outbound.Config{})
	}
	p := &Pools{
		cfg: cfg, http1TLS: outbound.TLSConfig("http/1.1"), http2TLS: outbound.TLSConfig("h2"),
		idling: make(map[*HTTP1Pool]struct{}), open: make(map[*HTTP2Pool]struct{}),
	}
	p.http1TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1024)
	p.http2TLS.ClientSessionCache = tls.NewLRUClientSessionCache(256)
	p.warming, p.stop = context.WithCancel(context.Background())
	p.now.Store(time.Now().UnixNano())
	p.room = newRoom(cfg.MaxTotal, p.closeIdle)
	return p
}

// Sweep closes the connections that have been idle for too long or that their targets have closed, and ends what lasts too
// long. It must be called about once a second.
func (p *Pools) Sweep(now time.Time) {
	last := p.now.Swap(now.UnixNano())
	p.mu.Lock()
	idling := slices.Collect(maps.Keys(p.idling))
	open := slices.Collect(maps.Keys(p.open))
	p.mu.Unlock()
	idle := 0
	for _, pool := range idling {
		idle += pool.sweep(last, now.UnixNano())
	}
	p.idle.Store(int64(idle))
	for _, pool := range open {
		pool.sweep()
	}
}

// Close closes all idle connections of HTTP/1.1 and breaks off those of HTTP/2. Afterwards no connection is kept or made.
func (p *Pools) Close() {
	p.mu.Lock()
	p.closed = true
	idling := p.idling
	p.idling = make(map[*HTTP1Pool]struct{})
	open := slices.Collect(maps.Keys(p.open))
	p.mu.Unlock()
	p.stop()
	for pool := range idling {
		pool.Close()
	}
	for _, pool := range open {
		pool.abort()
	}
	p.running.Wait()
}

// inBackground runs a function unless the pools are closed. Close waits for it. p.mu is held.
func (p *Pools) inBackground(work func()) bool {
	if !p.closed {
		p.running.Go(work)
	}
	return !p.closed
}

// Dial returns a new connection to an address that does not belong to a target group. The error is a *DialError.
func (p *Pools) Dial(ctx context.Context, address netip.AddrPort) (*Conn, error) {
	return p.newHTTP1(way{address: address}).Dial(ctx)
}

// Usage is how many connections to targets there are.
type Usage struct {
	Open  int // 0 if there is no limit
	Idle  int // idle connections of HTTP/1.1 at the last Sweep
	Limit int // 0 means no limit
}

// Usage returns how many connections to targets there are. It takes no lock.
func (p *Pools) Usage() Usage {
	u := Usage{Idle: int(p.idle.Load())}
	if p.room != nil {
		u.Open, u.Limit = len(p.room.places), cap(p.room.places)
	}
	return u
}

// way is the way to a target, which a pool's connections take.
type way struct {
	address     netip.AddrPort
	tls         bool
	connections *tally.Connections // of the target group
}

// connect makes a connection, and secures it if secure is not nil. It takes a place in p.room and counts the connection as open;
// the caller undoes both by disconnected when the connection is closed.
func (p *Pools) connect(ctx context.Context, to way, secure func(context.Context, *net.TCPConn) error) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DialTimeout)
	defer cancel()
	if err := p.room.enter(ctx); err != nil {
		return nil, err
	}
	conn, err := p.cfg.Dialer.Connect(ctx, to.address)
	if err == nil && secure != nil {
		if err = secure(ctx, conn); err != nil {
			conn.Close()
			to.connections.HandshakeErrors.Add(1)
		} else {
			to.connections.Handshakes.Add(1)
		}
	}
	if err != nil {
		p.room.leave()
		if !errors.Is(err, context.Canceled) { // The connection is not needed any more.
			to.connections.Errors.Add(1)
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				to.connections.Timeouts.Add(1)
			}
		}
		return nil, err
	}
	to.connections.Open.Add(1)
	return conn, nil
}

// disconnected gives back what connect has taken for a connection.
func (p *Pools) disconnected(to way) {
	p.room.leave()
	to.connections.Open.Add(-1)
}
