package proxy

import (
	"context"
	"syscall"
	"time"
)

// Listeners returns the sockets that are bound, by the listeners' port. A process that accepts on one of them by another
// descriptor can go on when the proxy has closed its own.
func (p *Proxy) Listeners() map[int]syscall.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	sockets := make(map[int]syscall.Conn, len(p.listeners))
	for number, l := range p.listeners {
		sockets[number] = l.net.(syscall.Conn)
	}
	return sockets
}

// Retire is Shutdown for a proxy with a successor on the same sockets, which takes the new connections. Clients should not
// notice. So it does not close idle connections at once, since a request may be on its way. It closes each with the response to
// its next request, which says so, or, if none comes within grace, as Shutdown does. Retire calls stopped as soon as it accepts
// no more connections.
func (p *Proxy) Retire(ctx context.Context, grace time.Duration, stopped func()) error {
	p.env.Lenient.Store(true)
	timer := time.AfterFunc(grace, func() { p.env.Lenient.Store(false) }) // The sweeper acts on these.
	defer timer.Stop()
	p.stopAccepting()
	stopped()
	return p.Shutdown(ctx)
}
