package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"

	"trellis/internal/inventory"
	"trellis/internal/inventory/amazon"
	"trellis/internal/lattice"
	"trellis/internal/routing"
)

// openInventory reads the inventory file and the functions of the command line, and asks AWS if the operator wants that.
// Without any of them, the inventory is empty.
func (s *Server) openInventory(ctx context.Context) error {
	functions, err := s.declaredFunctions()
	if err != nil || s.cfg.Inventory == "" && len(functions) == 0 && len(s.cfg.InventoryFrom) == 0 {
		return err
	}
	cfg := inventory.Config{Path: s.cfg.Inventory, Functions: functions, Log: s.log.With("part", "inventory")}
	if services := s.cfg.AskedServices(); len(services) > 0 {
		regions := s.cfg.Regions
		if s.cfg.Dev {
			regions = []string{s.cfg.Region}
		}
		if cfg.Sources, err = amazon.Sources(ctx, amazon.Config{Services: services, Regions: regions}); err != nil {
			return fmt.Errorf("asking AWS (--inventory-from): %w", err)
		}
	}
	if s.inventory, err = inventory.Open(ctx, cfg); err != nil {
		return fmt.Errorf("reading the inventory (--inventory): %w", err)
	}
	s.atClose(func() error { s.inventory.Close(); return nil })
	return nil
}

// resolve finds the place of a target: for instances and load balancers the inventory has it, with the target's own port; for
// others it is the id. An address that was allowed when the target was registered may be forbidden now: the inventory changes,
// and so does --allow-targets from one start to the next.
func (s *Server) resolve(group *lattice.TargetGroup, target *lattice.Target) (routing.Place, error) {
	place, err := s.locate(group, target)
	if err == nil && place.Function == "" {
		err = s.addresses.Check(place.Address.Addr())
	}
	if err != nil {
		return routing.Place{}, err
	}
	return place, nil
}

func (s *Server) locate(group *lattice.TargetGroup, target *lattice.Target) (routing.Place, error) {
	address, ok, err := s.inventory.Current().Locate(group.Type, target.ID)
	if !ok {
		return routing.ResolveLiteral(group, target)
	}
	return routing.Place{Address: netip.AddrPortFrom(address, uint16(target.Port))}, err
}

// knownCertificate returns the certificate of an ARN that the inventory has.
func (s *Server) knownCertificate(arn string) (*tls.Certificate, bool) {
	certificate, ok := s.inventory.Current().Certificate(arn)
	return certificate.TLS, ok
}
