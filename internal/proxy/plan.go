package proxy

import (
	"bytes"

	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// plan is where a request goes, or why it goes nowhere. It does not depend on the version of HTTP.
type plan struct {
	service *routing.Service
	rule    *routing.Rule
	forward *routing.Forward
	target  *routing.Target
	// refused says that the answer is refusal.
	refused bool
	refusal refusal
}

// The versions of HTTP that clients speak.
const (
	http11 = routing.HTTP1
	http20 = routing.HTTP2
)

// choose finds out where a request on a port goes. The server name is that of the TLS connection; nil if there is none.
func (pl *plan) choose(port *routing.Port, serverName []byte, spoken routing.Version, head *http1.Request, request *routing.Request) {
	*pl = plan{}
	service, refusal := serviceFor(port, serverName, head.Host)
	if refusal != nil {
		pl.refuse(*refusal)
		return
	}
	pl.follow(service, spoken, request)
	if !pl.refused && head.Hops >= maxHops {
		pl.refuse(loop)
	}
}

// follow finds out where a request to a service goes. It is nil on a TLS_PASSTHROUGH listener.
func (pl *plan) follow(service *routing.Service, spoken routing.Version, request *routing.Request) {
	pl.service = service
	if service.NeedsAuthorization() {
		pl.refuse(notAuthorized)
		return
	}
	pl.rule = service.Route(request)
	if pl.rule.FixedStatus != 0 {
		pl.refuse(fixedResponse(pl.rule.FixedStatus))
		return
	}
	pl.forward = pl.rule.Choose()
	if pl.forward == nil {
		pl.refuse(noTarget)
		return
	}
	if !pl.forward.TargetGroup.Carries(spoken, request) {
		pl.refuse(noVersionForThis)
		return
	}
	if pl.target = pl.forward.TargetGroup.Next(); pl.target == nil {
		pl.refuse(noTarget)
	}
}

// serviceFor returns the service that a request is for, or the answer if there is none.
func serviceFor(port *routing.Port, serverName, host []byte) (*routing.Service, *refusal) {
	service := port.Lookup(host)
	if serverName == nil {
		switch {
		case service == nil || service.Protocol == shape.ListenerProtocolTlsPassthrough:
			return nil, &unknownHost
		case service.Protocol == shape.ListenerProtocolHttps:
			return nil, &plainToHTTPS
		}
		return service, nil
	}
	// TLS has selected the service (UG https-listeners), which may have changed since. A host that leads to another one
	// is asked for where it cannot be; one that leads nowhere is the target's affair.
	named := service
	if !bytes.Equal(host, serverName) {
		service = port.Lookup(serverName)
	}
	switch {
	case service == nil || service.Protocol != shape.ListenerProtocolHttps:
		return nil, &unknownHost
	case named != nil && named.ListenerARN != service.ListenerARN:
		return nil, &misdirected
	}
	return service, nil
}

// chooseOther chooses another target of the same target group. It reports whether there is one.
func (pl *plan) chooseOther() bool {
	next := pl.forward.TargetGroup.NextOther(pl.target)
	if next != nil {
		pl.target = next
	}
	return next != nil
}

func (pl *plan) refuse(r refusal) { pl.refused, pl.refusal = true, r }
