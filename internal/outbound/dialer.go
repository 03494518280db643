// Package outbound connects this node to targets, for traffic and for health checks alike. It alone decides where the node
// connects to, whatever record or name an address came from, and which TLS it speaks there. It keeps no connections and does
// not know HTTP.
//
// Invariant: no connection is made to an address that Config.Permit refuses, nor to a place where this node listens or
// its etcd cluster does.
package outbound

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Config is what a Dialer is built from.
type Config struct {
	// Permit returns why no target may have an address. Nil permits all.
	Permit func(address netip.Addr) error
	// Stores are the endpoints of the etcd cluster that holds the catalog, as in http://10.0.0.1:2379.
	Stores []string
}

// Dialer connects to targets. Its methods may be called from any goroutine.
type Dialer struct {
	cfg    Config
	stores []*store
	own    atomic.Pointer[[]place]
	nearby nearby

	mu sync.Mutex // mu is held while own is replaced.
}

// New returns a Dialer.
func New(cfg Config) *Dialer {
	d := &Dialer{cfg: cfg, stores: storesAt(cfg.Stores)}
	d.own.Store(new([]place))
	return d
}

// Connect opens a TCP connection. The error is a *RefusedError if this node must not connect to the address.
func (d *Dialer) Connect(ctx context.Context, address netip.AddrPort) (*net.TCPConn, error) {
	if err := d.check(ctx, address); err != nil {
		return nil, &RefusedError{Address: address, Err: err}
	}
	// Idle connections are watched by their owners, so TCP's keep-alive probes would be system calls for nothing.
	dialer := net.Dialer{KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// Waits reports whether Connect may have to wait for others before it connects to an address: to find out whether a name of
// the cluster leads there, or which link a zone is.
func (d *Dialer) Waits(address netip.AddrPort) bool {
	if address.Addr().Zone() != "" {
		return true
	}
	for _, s := range d.stores {
		if _, err := netip.ParseAddr(s.host); s.port == address.Port() && err != nil {
			return true
		}
	}
	return false
}

// RefusedError says that this node does not connect to an address.
type RefusedError struct {
	Address netip.AddrPort
	Err     error
}

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// check returns why no connection may be made to an address.
func (d *Dialer) check(ctx context.Context, address netip.AddrPort) error {
	address = canonical(address)
	if d.cfg.Permit != nil {
		if err := d.cfg.Permit(address.Addr()); err != nil {
			return err
		}
	}
	for _, p := range *d.own.Load() {
		if p.address.Port() == address.Port() && d.accepts(p.address.Addr(), address.Addr()) {
			return &ownError{p.what, address}
		}
	}
	for _, s := range d.stores {
		if s.port == address.Port() && s.isAt(ctx, d, address.Addr()) {
			return &ownError{"etcd", address}
		}
	}
	return nil
}

// canonical returns the canonical form of an address.
func canonical(address netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(address.Addr().Unmap().WithZone(""), address.Port())
}
