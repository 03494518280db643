package passthrough

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/upstream"
	"trellis/internal/routing"
	"trellis/internal/tally"
)

// Resources is what connections to resources need beyond what other connections do.
type Resources struct {
	// Pools connects to targets.
	Pools *upstream.Pools
	// Resolve returns the addresses of a target that has a name.
	Resolve func(ctx context.Context, target *routing.ResourceTarget) ([]netip.Addr, error)
	// Log gets a record of each connection, once it is made or cannot be. Nil means that nobody wants any.
	Log accesslog.ResourceLog
	// Failed is told of connections that did not come to their target, or not to an orderly end. It must not block.
	Failed func(resource *routing.Resource, client *downstream.Conn, err error)
}

// ServeResource carries a connection to a resource. The client's address and port decide whether it is let in.
func (s *Server) ServeResource(c *downstream.Conn, resource *routing.Resource, with *Resources) {
	began, counts, shards := time.Now(), &resource.Exchanges, s.env.Exchanges.Shards
	failure := accesslog.InternalError // of a panic
	counts.Begin(shards.Here())
	defer func() { counts.End(shards.Here(), tally.Passed, time.Since(began), failure.Number()) }()
	route := resource.Route()
	r := accesslog.ResourceRecord{
		Start: began, NetworkARN: route.NetworkARN, AssociationID: route.AssociationID, EndpointID: route.EndpointID,
		ConfigurationARN: route.ConfigurationARN, Name: route.ConfigurationName, Source: c.Client.Source, Destination: c.Client.Destination,
	}
	refused := s.reach(c, route, &r, with)
	if log := with.Log; log != nil && log.WantsResource(route.AccessLogs()) {
		log.WriteResource(&r, route.AccessLogs())
	}
	if r.Problem != nil {
		failure = refused
		c.Break() // The client learns at once, as if the resource itself had refused.
		with.Failed(resource, c, r.Problem)
		return
	}
	failure = s.carry(c,
		func(n int) { counts.Moved(shards.Here(), int64(n), 0) },
		func(n int) { counts.Moved(shards.Here(), 0, int64(n)) }, nil)
	if failure != "" {
		with.Failed(resource, c, &BrokenError{string(failure)})
	}
	c.DropTarget()
}

// BrokenError says that a connection to a resource did not end in the orderly way.
type BrokenError struct{ failure string }

func (e *BrokenError) Error() string { return e.failure }

// reach connects to the target of a resource: to the first of its addresses that can be connected to. It notes in the record
// which one that is, or else what the problem was, and returns how the failure is counted.
func (s *Server) reach(c *downstream.Conn, route *routing.ResourceRoute, r *accesslog.ResourceRecord, with *Resources) accesslog.Failure {
	port := c.Client.Destination.Port()
	if !route.Takes(int(port)) {
		r.Problem = fmt.Errorf("port %d is outside the port ranges of %s", port, route.ConfigurationID)
		return accesslog.ClientAccessDenied
	}
	source, err := route.Enter(c.Client.Origin, int(port))
	if err != nil {
		r.Problem = err
		return accesslog.ClientAccessDenied
	}
	r.SourceVpcARN = source.VpcARN
	c.Enter(downstream.Dialing, 0)
	if r.Problem = s.dial(c, route, port, with); r.Problem != nil {
		return accesslog.TargetConnectionError
	}
	r.Gateway, r.Resource = downstream.AddressOf(c.Target.Transport().LocalAddr()), downstream.AddressOf(c.Target.Transport().RemoteAddr())
	return ""
}

func (s *Server) dial(c *downstream.Conn, route *routing.ResourceRoute, port uint16, with *Resources) error {
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
