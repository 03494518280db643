// Package proxy is the data plane. It accepts connections on the ports of listeners and at the addresses of resources, finds
// out what each client speaks, makes TLS, and hands the connection to the package below downstream that carries the protocol.
// It also watches time: one goroutine, the sweeper, looks at all connections a few times a second, so that no exchange sets a
// timer. When it stops, it breaks off no more than it must.
//
// The packages below are the path of a request, and each imports only those before it: socket and buffer, wire, upstream,
// exchange, downstream and its protocols.
//
// The server calls SetPorts and SetResources after every change of the routes. Nothing here knows of the control plane.
package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/caller"
	"trellis/internal/outbound"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/downstream/passthrough"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/steering"
	"trellis/internal/proxy/upstream"
	wirehttp1 "trellis/internal/proxy/wire/http1"
	wirehttp2 "trellis/internal/proxy/wire/http2"
	"trellis/internal/routing"
	"trellis/internal/summary"
)

// Config is what a Proxy is built from.
type Config struct {
	// Log gets messages for the operator. Nil means slog.Default.
	Log *slog.Logger
	// AccessLog gets the records of exchanges that it wants. Nil means that nothing is recorded, which costs nothing.
	AccessLog accesslog.Log
	// Tracer gets the records of exchanges, and of connections to resources, that it samples. Nil means that nothing is traced, which
	// costs nothing.
	Tracer accesslog.Tracer
	// ResourceLog gets the records of connections to resources that it wants. Nil means that it wants none.
	ResourceLog accesslog.ResourceLog
	// Callers finds out who has signed a request to a service. Nil means that signatures are not looked at, and all callers
	// are anonymous.
	Callers *caller.Verifier
	// Certificate returns the certificate for a name, in lower case, of a service with a listener for HTTPS. The ARN is that of
	// the service's certificate; it is empty when there is none or the name is a generated one. Nil means that there are no
	// certificates, and no HTTPS.
	Certificate func(name, arn string) (*tls.Certificate, error)
	// Address is the host that listeners bind to. Empty means all addresses.
	Address string
	// OnBound is called with the addresses that are bound whenever these have changed. It must not block, nor call the proxy.
	// It may be nil.
	OnBound func(bound []net.Addr)
	// BoundPort returns the port that is bound for a listener's port. A nil function means the same port; a result of 0 means
	// any free one.
	BoundPort func(listenerPort int) int
	// Listen opens a TCP port for a listener's port. Nil means net.ListenConfig.Listen.
	Listen func(listenerPort int, address string) (net.Listener, error)
	// ListenResource opens the address and the port of a resource. Nil means net.ListenConfig.Listen.
	ListenResource func(at netip.AddrPort) (net.Listener, error)
	// Resolve returns the addresses of a resource that has a name. Nil means that such resources cannot be reached.
	Resolve func(ctx context.Context, target *routing.ResourceTarget) ([]netip.Addr, error)
	// OriginOf returns where a client of a resource is. Nil means that this is not known.
	OriginOf func(client netip.Addr) routing.Origin
	// Steering makes the kernel bring connections to resources to ResourceGates, on Linux. The proxy closes it. Nil means that
	// each address and port is bound separately; Unsteered says why.
	Steering  *steering.Table
	Unsteered error
	// ResourceGates are bound before resources are listened for. The process that has bound them owns the addresses of resources.
	ResourceGates []netip.AddrPort
	// ResourcePorts are the ports of wide port ranges that are bound without Steering.
	ResourcePorts []int
	// ResourceIdleTimeout is how long nothing may move on a connection to a resource. Default: 350 seconds (UG quotas).
	ResourceIdleTimeout time.Duration
	// Drain is how long connections to a resource may go on after it has gone.
	Drain time.Duration
	// Explain adds x-trellis-* headers to responses, which say where the request went.
	Explain bool

	// HeadTimeout bounds how long the head of a request may take from its first byte. Default: 30 seconds.
	HeadTimeout time.Duration
	// IdleTimeout holds until a connection's service is known, which has its own. Default: 60 seconds.
	IdleTimeout time.Duration
	// ConnectionDuration bounds the life of a client's connection. Default: 10 minutes (UG quotas).
	ConnectionDuration time.Duration
	// Limits bound the connections of all clients and to all targets. The zero value bounds nothing.
	Limits Limits
	// Upstream makes and bounds the connections to targets. Defaults: a Dialer that connects to any address; 5 seconds to
	// connect; 30 seconds idle; for each target 8,192 connections of HTTP/1.1, of which 256 may be idle and 2 are made ready
	// and 64 of HTTP/2. A negative number means none.
	Upstream upstream.Config
}

