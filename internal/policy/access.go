package policy

// Layer is one of the kinds of policies that must allow a request.
type Layer int

// The layers, in the order in which a refusal is attributed to them (captured at AWS: the network before the service, the
// service before the identity).
const (
	Network Layer = iota
	Service
	Identity
)

func (l Layer) String() string {
	switch l {
	case Network:
		return "network"
	case Service:
		return "service"
	default:
		return "identity"
	}
}

// layers are all of them.
var layers = [...]Layer{Network, Service, Identity}

// Access is everything that decides about a request through the network.
type Access struct {
	// Network and Service are what the service network and the service require.
	Network, Service Guard
	// Identity are the caller's own policies. They do not matter for anonymous callers.
	Identity Set
}

// Guard is what a service network or a service requires of requests.
type Guard struct {
	// On reports that the authorization type is AWS_IAM.
	On bool
	// Policy is the auth policy. Without one, every request is denied.
	Policy *Document
}

// Set is several policies of the same rank, such as those of one caller.
type Set []*Document

// Evaluate returns the joint decision of the policies, and which of them decided, or -1.
func (s Set) Evaluate(r *Request) (Decision, int) {
	decision, at := Decision{ImplicitDeny, -1}, -1
	for i, d := range s {
		switch one := d.Evaluate(r); one.Outcome {
		case ExplicitDeny:
			return one, i
		case Allowed:
			if at < 0 {
				decision, at = one, i
			}
		}
	}
	return decision, at
}

// Verdict is the joint decision of all layers about a request.
type Verdict struct {
	Decision
	// Layer is the layer that denied, and Policy the index of the caller's policy, or -1. If the request is allowed, they are
	// those that were asked last.
	Layer  Layer
	Policy int
}

// Allowed reports whether the request may pass.
func (v Verdict) Allowed() bool { return v.Outcome == Allowed }

// Needed reports whether any layer requires authorization. If none does, the caller's policies do not matter either.
func (a *Access) Needed() bool { return a.Network.On || a.Service.On }

// Decide returns the verdict: every layer that requires authorization must allow, and no layer may deny (UG auth-policies,
// "How authorization works"). An explicit deny of any layer takes precedence over a missing Allow.
func (a *Access) Decide(r *Request) Verdict {
	verdict := Verdict{Decision: Decision{Allowed, -1}, Policy: -1}
	for _, layer := range layers {
		decision, at, asked := a.ask(layer, r)
		if !asked {
			continue
		}
		if decision.Outcome == ExplicitDeny {
			return Verdict{decision, layer, at}
		}
		if verdict.Outcome == Allowed {
			verdict = Verdict{decision, layer, at}
		}
	}
	return verdict
}

// ask returns a layer's decision about a request, if it requires authorization.
func (a *Access) ask(layer Layer, r *Request) (decision Decision, policy int, asked bool) {
	guard := a.Network
	switch layer {
	case Identity:
		if !a.Needed() || r.Caller.Anonymous() {
			return Decision{ImplicitDeny, -1}, -1, false
		}
		decision, policy = a.Identity.Evaluate(r)
		return decision, policy, true
	case Service:
		guard = a.Service
	}
	if !guard.On || guard.Policy == nil {
		return Decision{ImplicitDeny, -1}, -1, guard.On
	}
	return guard.Policy.Evaluate(r), -1, true
}
