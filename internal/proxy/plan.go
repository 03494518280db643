package proxy

import (
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

// choose finds out where a request on a port goes.
func (pl *plan) choose(port *routing.Port, protocol shape.ListenerProtocol, host []byte, request *routing.Request) {
	*pl = plan{}
	service := port.Lookup(host)
	if service == nil || service.Protocol != protocol {
		pl.refuse(unknownHost)
		return
	}
	pl.service = service
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
	switch pl.forward.TargetGroup.ProtocolVersion {
	case shape.TargetGroupProtocolVersionHttp2, shape.TargetGroupProtocolVersionGrpc:
		// These can only be reached through an HTTPS listener (UG target-groups).
		pl.refuse(noVersionForThis)
		return
	}
	if pl.target = pl.forward.TargetGroup.Next(); pl.target == nil {
		pl.refuse(noTarget)
	}
}

// chooseOther chooses another target of the same target group. It says whether there is one.
func (pl *plan) chooseOther() bool {
	failed := pl.target
	// The next one by turn may be the same again when others take turns at the same time.
	for range 3 {
		if next := pl.forward.TargetGroup.Next(); next != nil && next != failed {
			pl.target = next
			return true
		}
	}
	return false
}

func (pl *plan) refuse(r refusal) { pl.refused, pl.refusal = true, r }