func (cfg *Config) setDefaults() {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Listen == nil {
		cfg.Listen = listen
	}
	if cfg.ListenResource == nil {
		cfg.ListenResource = func(at netip.AddrPort) (net.Listener, error) {
			config := ListenConfig()
			return config.Listen(context.Background(), "tcp", at.String())
		}
	}
	if cfg.OriginOf == nil {
		cfg.OriginOf = func(netip.Addr) routing.Origin { return routing.Origin{} }
	}
	if cfg.BoundPort == nil {
		cfg.BoundPort = func(port int) int { return port }
	}
	for _, d := range []struct {
		value   *time.Duration
		initial time.Duration
	}{
		{&cfg.HeadTimeout, 30 * time.Second},
		{&cfg.IdleTimeout, 60 * time.Second},
		{&cfg.ResourceIdleTimeout, 350 * time.Second},
		{&cfg.ConnectionDuration, 10 * time.Minute},
		{&cfg.Upstream.DialTimeout, 5 * time.Second},
		{&cfg.Upstream.IdleTimeout, 30 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.initial
		}
	}
	if cfg.Upstream.Dialer == nil {
		cfg.Upstream.Dialer = outbound.New(outbound.Config{})
	}
	if cfg.Upstream.MaxIdle == 0 {
		cfg.Upstream.MaxIdle = 256
	}
	if cfg.Upstream.Spare == 0 {
		cfg.Upstream.Spare = 2
	}
	if cfg.Upstream.MaxConnections == 0 {
		cfg.Upstream.MaxConnections = 8192
	}
	if cfg.Upstream.MaxHTTP2Connections == 0 {
		cfg.Upstream.MaxHTTP2Connections = 64
	}
}

// Proxy is the data plane of a node.
type Proxy struct {
	cfg   Config
	env   *downstream.Environment
	pools *upstream.Pools // connections to targets
	tls   *tls.Config     // the TLS configuration of all HTTPS listeners

	protocols protocols

	crowd    crowd
	workers  *workers
	reaching passthrough.Resources
	unbound  *summary.Summary // addresses and ports of resources
	narrowed *summary.Summary // logs resources of which not all ports are open

	stop    context.CancelFunc // cancels env.Dialing
	running sync.WaitGroup     // accept loops and connections
	sweeper sync.WaitGroup

	sweeping sync.Mutex // sweeping is held during a sweep, which may wait for mu, and guards the fields below.
	swept    []*downstream.Conn
	idle     []idleConnection

	handshakes handshakes
	open       atomic.Int64                // the number of connections
	ports      atomic.Pointer[[]PortState] // the ports that are wanted

	mu          sync.Mutex // mu guards the fields below, that env.Draining is set, and what crowd says that it guards.
	listeners   map[int]*listener
	wanted      []*routing.Port
	problems    map[int]error
	connections map[*downstream.Conn]struct{}
	resources   resources
}

// New returns a proxy that listens nowhere yet. It runs until Shutdown.
func New(cfg Config) *Proxy {
	cfg.setDefaults()
	cfg.Upstream.MaxTotal = cfg.Limits.Targets
	p := &Proxy{
		cfg:         cfg,
		listeners:   make(map[int]*listener),
		problems:    make(map[int]error),
		connections: make(map[*downstream.Conn]struct{}),
		resources:   newResources(cfg.Steering),
		unbound: summary.New(summary.Config{
			Log: cfg.Log, First: "an address and port of a resource cannot be bound; trying again", Again: "more addresses and ports of resources cannot be bound"}),
		narrowed: summary.New(summary.Config{Log: cfg.Log, First: "not all ports of a resource are open", Again: "not all ports of more resources are open"}),
	}
	dialing, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.env = downstream.NewEnvironment(downstream.Config{
		Log: cfg.Log,
		Exchanges: exchange.NewShared(exchange.Config{
			Log: cfg.Log, AccessLog: cfg.AccessLog, Tracer: cfg.Tracer, Callers: cfg.Callers, Explain: cfg.Explain, RetryFor: cfg.Upstream.DialTimeout,
		}),
		HeadTimeout: cfg.HeadTimeout, IdleTimeout: cfg.IdleTimeout, ConnectionDuration: cfg.ConnectionDuration,
		Dialing: dialing,
	})
	endpoint := wirehttp2.NewEndpoint(p.http2Config())
	p.cfg.Upstream.HTTP2 = endpoint
	p.pools = upstream.NewPools(p.cfg.Upstream)
	p.reaching = passthrough.Resources{Pools: p.pools, Resolve: cfg.Resolve, Failed: p.resourceFailed, Log: cfg.ResourceLog}
	p.crowd = newCrowd(&p.cfg)
	p.workers = newWorkers()
	p.ports.Store(new([]PortState))
	p.tls = p.newTLSConfig()
	p.protocols = p.newProtocols(endpoint)
	p.sweeper.Go(p.sweep)
	return p
}

