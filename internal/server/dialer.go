package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"trellis/internal/lattice"
	"trellis/internal/outbound"
	"trellis/internal/routing"
)

// openDialer makes the dialer for targets. A tenant must not use a target to reach services that trust this node: its own
// ports, its etcd, and services on the loopback or the link.
func (s *Server) openDialer() {
	s.addresses = lattice.AddressPolicy{Local: s.cfg.Dev, Allowed: s.cfg.AllowTargets}
	s.dialer = outbound.New(outbound.Config{Permit: s.permitTarget, Stores: s.cfg.Etcd.Endpoints})
	var server netip.AddrPort
	if s.cfg.DNSResolver != "" {
		resolved, err := net.ResolveUDPAddr("udp", s.cfg.DNSResolver) // Package configuration has checked the value.
		if err == nil {
			server = resolved.AddrPort()
		}
	}
	s.resolver = outbound.NewResolver(server)
	s.dialer.SetOwn("API", s.apiListener.Addr())
	s.dialer.SetOwn("admin", s.adminListener.Addr())
}

// permitTarget returns why no target may have an address. An address in --resource-range would lead to this node again.
func (s *Server) permitTarget(address netip.Addr) error {
	if s.cfg.ResourceRange.Contains(address) {
		return fmt.Errorf("%s lies in --resource-range, whose addresses lead to resources and cannot be a target's", address)
	}
	return s.addresses.Check(address)
}

// resolveResource returns the addresses of a resource that has a name.
func (s *Server) resolveResource(ctx context.Context, target *routing.ResourceTarget) ([]netip.Addr, error) {
	return s.resolver.Lookup(ctx, target.Name, target.Family, target.Servers)
}

// dataPortsBound keeps targets from being ports of this node's data plane, where requests would come from the node's own
// address. In dev a service may call another one in that way: there, addresses do not tell clients apart, and requests that
// loop are detected.
func (s *Server) dataPortsBound(bound []net.Addr) {
	if !s.cfg.Dev {
		s.dialer.SetOwn("data-plane", bound...)
	}
}
