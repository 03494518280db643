package upstream

import (
	"context"
	"net/netip"
	"time"

	"trellis/internal/proxy/socket"
)

// Begin begins a connection to an address that does not belong to a target group, and returns its socket, which the caller
// waits for and gives back to End. It waits for a place if there is none. The error is a *DialError.
func (p *Pools) Begin(ctx context.Context, address netip.AddrPort, speaksFirst bool) (fd int, err error) {
	entered := p.room.tryEnter()
	if !entered || p.cfg.Dialer.Waits(address) {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.cfg.DialTimeout)
		defer cancel()
	}
	if !entered {
		if err := p.room.enter(ctx); err != nil {
			return -1, &DialError{address, err}
		}
	}
	if fd, err = p.cfg.Dialer.Begin(ctx, address, speaksFirst); err != nil {
		p.room.leave()
		return -1, &DialError{address, err}
	}
	return fd, nil
}

// DialTimeout is how long connecting may take.
func (p *Pools) DialTimeout() time.Duration { return p.cfg.DialTimeout }

// End closes a connection that Begin has begun, by a reset if the target must see that it was no orderly end.
func (p *Pools) End(fd int, reset bool) {
	socket.Close(uintptr(fd), reset)
	p.room.leave()
}
