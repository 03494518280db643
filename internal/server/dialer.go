package server

import (
	"net"

	"trellis/internal/lattice"
	"trellis/internal/outbound"
)

// openDialer makes what connects to targets. A tenant must not reach through a target what trusts this node: its own
// ports, its etcd, and what listens on the loopback or answers on the link.
func (s *Server) openDialer() {
	s.addresses = lattice.AddressPolicy{Local: s.cfg.Dev, Allowed: s.cfg.AllowTargets}
	s.dialer = outbound.New(outbound.Config{Permit: s.addresses.Check, Stores: s.cfg.Etcd.Endpoints})
	s.dialer.SetOwn("API", s.apiListener.Addr())
	s.dialer.SetOwn("admin", s.adminListener.Addr())
}

// dataPortsBound keeps targets from being ports of this node's data plane, where requests would come from the node's own
// address. In dev a service may call another one in that way: there nobody is told apart by address, and requests that go
// round in a circle are noticed.
func (s *Server) dataPortsBound(bound []net.Addr) {
	if !s.cfg.Dev {
		s.dialer.SetOwn("data-plane", bound...)
	}
}
