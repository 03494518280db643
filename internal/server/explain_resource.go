package server

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/proxy"
	"trellis/internal/proxy/downstream/passthrough"
)

// resourceExplanation is the answer of /explain about an address of a resource.
type resourceExplanation struct {
	Address   netip.Addr   `json:"address"`
	Addresses []netip.Addr `json:"addresses"`
	Port      int          `json:"port,omitempty"`
	// Problem says why a connection would not be made; it is empty if one would.
	Problem string `json:"problem,omitempty"`

	ResourceConfiguration string              `json:"resourceConfiguration"` // ARN
	ServiceNetwork        string              `json:"serviceNetwork,omitempty"`
	Association           string              `json:"association,omitempty"`
	VpcEndpoint           string              `json:"vpcEndpoint,omitempty"`
	DomainName            string              `json:"domainName"`
	PrivateDomainName     string              `json:"privateDomainName,omitempty"`
	PortRanges            []lattice.PortRange `json:"portRanges"`
	SourceVpc             string              `json:"sourceVpc,omitempty"`
	// Targets are the addresses to which a connection would be made, in turn.
	Targets []netip.Addr `json:"targets,omitempty"`

	proxy.ResourceState
}

// explainTimeout bounds the look-up of a resource's name.
const explainTimeout = 5 * time.Second

// explainResource tells where a connection to an address of a resource would go and why, and what has failed last.
func (s *Server) explainResource(w http.ResponseWriter, r *http.Request, text string) {
	query := r.URL.Query()
	address, err := netip.ParseAddr(text)
	if err != nil {
		http.Error(w, fmt.Sprintf("address is %q; it must be the address of a resource, as DNS gives for its name", text), http.StatusBadRequest)
		return
	}
	resource, ok := s.router.Resource(address)
	if !ok {
		http.Error(w, fmt.Sprintf("address is %s; no resource is reached there", address), http.StatusNotFound)
		return
	}
	source := address // As a local program that connects to a loopback address.
	if text := query.Get("source"); text != "" {
		if source, err = netip.ParseAddr(text); err != nil {
			http.Error(w, fmt.Sprintf("source is %q; it must be the client's address", text), http.StatusBadRequest)
			return
		}
	}
	route := resource.Route()
	e := resourceExplanation{
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
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), explainTimeout)
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
	writeJSON(w, http.StatusOK, e)
}
