package exchange

import (
	"bytes"
	"errors"

	"trellis/internal/principal"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// MaxHops is how many times a request may pass through Trellis, on one node or on several. One service may call
// another through its listener, but a request that loops would take connections until there are none left. The request carries
// the number in CDN-Loop (RFC 8586), which unlike Via does not change how targets respond.
const MaxHops = 16

// plan says where an exchange goes, as far as that has been decided. It does not depend on the version of HTTP.
type plan struct {
	Service *routing.Service
	// SourceVpc is the VPC from which the request comes. It is nil if Service is.
	SourceVpc *routing.Source
	// Signer is who has signed the request. It is nil if nobody has.
	Signer  *principal.Principal
	Rule    *routing.Rule
	Forward *routing.Forward
	Target  *routing.Target
}

// follow decides where a request to x.Service goes. It and its head are nil for a connection that is passed through.
func (x *Exchange) follow(head *http1.Request, request *routing.Request) (r Refusal, refused bool) {
	if r, refused := x.authorize(head); refused {
		return r, true
	}
	x.Rule = x.Service.Route(request)
	if x.Rule.FixedStatus != 0 {
		return fixedResponse(x.Rule.FixedStatus), true
	}
	if x.Forward = x.Rule.Choose(); x.Forward == nil {
		return noTarget, true
	}
	x.Forward.TargetGroup.Exchanges.Begin(x.shared.Shards.Here())
	if !x.Forward.TargetGroup.Carries(x.version, request) {
		return noVersionForThis, true
	}
	if x.use(x.Forward.TargetGroup.Next()); x.Target == nil {
		return noTarget, true
	}
	if head != nil && head.Hops >= MaxHops {
		return Loop, true
	}
	return Refusal{}, false
}

// useOther chooses another target of the same target group. It reports whether there is one.
func (x *Exchange) useOther() bool {
	next := x.Forward.TargetGroup.NextOther(x.Target)
	if next == nil {
		return false
	}
	x.use(next)
	return true
}

// use gives the exchange to a target, and ends the use of the one before. Finish calls it with nil, to end the use of the last
// one. So an algorithm that balances load can count here.
func (x *Exchange) use(next *routing.Target) { x.Target = next }

// serviceFor returns the service that a request is for, or the refusal if there is none.
func (x *Exchange) serviceFor(client *Client, host []byte) (to plan, r Refusal, refused bool) {
	service, r, refused := serviceNamed(client.Port, client.ServerName, host)
	if refused {
		return plan{}, r, true
	}
	if to.Service, to.SourceVpc = service.From(client.Origin); to.Service == nil {
		return plan{}, x.unreachable(service, client), true
	}
	return to, Refusal{}, false
}

// unreachable returns the refusal of a request to a service that the client cannot reach. It finds out the exact reason only
// if somebody reads it.
func (x *Exchange) unreachable(service *routing.Service, client *Client) Refusal {
	r := unreachable
	if x.shared.tellsWhy() {
		r.Problem = errors.New(service.Unreachable(client.Origin))
	}
	return r
}

// serviceNamed returns the service that a host names, for any client.
func serviceNamed(port *routing.Port, serverName, host []byte) (service *routing.Service, r Refusal, refused bool) {
	service = port.Lookup(host)
	if serverName == nil {
		switch {
		case service == nil:
		case service.Protocol == shape.ListenerProtocolHttp:
			return service, Refusal{}, false
		case service.Protocol == shape.ListenerProtocolHttps:
			return nil, plainToHTTPS, true
		}
		return nil, unknownHost, true
	}
	// TLS has selected the service (https://docs.aws.amazon.com/vpc-lattice/latest/ug/https-listeners.html), which may have
	// changed since. A host that leads to another service cannot be asked for here; one that leads nowhere is left to the
	// target.
	named := service
	if !bytes.Equal(host, serverName) {
		service = port.Lookup(serverName)
	}
	switch {
	case service == nil || service.Protocol != shape.ListenerProtocolHttps:
		return nil, unknownHost, true
	case named != nil && named.ListenerARN != service.ListenerARN:
		return nil, misdirected, true
	}
	return service, Refusal{}, false
}
