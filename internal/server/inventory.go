package server

import (
	"crypto/tls"
	"fmt"
	"net/netip"

	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// openInventory reads the inventory file, if there is one. Without, nothing is found in it.
func (s *Server) openInventory() (err error) {
	if s.cfg.Inventory == "" {
		return nil
	}
	if s.inventory, err = inventory.Open(s.cfg.Inventory, s.log.With("part", "inventory")); err != nil {
		return fmt.Errorf("reading the inventory (--inventory): %w", err)
	}
	return nil
}

// resolve finds the address of a target: its id for type IP, and else what the inventory says of the instance or the
// load balancer. Its port is the target's own.
func (s *Server) resolve(group *lattice.TargetGroup, target *lattice.Target) (netip.AddrPort, bool) {
	var address netip.Addr
	switch group.Type {
	case shape.TargetGroupTypeInstance:
		instance, ok := s.inventory.Current().Instance(target.ID)
		if !ok {
			return netip.AddrPort{}, false
		}
		address = instance.Address
	case shape.TargetGroupTypeAlb:
		balancer, ok := s.inventory.Current().LoadBalancer(target.ID)
		if !ok {
			return netip.AddrPort{}, false
		}
		address = balancer.Address
	default:
		return routing.ResolveLiteral(group, target)
	}
	return netip.AddrPortFrom(address, uint16(target.Port)), true
}

// knownCertificate returns the certificate of an ARN that the inventory has.
func (s *Server) knownCertificate(arn string) (*tls.Certificate, bool) {
	certificate, ok := s.inventory.Current().Certificate(arn)
	return certificate.TLS, ok
}
