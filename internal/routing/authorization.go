package routing

import (
	"net/netip"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/shape"
)

// Arrival is a request that has come for a service, as auth policies see it.
type Arrival struct {
	// Caller is who signed the request; the zero Caller is anonymous. Identity are the caller's own policies.
	Caller   policy.Caller
	Identity policy.Set
	// Request is the HTTP request, and nil for a connection that is passed through. Query is its query, without the
	// question mark.
	Request *Request
	Query   []byte
	// SourceVpc is the VPC that From returned; nil stands for Network.Source.
	SourceVpc *Source
	// Source is the client's address. Secure reports that the client speaks TLS.
	Source netip.Addr
	Secure bool
	Now    time.Time

	// Question is memory for asking the policies, used for one arrival after another. If it is nil, it is allocated.
	Question *Question
}

// Question is how policies are asked about an arrival.
type Question struct {
	asked   policy.Request
	traffic policy.Traffic
	memory  policy.TrafficMemory
}

// NeedsAuthorization reports whether requests need a policy that allows them: that of the service, of the service network,
// or of both.
func (s *Service) NeedsAuthorization() bool {
	return s.guard.On || s.Network.guard.Load().On
}

// access returns the policies that decide about a request.
func (s *Service) access(a *Arrival) policy.Access {
	return policy.Access{Network: *s.Network.guard.Load(), Service: s.guard, Identity: a.Identity}
}

// Authorize decides whether a request may pass. It allocates nothing.
func (s *Service) Authorize(a *Arrival) policy.Verdict {
	access := s.access(a)
	return access.Decide(s.ask(a))
}

// Refusal returns the body of the response with status 403 for a verdict about a request.
func (s *Service) Refusal(a *Arrival, verdict policy.Verdict) string {
	return policy.RefusalBody(s.ask(a), verdict)
}

// ExplainAuthorization decides again, and says why.
func (s *Service) ExplainAuthorization(a *Arrival) policy.Explanation {
	access := s.access(a)
	return access.Explain(s.ask(a))
}

// ask puts a request as policies see it.
func (s *Service) ask(a *Arrival) *policy.Request {
	source := a.SourceVpc
	if source == nil {
		source = s.Network.Source()
	}
	if a.Question == nil {
		a.Question = new(Question)
	}
	q := a.Question
	q.memory.Reset()
	q.traffic = policy.Traffic{
		Port: s.port, ServiceARN: s.ARN, NetworkARN: s.NetworkARN, Region: s.Region, Tags: s.tags,
		SourceVpc: source.VpcID, SourceVpcOwner: source.Account, Source: a.Source, Secure: a.Secure, Memory: &q.memory,
	}
	q.asked = policy.Request{
		Caller: a.Caller, Action: policy.ActionConnect, Resource: s.ARN, Now: a.Now, Values: &q.traffic,
	}
	if a.Request != nil {
		q.traffic.Method, q.traffic.Path = policy.View(a.Request.Method), policy.View(a.Request.Path)
		q.traffic.Query, q.traffic.Headers = policy.View(a.Query), a.Request.Headers
		q.asked.Action, q.asked.Path = policy.ActionInvoke, q.traffic.Path
	}
	return &q.asked
}

// authPolicy is the policy that is attached to a service or service network.
type authPolicy struct {
	record *lattice.AuthPolicy // nil if there is none
	// document is the compiled record, made at its first use.
	document *policy.Document
	compiled bool
}

// guard returns what a service or service network requires of requests. A policy that cannot be read allows nothing; another
// version of the program may have stored it.
func (r *Router) guard(p *authPolicy, authType shape.AuthType) policy.Guard {
	if authType != shape.AuthTypeAwsIam {
		return policy.Guard{}
	}
	if p.record != nil && !p.compiled {
		p.compiled = true
		var err error
		if p.document, err = policy.Parse(p.record.Policy); err != nil {
			r.cfg.Log.Error("the auth policy cannot be read; it allows nothing", "key", p.record.Key(), "error", err)
		}
	}
	return policy.Guard{On: true, Policy: p.document}
}
