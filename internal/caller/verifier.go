// Package caller finds out who calls a service. It checks the signature that a request carries, whatever the service's
// auth type is, and returns the principal behind it, or the exception with which VPC Lattice refuses it. A request
// without a signature has no principal: it is anonymous.
//
// What a principal may do is decided by policies, elsewhere. Invariant: a principal is returned only for a signature that
// was compared with one made from its secret, except for the access keys that Config.Unknown vouches for.
package caller

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"

	"trellis/internal/excerpt"
	"trellis/internal/principal"
	"trellis/internal/sigv4"
)

// service is the name for which requests to services are signed (UG sigv4-authenticated-requests).
const service = "vpc-lattice-svcs"

// Refusal is why a request is refused, with status 403.
type Refusal struct {
	// Exception is AWS's name, such as InvalidSignatureException.
	Exception string
	Message   string
	// If the signature is wrong and Config.Explain is set, Differs says which part of the request differs from what the client
	// has signed. CanonicalRequest and StringToSign are those from which the signature should have been made, and
	// SignedCanonicalRequest and SignedStringToSign those from which it was made, as far as that can be found out.
	Differs                                    string
	CanonicalRequest, StringToSign             string
	SignedCanonicalRequest, SignedStringToSign string
}

// Answer returns the text with which VPC Lattice answers.
func (r *Refusal) Answer() string { return r.Exception + ": " + r.Message }

// Error returns the text for the client, and what differs.
func (r *Refusal) Error() string {
	if r.Differs == "" {
		return r.Answer()
	}
	return r.Answer() + " (" + r.Differs + ")"
}

// The exceptions. Where the text of VPC Lattice is not known, they have that of other services.
const (
	incomplete     = "IncompleteSignatureException"
	invalid        = "InvalidSignatureException"
	unknownClient  = "UnrecognizedClientException"
	expiredToken   = "ExpiredTokenException"
	textMismatch   = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	textUnknown    = "The security token included in the request is invalid."
	textExpired    = "The security token included in the request is expired"
	textPayload    = "Signed payloads are not supported"
	textMissing    = "Missing the '%s' in canonical headers"
	textNotThere   = "'%s' is named as a SignedHeader, but it does not exist in the HTTP request."
	textService    = "Credential should be scoped to correct service: '" + service + "'."
	textRegion     = "Credential should be scoped to a valid region."
	headerPayload  = "x-amz-content-sha256"
	headerRegions  = "x-amz-region-set"
	parameterClaim = "X-Amz-Content-Sha256="
)

func refuse(exception, format string, args ...any) *Refusal {
	return &Refusal{Exception: exception, Message: fmt.Sprintf(format, args...)}
}

// Principals knows who has which access key.
type Principals interface {
	Principal(accessKeyID string) (*principal.Principal, bool)
}

// Config is what a Verifier works with.
type Config struct {
	Principals Principals
	// Unknown returns the principal of an access key that Principals does not know. Signatures with such a key are not compared
	// with anything. Nil means that such keys are refused.
	Unknown func(accessKeyID string) *principal.Principal
	// Explain has refusals say what should have been signed, and what was. They tell the client nothing that it does not know.
	Explain bool
	// Now returns the time. The default is time.Now.
	Now func() time.Time
}

// Verifier checks signatures, for many goroutines at once.
type Verifier struct {
	cfg        Config
	signatures sigv4.Verifier
}

// NewVerifier returns a Verifier.
func NewVerifier(cfg Config) *Verifier {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Verifier{cfg: cfg}
}

// Identify returns who sends a request to a service in a Region, or nil if the request is not signed. The error is a
// *Refusal.
func (v *Verifier) Identify(r *sigv4.Request, region string) (*principal.Principal, error) {
	if sigv4.PlaceOf(r) == sigv4.Nowhere {
		return nil, nil
	}
	s, err := sigv4.Parse(r)
	if err != nil {
		return nil, refuse(incomplete, "%s", err)
	}
	if refusal := check(r, s, region); refusal != nil {
		return nil, refusal
	}
	if refusal := checkTime(s, v.cfg.Now()); refusal != nil {
		return nil, refusal
	}
	who, ok := v.cfg.Principals.Principal(s.AccessKeyID)
	if !ok {
		if v.cfg.Unknown == nil {
			return nil, refuse(unknownClient, textUnknown)
		}
		return v.cfg.Unknown(s.AccessKeyID), nil
	}
	if subtle.ConstantTimeCompare([]byte(who.SessionToken), []byte(s.SessionToken)) == 0 {
		return nil, refuse(unknownClient, textUnknown)
	}
	if !v.signatures.Verify(r, s, who.SecretKey, sigv4.UnsignedPayload, pathForms[:]...) {
		return nil, v.mismatch(r, s, who.SecretKey)
	}
	// A client without the secret must not learn that the key has existed.
	if !who.Expires.IsZero() && !v.cfg.Now().Before(who.Expires) {
		return nil, refuse(expiredToken, textExpired)
	}
	return who, nil
}

