package outbound

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// lookupLifetime is how long the addresses of a name are cached, lookupTimeout how long DNS may take.
	lookupLifetime = 30 * time.Second
	lookupTimeout  = 2 * time.Second
)

// store is an endpoint of the etcd cluster. Anyone who reaches it can do anything with the catalog.
type store struct {
	host string
	port uint16

	mu        sync.Mutex // mu guards the fields below.
	addresses []netip.Addr
	looked    time.Time
}

// storesAt returns the stores at endpoints, in the forms that etcd's client takes. It leaves out those that are not TCP: no
// target can be there.
func storesAt(endpoints []string) []*store {
	var stores []*store
	for _, endpoint := range endpoints {
		at := endpoint
		if strings.Contains(endpoint, "://") {
			parsed, err := url.Parse(endpoint)
			if err != nil {
				continue
			}
			at = parsed.Host
		}
		host, service, err := net.SplitHostPort(at)
		if err != nil {
			continue
		}
		port, err := strconv.ParseUint(service, 10, 16)
		if err != nil {
			continue
		}
		stores = append(stores, &store{host: host, port: uint16(port)})
	}
	return stores
}

// isAt reports whether the store is at an address. It is true if that is not known: few targets share the store's port.
func (s *store) isAt(ctx context.Context, d *Dialer, address netip.Addr) bool {
	known := s.resolve(ctx)
	if len(known) == 0 || slices.Contains(known, address) {
		return true
	}
	// A store on this machine may listen at all addresses.
	return slices.ContainsFunc(known, d.nearby.has) && d.nearby.has(address)
}

// resolve returns the addresses of the store: the last known ones, if DNS does not answer.
func (s *store) resolve(ctx context.Context) []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addresses != nil && time.Since(s.looked) < lookupLifetime {
		return s.addresses
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.host)
	if err == nil && len(found) > 0 {
		for i := range found {
			found[i] = found[i].Unmap().WithZone("")
		}
		s.addresses, s.looked = found, time.Now()
	}
	return s.addresses
}
