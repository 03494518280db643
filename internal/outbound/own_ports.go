package outbound

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// place is an address and a port at which this node listens.
type place struct {
	what    string
	address netip.AddrPort
}

// ownError says that an address belongs to a part of this node.
type ownError struct {
	what    string
	address netip.AddrPort
}

func (e *ownError) Error() string {
	return fmt.Sprintf("%s is the %s port of this node, which cannot be a target; register the address and port of another program", e.address, e.what)
}

// SetOwn replaces the addresses at which a part of this node listens, such as its API.
func (d *Dialer) SetOwn(what string, addresses ...net.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	places := slices.DeleteFunc(slices.Clone(*d.own.Load()), func(p place) bool { return p.what == what })
	for _, address := range addresses {
		if tcp, ok := address.(*net.TCPAddr); ok {
			places = append(places, place{what, canonical(tcp.AddrPort())})
		}
	}
	d.own.Store(&places)
}

// accepts reports whether a listener at one address gets the connections that are made to another. A connection to the
// unspecified address reaches the loopback.
func (d *Dialer) accepts(listening, to netip.Addr) bool {
	switch {
	case listening == to || to.IsUnspecified():
		return true
	case listening.IsUnspecified():
		return d.nearby.has(to)
	default:
		return false
	}
}

// nearbyLifetime is how long the machine's addresses are cached. Listing them takes the kernel many times as long as
// connecting.
const nearbyLifetime = time.Second

// nearby caches the addresses of this machine.
type nearby struct {
	mu        sync.Mutex // mu guards the fields below.
	addresses map[netip.Addr]bool
	listed    time.Time
}

// has reports whether an address belongs to this machine. It is true if that is not known.
func (n *nearby) has(address netip.Addr) bool {
	if address.IsLoopback() || address.IsUnspecified() {
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.addresses == nil || time.Since(n.listed) > nearbyLifetime {
		list, err := net.InterfaceAddrs()
		if err != nil {
			return true
		}
		n.addresses, n.listed = make(map[netip.Addr]bool, len(list)), time.Now()
		for _, entry := range list {
			if network, err := netip.ParsePrefix(entry.String()); err == nil {
				n.addresses[network.Addr().Unmap().WithZone("")] = true
			}
		}
	}
	return n.addresses[address]
}
