package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"trellis/internal/dns"
	"trellis/internal/lattice"
	"trellis/internal/routing"
)

// hosts gives package dns the names that routing knows.
type hosts struct{ router *routing.Router }

func (h hosts) Find(name string, client netip.Addr) (dns.Entry, bool) {
	// Only clients with access to a private name of a resource see it. For them it takes precedence over other uses of the
	// name (UG resource-configuration).
	if addresses, ok := h.router.ResourceName(name, client); ok {
		return dns.Entry{Addresses: addresses}, true
	}
	host, ok := h.router.Host(name)
	return dns.Entry{Canonical: host.Generated}, ok
}

// listedName is a name in the response of /names.
type listedName struct {
	Name      string       `json:"name"`
	Canonical string       `json:"canonical,omitempty"`
	Addresses []netip.Addr `json:"addresses"`
}

// list returns all names in alphabetical order, as local programs see them. own are the addresses of the data plane.
func (h hosts) list(own []netip.Addr) []listedName {
	listed := []listedName{}
	names := slices.Sorted(slices.Values(append(h.router.HostNames(), h.router.ResourceNames()...)))
	for _, name := range slices.Compact(names) {
		found, ok := h.Find(name, netip.IPv6Loopback())
		if !ok {
			continue // The name was removed meanwhile, or is not for local programs.
		}
		addresses := found.Addresses
		if len(addresses) == 0 {
			addresses = own
		}
		listed = append(listed, listedName{name, found.Canonical, addresses})
	}
	return listed
}

// listNames responds with the names of this node, for `trellis dns`.
func (s *Server) listNames(w http.ResponseWriter, r *http.Request) {
	own := dataAddresses(s.cfg.DataAddr)
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); len(own) == 0 && ok {
		own = []netip.Addr{local.AddrPort().Addr().Unmap()} // The address of this request's port, as in DNS.
	}
	answer := struct {
		DNS   string       `json:"dns,omitempty"`
		Zones []string     `json:"zones"`
		Names []listedName `json:"names"`
	}{Zones: s.zones(), Names: hosts{s.router}.list(own)}
	if server := s.names.server.Load(); server != nil {
		answer.DNS = server.Addr().String()
	}
	writeJSON(w, http.StatusOK, answer)
}

// zones returns the zones of generated names.
func (s *Server) zones() []string {
	regions := s.cfg.Regions
	if len(regions) == 0 { // dev accepts any Region.
		regions = []string{s.cfg.Region}
	}
	var zones []string
	for _, region := range regions {
		zones = append(zones, lattice.ServiceNameKind+"."+region+"."+s.cfg.Domain, lattice.ResourceNameKind+"."+region+"."+s.cfg.Domain)
	}
	return zones
}

// bindAgain is the pause before another attempt to bind the port of DNS.
const bindAgain = 100 * time.Millisecond

// names runs the DNS server for the names of services.
type names struct {
	cfg    dns.Config
	off    bool                       // not configured
	server atomic.Pointer[dns.Server] // nil until its port is bound
	// where tells the operator at the start at which address names are answered.
	where string
}

// openNames binds the port of DNS, if one is configured.
func (s *Server) openNames(ctx context.Context) error {
	n := &names{off: s.cfg.DNSAddr == "none"}
	s.names = n
	if n.off {
		return nil
	}
	n.cfg = dns.Config{
		Address:   netip.MustParseAddrPort(s.cfg.DNSAddr), // Package configuration has checked the address.
		Domain:    s.cfg.Domain,
		Names:     hosts{s.router},
		Addresses: dataAddresses(s.cfg.DataAddr),
		Forward:   s.cfg.DNSForward,
		Log:       s.log.With("part", "dns"),
	}
	s.atClose(n.close)
	server, err := dns.Listen(ctx, n.cfg)
	if err != nil {
		n.where = "not yet: " + n.cfg.Address.String() + " cannot be bound"
		n.cfg.Log.Warn("names are not answered: the port of --dns-addr cannot be bound; it is tried again until it can", "address", n.cfg.Address.String(), "error", err)
		return nil
	}
	n.server.Store(server)
	n.where = server.Addr().String() + " (DNS)"
	return nil
}

// address is where names are answered, or nothing.
func (n *names) address() string {
	if server := n.server.Load(); server != nil {
		return server.Addr().String()
	}
	return ""
}

// close closes the port, unless serve has closed it already.
func (n *names) close() error {
	server := n.server.Load()
	if server == nil {
		return nil
	}
	if err := server.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// dataAddresses returns what names lead to. Without any it is the address that the query was sent to.
func dataAddresses(dataAddr string) []netip.Addr {
	if address, err := netip.ParseAddr(dataAddr); err == nil && !address.IsUnspecified() {
		return []netip.Addr{address.Unmap()}
	}
	return nil
}

// serve answers names until ctx ends. A port that cannot be bound stops nothing else: it is tried again and again.
// In an upgrade that is how the new process gets it from the old one.
func (n *names) serve(ctx context.Context) error {
	if n.off {
		return nil
	}
	server := n.server.Load()
	for server == nil {
		select {
		case <-time.After(bindAgain):
		case <-ctx.Done():
			return nil
		}
		if server, _ = dns.Listen(ctx, n.cfg); server != nil {
			n.server.Store(server)
		}
	}
	n.cfg.Log.Info("names are answered", "address", server.Addr().String())
	return server.Serve(ctx)
}
