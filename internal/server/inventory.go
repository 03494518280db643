package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"

	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// openInventory reads the inventory file and the functions of the command line, if there are any. Without, nothing is
// found in it.
func (s *Server) openInventory(context.Context) error {
	functions, err := s.declaredFunctions()
	if err != nil || s.cfg.Inventory == "" && len(functions) == 0 {
		return err
	}
	s.inventory, err = inventory.Open(inventory.Config{Path: s.cfg.Inventory, Functions: functions, Log: s.log.With("part", "inventory")})
	if err != nil {
		return fmt.Errorf("reading the inventory (--inventory): %w", err)
	}
	s.atClose(func() error { s.inventory.Close(); return nil })
	return nil
}

// resolve finds the address of a target: its id for type IP, and else what the inventory says of the instance or the
// load balancer. Its port is the target's own. What has been registered may have become an address that no target may
// have: the inventory changes, and so does --allow-targets from one start to the next.
func (s *Server) resolve(group *lattice.TargetGroup, target *lattice.Target) (netip.AddrPort, error) {
	if group.Type == shape.TargetGroupTypeLambda {
		return netip.AddrPort{}, nil // A function is known by its ARN. Whether anybody has it shows when it is invoked.
	}
	at, err := s.locate(group, target)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if err := s.addresses.Check(at.Addr()); err != nil {
		return netip.AddrPort{}, err
	}
	return at, nil
}

func (s *Server) locate(group *lattice.TargetGroup, target *lattice.Target) (netip.AddrPort, error) {
	if group.Type == shape.TargetGroupTypeIp {
		return routing.ResolveLiteral(group, target)
	}
	address, err := s.inventory.Current().Locate(group.Type, target.ID)
	return netip.AddrPortFrom(address, uint16(target.Port)), err
}

// knownCertificate returns the certificate of an ARN that the inventory has.
func (s *Server) knownCertificate(arn string) (*tls.Certificate, bool) {
	certificate, ok := s.inventory.Current().Certificate(arn)
	return certificate.TLS, ok
}