func (v *Verifier) mismatch(r *sigv4.Request, s *sigv4.Signature, secret string) *Refusal {
	refusal := refuse(invalid, textMismatch)
	if v.cfg.Explain {
		v.explain(refusal, r, s, secret)
	}
	return refusal
}

// check checks which parts of the request a signature covers, and for which time, Region and service it was made.
func check(r *sigv4.Request, s *sigv4.Signature, region string) *Refusal {
	if err := s.CheckDate(); err != nil {
		return refuse(invalid, "%s", err)
	}
	if s.Service != service {
		return refuse(invalid, textService)
	}
	if s.Algorithm == sigv4.ECDSA {
		if !s.Presigned && !s.Signs(headerRegions) {
			return refuse(incomplete, textMissing, headerRegions)
		}
		if !inRegionSet(s.RegionSet, region) {
			return refuse(invalid, textRegion)
		}
	} else if s.Region != region {
		return refuse(invalid, textRegion)
	}
	if refusal := checkPayload(r, s); refusal != nil {
		return refusal
	}
	for _, name := range s.SignedHeaders {
		if name == "host" {
			continue
		}
		if _, next := r.Headers.Header(name, 0); next < 0 {
			return refuse(incomplete, textNotThere, excerpt.Of(name, excerpt.Shown))
		}
	}
	return nil
}

// checkPayload checks that the signature leaves the body out. A presigned request need not say so.
func checkPayload(r *sigv4.Request, s *sigv4.Signature) *Refusal {
	value, next := r.Headers.Header(headerPayload, 0)
	claimed := next >= 0
	if !s.Presigned && !(claimed && s.Signs(headerPayload)) {
		return refuse(incomplete, textMissing, headerPayload)
	}
	if s.Presigned && !claimed {
		value, claimed = parameter(r.Query, parameterClaim)
	}
	if claimed && string(value) != sigv4.UnsignedPayload {
		return refuse(invalid, textPayload)
	}
	return nil
}

// parameter returns the value of a parameter of a query, which is given with its equals sign.
func parameter(query []byte, name string) (value []byte, ok bool) {
	for part := range bytes.SplitSeq(query, []byte("&")) {
		if value, ok := bytes.CutPrefix(part, []byte(name)); ok {
			return value, true
		}
	}
	return nil, false
}

// inRegionSet reports whether a Region is in a list of Regions with stars for any characters.
func inRegionSet(set, region string) bool {
	for pattern := range strings.SplitSeq(set, ",") {
		if matches(strings.TrimSpace(pattern), region) {
			return true
		}
	}
	return false
}

// matches reports whether a text matches a pattern with stars.
func matches(pattern, text string) bool {
	before, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == text
	}
	if text, found = strings.CutPrefix(text, before); !found {
		return false
	}
	for {
		before, rest, found = strings.Cut(rest, "*")
		if !found {
			return strings.HasSuffix(text, before)
		}
		at := strings.Index(text, before)
		if at < 0 {
			return false
		}
		text = text[at+len(before):]
	}
}

func checkTime(s *sigv4.Signature, now time.Time) *Refusal {
	from, until := s.Validity()
	stamp := func(t time.Time) string { return t.UTC().Format(sigv4.TimeFormat) }
	if now.After(until) {
		life := until.Sub(s.Time)
		span := fmt.Sprintf("%d min.", int(life.Minutes()))
		if s.Presigned {
			span = fmt.Sprintf("%d sec.", int(life.Seconds()))
		}
		return refuse(invalid, "Signature expired: %s is now earlier than %s (%s - %s)", stamp(s.Time), stamp(now.Add(-life)), stamp(now), span)
	}
	if now.Before(from) {
		return refuse(invalid, "Signature not yet current: %s is still later than %s (%s + %d min.)", stamp(s.Time), stamp(now.Add(s.Time.Sub(from))), stamp(now), int(s.Time.Sub(from).Minutes()))
	}
	return nil
}
