package passthrough

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/upstream"
	"trellis/internal/routing"
	"trellis/internal/tally"
)

// Resources has what only connections to resources need.
type Resources struct {
	// Pools connects to targets.
	Pools *upstream.Pools
	// Resolve returns the addresses of a target that has a name.
	Resolve func(ctx context.Context, target *routing.ResourceTarget) ([]netip.Addr, error)
	// Log gets a record of each connection, once it is made or cannot be. Nil means that nobody wants any.
	Log accesslog.ResourceLog
	// Failed is called for connections that did not reach their target, or did not end in order. It must not block.
	Failed func(resource *routing.Resource, client *downstream.Conn, err error)
}

// ServeResource carries a connection to a resource. The client's address and port decide whether it is let in.
func (s *Server) ServeResource(c *downstream.Conn, resource *routing.Resource, with *Resources) {
	began, counts, shards := time.Now(), &resource.Exchanges, s.env.Exchanges.Shards
	counts.Begin(shards.Here())
	route := resource.Route()
	r := accesslog.ResourceRecord{
		Start: began, NetworkARN: route.NetworkARN, AssociationID: route.AssociationID, EndpointID: route.EndpointID,
		ConfigurationARN: route.ConfigurationARN, Name: route.ConfigurationName, Source: c.Client.Source, Destination: c.Client.Destination,
		Failure: accesslog.InternalError, // of a panic
	}
	tracer := s.env.Exchanges.Tracer
	traced := tracer != nil && tracer.Samples(nil)
	defer func() {
		r.Duration = time.Since(began)
		counts.End(shards.Here(), tally.NewEnd(tally.Passed, r.Duration, r.Failure.Number()))
		if traced {
			tracer.TraceResource(&r)
		}
	}()
	told := false
	tell := func() {
		if log := with.Log; !told && log != nil && log.WantsResource(route.AccessLogs()) {
			log.WriteResource(&r, route.AccessLogs())
		}
		told = true
	}
	r.Failure = s.admit(c, route, &r)
	if r.Problem == nil {
		r.Failure, r.Problem = s.reach(c, route, with, way{
			received: func(n int) { counts.Moved(shards.Here(), int64(n), 0); r.Received += int64(n) },
			sent:     func(n int) { counts.Moved(shards.Here(), 0, int64(n)); r.Sent += int64(n) },
			connected: func(gateway, resource netip.AddrPort) {
				r.Gateway, r.Resource = gateway, resource
				tell()
			},
		})
	}
	tell()
	switch {
	case r.Problem != nil:
		c.Break() // The client learns at once, as if the resource itself had refused.
		with.Failed(resource, c, r.Problem)
	case r.Failure != "":
		with.Failed(resource, c, &BrokenError{string(r.Failure)})
	}
	c.DropTarget()
}

// way is a connection to a resource as its record and its counters see it.
type way struct {
	received, sent func(n int) // called with the bytes from and to the client
	connected      func(gateway, resource netip.AddrPort)
}

// BrokenError says that a connection to a resource did not end in order.
type BrokenError struct{ failure string }

func (e *BrokenError) Error() string { return e.failure }

// admit decides whether the client is let in. If not, it notes the problem in the record, and returns how the failure is
// counted.
func (s *Server) admit(c *downstream.Conn, route *routing.ResourceRoute, r *accesslog.ResourceRecord) accesslog.Failure {
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
	return ""
}

// reach connects to the target of a resource, to the first of its addresses that can be connected to, and moves bytes until both
// sides have ended. It returns why the connection did not end in order, or nil. The error says why there was no connection.
func (s *Server) reach(c *downstream.Conn, route *routing.ResourceRoute, with *Resources, w way) (accesslog.Failure, error) {
	addresses, err := AddressesOf(c.Env.Dialing, &route.Target, with.Resolve)
	if err != nil {
		return accesslog.TargetConnectionError, err
	}
	var problems []error
	for _, address := range addresses {
		at := netip.AddrPortFrom(address, c.Client.Destination.Port())
		if err := route.Leave(at); err != nil {
			problems = append(problems, err)
			continue
		}
		o, err := s.carryTo(c, at, with.Pools, w)
		if err == nil {
			if o.broken() != "" {
				c.Break()
			}
			return o.failure(), nil
		}
		problems = append(problems, err)
		if o.why > downstream.CauseTimeout {
			break
		}
	}
	return accesslog.TargetConnectionError, errors.Join(problems...)
}

// carryTo connects to an address, and has bytes move both ways until both sides have ended. The error says why there was no
// connection.
func (s *Server) carryTo(c *downstream.Conn, at netip.AddrPort, pools *upstream.Pools, w way) (o outcome, err error) {
	if s.loops.exist() {
		return s.loops.carryTo(c, at, pools, w)
	}
	if c.Target, err = pools.Dial(c.Env.Dialing, at); err != nil {
		return o, err
	}
	target := c.Target.Transport()
	w.connected(socket.AddressOf(target.LocalAddr()), at)
	if o = s.bothWays(c, w.received, w.sent); o.broken() != "" {
		target.SetLinger(0)
	}
	return o, nil
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
