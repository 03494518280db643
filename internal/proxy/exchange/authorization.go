package exchange

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"trellis/internal/accesslog"
	"trellis/internal/caller"
	"trellis/internal/policy"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
	"trellis/internal/sigv4"
)

// arrival is a request as auth policies see it, with the memory for it. Exchanges borrow one while they need it; most never do.
type arrival struct {
	routing.Arrival
	request  routing.Request
	question routing.Question
}

// authorize decides whether a request to x.Service may go on, before any rule is looked at. No other code does. The request's
// head is nil for a connection that is passed through, whose caller is always anonymous
// (https://docs.aws.amazon.com/vpc-lattice/latest/ug/tls-listeners.html).
func (x *Exchange) authorize(head *http1.Request) (r Refusal, refused bool) {
	if x.shared.Callers != nil && head != nil && isSigned(head) {
		// A signature is checked whether or not a policy asks for one (UG sigv4-authenticated-requests).
		var err error
		if x.Signer, err = x.shared.Callers.Identify(signed(head), x.Service.Region); err != nil {
			return x.unauthenticated(err), true
		}
	}
	if !x.Service.NeedsAuthorization() {
		return Refusal{}, false
	}
	x.caller = accesslog.Caller{ResolvedUser: "Anonymous"}
	x.Record.Caller = &x.caller

	a := x.shared.arrivals.Get().(*arrival)
	defer x.shared.arrivals.Put(a)
	a.Arrival = routing.Arrival{SourceVpc: x.SourceVpc, Source: x.client.Source.Addr(), Secure: x.client.TLS != nil, Now: x.shared.timeOf(x.began), Question: &a.question}
	if who := x.Signer; who != nil {
		a.Caller, a.Identity = who.Caller(), who.Policies
		x.caller.ResolvedUser, x.caller.Principal, x.caller.PrincipalTags = who.ARN, who.ARN, who.Tags
		x.caller.PrincipalOrgID = a.Caller.OrgID
	}
	if head != nil {
		a.request = routing.Request{Method: head.Method, Path: head.Path, Headers: head}
		a.Request, a.Query = &a.request, query(head)
	}
	verdict := x.Service.Authorize(&a.Arrival)
	if verdict.Allowed() {
		return Refusal{}, false
	}
	return x.denied(a, verdict), true
}

// isSigned reports whether a request carries a signature, or tries to.
func isSigned(head *http1.Request) bool {
	r := sigv4.Request{Query: query(head), Headers: head}
	return sigv4.PlaceOf(&r) != sigv4.Nowhere
}

// signed returns what a signature is about.
func signed(head *http1.Request) *sigv4.Request {
	return &sigv4.Request{Method: head.Method, Path: head.Path, Query: query(head), Host: head.Host, Headers: head}
}

// query returns the query of a request without its question mark.
func query(head *http1.Request) []byte {
	if len(head.Query) == 0 {
		return nil
	}
	return head.Query[1:]
}

// denials are the access log's words for the layers.
var denials = [...]accesslog.Denial{
	policy.Network: accesslog.DeniedByNetwork, policy.Service: accesslog.DeniedByService, policy.Identity: accesslog.DeniedByIdentity,
}

// denied returns the refusal of a request that policies do not allow. It finds out the exact reason only if somebody reads it.
func (x *Exchange) denied(a *arrival, verdict policy.Verdict) Refusal {
	x.caller.Denied = denials[verdict.Layer]
	r := Refusal{Status: http.StatusForbidden, Text: x.Service.Refusal(&a.Arrival, verdict), Failure: accesslog.ClientAccessDenied}
	if x.shared.tellsWhy() {
		r.Problem = errors.New(x.Service.ExplainAuthorization(&a.Arrival).Reason)
	}
	return r
}

// unauthenticated returns the refusal of a request whose signature is wrong.
func (x *Exchange) unauthenticated(err error) Refusal {
	x.caller = accesslog.Caller{ResolvedUser: "Unknown"}
	x.Record.Caller = &x.caller
	text := err.Error()
	if refusal, ok := errors.AsType[*caller.Refusal](err); ok {
		text = refusal.Answer() // The client gets this text; the operator gets the whole reason.
	}
	return Refusal{Status: http.StatusForbidden, Text: text, Failure: accesslog.ClientAccessDenied, Problem: err}
}

// tellsWhy reports whether anybody will read the exact reason of a refusal.
func (s *Shared) tellsWhy() bool {
	return s.Explain || s.Log.Enabled(context.Background(), slog.LevelDebug)
}

// explainSignature adds what should have been signed and, if that is known, what was signed, with line ends escaped.
func explainSignature(problem error, add func(name, value string)) {
	refusal, ok := errors.AsType[*caller.Refusal](problem)
	if !ok || refusal.CanonicalRequest == "" {
		return
	}
	add("x-trellis-canonical-request: ", strconv.Quote(refusal.CanonicalRequest))
	add("x-trellis-string-to-sign: ", strconv.Quote(refusal.StringToSign))
	if refusal.SignedCanonicalRequest != "" {
		add("x-trellis-signed-canonical-request: ", strconv.Quote(refusal.SignedCanonicalRequest))
		add("x-trellis-signed-string-to-sign: ", strconv.Quote(refusal.SignedStringToSign))
	}
}
