package server

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"trellis/internal/console"
	"trellis/internal/proxy/downstream/passthrough"
)

// explainTimeout bounds the look-up of a resource's name.
const explainTimeout = 5 * time.Second

// noResourceError says that no resource is reached at an address.
type noResourceError struct{ address netip.Addr }

func (e *noResourceError) Error() string {
	return fmt.Sprintf("address is %s; no resource is reached there", e.address)
}

// explainConnection tells where a connection to an address of a resource would go and why, and what has failed last. Errors say
// what is wrong with the description of the connection.
func (s *Server) explainConnection(ctx context.Context, query url.Values) (e console.ResourceExplanation, err error) {
	address, err := netip.ParseAddr(query.Get("address"))
	if err != nil {
		return e, fmt.Errorf("address is %q; it must be the address of a resource, as DNS gives for its name", query.Get("address"))
	}
	resource, ok := s.router.Resource(address)
	if !ok {
		return e, &noResourceError{address}
	}
	source, err := explainedSource(query)
	if err != nil {
		return e, err
	}
	if !source.IsValid() {
		source = address // As a local program that connects to a loopback address.
	}
	route := resource.Route()
	e = console.ResourceExplanation{
		Address: address, Addresses: resource.Addresses,
		ResourceConfiguration: route.ConfigurationARN, ServiceNetwork: route.NetworkARN, Association: route.AssociationARN,
		VpcEndpoint: route.EndpointID, DomainName: route.DomainName, PrivateDomainName: route.PrivateName, PortRanges: route.Ports,
		ResourceState: s.proxy.ResourceState(resource, address),
	}
	if len(route.Ports) > 0 {
		e.Port = route.Ports[0].From
	}
	if query.Get("port") != "" {
		if e.Port, err = explainedPort(query); err != nil {
			return e, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	vpc, err := route.Enter(s.router.OriginOf(source), e.Port)
	if vpc != nil {
		e.SourceVpc = vpc.VpcARN
	}
	switch {
	case !route.Takes(e.Port):
		e.Problem = fmt.Sprintf("port %d is outside the port ranges of %s", e.Port, route.ConfigurationID)
	case err != nil:
		e.Problem = err.Error()
	default:
		if problem, bad := e.Problems[e.Port]; bad {
			e.Problem = problem
		} else if !e.IsOpen(e.Port) {
			e.Problem = fmt.Sprintf("port %d is not open: %s (docs/resources.md)", e.Port, e.Closed)
		}
		if e.Targets, err = passthrough.AddressesOf(ctx, &route.Target, s.resolveResource); err != nil {
			e.Problem = err.Error()
		}
		for _, target := range e.Targets {
			if err := route.Leave(netip.AddrPortFrom(target, uint16(e.Port))); err != nil {
				e.Problem = err.Error()
			} else if err := s.permitTarget(target); err != nil {
				e.Problem = err.Error()
			}
		}
	}
	return e, nil
}
