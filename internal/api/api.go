// Package api is the wire of the Lattice API: it routes a request to its operation, decodes and validates the
// input, authenticates the caller, asks whether it may, keeps to limits, encodes the response or the error, and
// tells the audit log. What is particular to an operation is generated from the published model by cmd/apigen (the
// files *_gen.go).
//
// It does not know what an operation does: that is behind the generated interface Operations, which package
// control implements. Invariant: an operation is called only with an input in which everything that the model
// states (types, required members, bounds, patterns, enums, unions) has been checked.
package api

import (
	"net"
	"net/http"

	"trellis/internal/lattice"
)

// Caller is who calls an operation, as the Authenticator reports it.
type Caller struct {
	Account string
	Region  string
	// Principal is the caller's ARN, and UserID its unique id, as GetCallerIdentity returns them.
	Principal, UserID string
	// AccessKeyID is the key with which the request was signed, if it was. It is no secret.
	AccessKeyID string

	// The handler sets the fields below, with CameBy.

	// RequestID is the UUID that the response carries and the log names.
	RequestID string
	// SourceIP is the address that the request came from.
	SourceIP string
	// Secure says that it came over TLS.
	Secure bool
}

// Scope returns the account and Region in which the call takes place.
func (c Caller) Scope() lattice.Scope {
	return lattice.Scope{Account: c.Account, Region: c.Region}
}

// CameBy notes what the request itself tells of the call. Headers that name an address do not count: anybody can send them.
func (c *Caller) CameBy(r *http.Request, requestID string) {
	c.RequestID, c.Secure = requestID, r.TLS != nil
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		c.SourceIP = host
	}
}

// Authenticator finds out who sent a request.
type Authenticator interface {
	// Authenticate returns the caller, without what the handler sets, or an error: an exception of package shape or an
	// *AuthenticationError. It MUST NOT read r.Body but call body, whose errors it returns unchanged, and only once
	// everything else about the request is right.
	Authenticate(r *http.Request, body func() ([]byte, error)) (Caller, error)
}
