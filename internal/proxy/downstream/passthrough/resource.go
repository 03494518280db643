package passthrough

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/upstream"
	"trellis/internal/routing"
)

// Resources is what connections to resources need beyond what other connections do.
type Resources struct {
	// Pools connects to targets.
	Pools *upstream.Pools
	// Resolve returns the addresses of a target that has a name.
	Resolve func(ctx context.Context, target *routing.ResourceTarget) ([]netip.Addr, error)
	// Failed is told of connections that did not come to their target, or not to an orderly end. It must not block.
	Failed func(resource *routing.Resource, client *downstream.Conn, err error)
}

// ServeResource carries a connection to a resource. The client's address and port decide whether it is let in.
func (s *Server) ServeResource(c *downstream.Conn, resource *routing.Resource, with *Resources) {
	route, port := resource.Route(), c.Client.Destination.Port()
	if err := s.reach(c, route, port, with); err != nil {
		c.Break() // The client learns at once, as if the resource itself had refused.
		with.Failed(resource, c, err)
		return
	}
	var received, sent int64
	if failure := s.carry(c, &received, &sent, nil); failure != "" {
		with.Failed(resource, c, &BrokenError{string(failure)})
	}
	c.DropTarget()
}

// BrokenError says that a connection to a resource did not end in the orderly way.
type BrokenError struct{ failure string }

func (e *BrokenError) Error() string { return e.failure }

// reach connects to the target of a resource: to the first of its addresses that can be connected to.
func (s *Server) reach(c *downstream.Conn, route *routing.ResourceRoute, port uint16, with *Resources) error {
	if !route.Takes(int(port)) {
		return fmt.Errorf("port %d is outside the port ranges of %s", port, route.ConfigurationID)
	}
	if _, err := route.Enter(c.Client.Origin, int(port)); err != nil {
		return err
	}
	c.Enter(downstream.Dialing, 0)
	addresses, err := AddressesOf(c.Env.Dialing, &route.Target, with.Resolve)
	if err != nil {
		return err
	}
	var problems []error
	for _, address := range addresses {
		at := netip.AddrPortFrom(address, port)
		if err := route.Leave(at); err != nil {
			problems = append(problems, err)
			continue
		}
		if c.Target, err = with.Pools.Dial(c.Env.Dialing, at); err == nil {
			return nil
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// AddressesOf returns the addresses of a resource's target, of which there is at least one.
func AddressesOf(ctx context.Context, target *routing.ResourceTarget, resolve func(context.Context, *routing.ResourceTarget) ([]netip.Addr, error)) ([]netip.Addr, error) {
	switch {
	case target.Problem != "":
		return nil, errors.New(target.Problem)
	case target.Address.IsValid():
		return []netip.Addr{target.Address}, nil
	case resolve == nil:
		return nil, fmt.Errorf("%s cannot be resolved: there is no resolver", target.Name)
	}
	addresses, err := resolve(ctx, target)
	if err == nil && len(addresses) == 0 {
		err = fmt.Errorf("%s has no address of the family %s", target.Name, target.Family)
	}
	return addresses, err
}