// NewConnector returns the way of requests to a target, for routing.Config.Connect.
func (p *Proxy) NewConnector(t *routing.Target) routing.Connector {
	return p.pools.New(t)
}

// Shutdown stops accepting connections, closes idle ones, lets exchanges in flight finish, and returns when all
// connections are closed. When ctx ends first it breaks off what is left and returns ctx's error.
func (p *Proxy) Shutdown(ctx context.Context) error {
	p.stopAccepting()
	p.sweepConnections()

	finished := make(chan struct{})
	go func() {
		p.running.Wait()
		close(finished)
	}()
	var err error
	select {
	case <-finished:
	case <-ctx.Done():
		err = fmt.Errorf("exchanges were broken off: %w", context.Cause(ctx))
		p.stop()
		for again := true; again; {
			p.breakOff()
			select {
			case <-finished:
				again = false
			case <-time.After(10 * time.Millisecond): // Connections that were between two waits have not noticed yet.
			}
		}
	}
	p.stop()
	p.sweeper.Wait()
	p.workers.close()
	p.env.Exchanges.SweepFailures()
	p.crowd.close()
	p.unbound.Close()
	p.narrowed.Close()
	p.pools.Close()
	p.protocols.close()
	return err
}

func (p *Proxy) stopAccepting() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.env.Draining.Store(true)
	for number, l := range p.listeners {
		l.close()
		delete(p.listeners, number)
	}
	p.endSteering()
	for at, l := range p.resources.listeners {
		l.close()
		delete(p.resources.listeners, at)
	}
}

// breakOff ends the waits of all connections.
func (p *Proxy) breakOff() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.connections {
		c.BreakOff()
	}
}

// add registers a connection. One that is accepted just as the proxy shuts down is served too: its client may have sent a
// request already. A connection that is not welcome is not registered. full means that no further one may be accepted until
// there is room.
func (p *Proxy) add(c *downstream.Conn) (welcome, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.crowd.enter(c) {
		return false, false
	}
	p.connections[c] = struct{}{}
	p.open.Store(int64(len(p.connections)))
	p.running.Add(1) // The accept loop, which calls this, is still running, so no Wait has returned.
	return true, p.crowd.over(len(p.connections)) > 0
}

func (p *Proxy) remove(c *downstream.Conn) {
	p.mu.Lock()
	delete(p.connections, c)
	p.open.Store(int64(len(p.connections)))
	p.crowd.leave(c, len(p.connections))
	p.mu.Unlock()
	p.running.Done()
}

// http2Config bounds HTTP/2. A client may have 250 streams. The proxy holds up to 128 KB of each request and 8 MB of all of them;
// it holds 16 KB of each response, and 2 MB more for all of them together.
func (p *Proxy) http2Config() wirehttp2.Config {
	return wirehttp2.Config{
		Now:             p.env.Clock.Now,
		MaxStreams:      250,
		StreamWindow:    128 << 10,
		ConnWindow:      8 << 20,
		TargetWindow:    16 << 10,
		MaxTargetWindow: 128 << 10,
		Allowance:       2 << 20,
		MaxHeadBytes:    wirehttp1.MaxHeadBytes,
		HeadTimeout:     p.cfg.HeadTimeout,
		StallTimeout:    p.cfg.IdleTimeout,
	}
}

// Addr returns the address that is bound for a listener's port, or nil.
func (p *Proxy) Addr(listenerPort int) net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.listeners[listenerPort]; l != nil {
		return l.net.Addr()
	}
	return nil
}
