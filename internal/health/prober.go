package health

import (
	"context"
	"net/netip"
)

// Probe is one question to a target.
type Probe struct {
	Address netip.AddrPort
	HTTPS   bool
	HTTP2   bool
	// Path is the path and, after a question mark, the query.
	Path string
}

// URL returns the URL that is asked for.
func (p Probe) URL() string {
	scheme := "http://"
	if p.HTTPS {
		scheme = "https://"
	}
	return scheme + p.Address.String() + p.Path
}

// Answer is a target's answer to a probe.
type Answer struct {
	StatusCode int
	// Body is the beginning of the body, for reports.
	Body string
}

// Prober asks targets.
type Prober interface {
	// Probe asks a target once. It MUST return soon after ctx is done, and MUST NOT use a connection that was used
	// before. The error says why there is no answer, or is an UnmadeError.
	Probe(ctx context.Context, probe Probe) (Answer, error)
}

// UnmadeError says that a target could not be asked because this machine lacks something, such as file descriptors.
// It says nothing about the target.
type UnmadeError struct{ Err error }

func (e *UnmadeError) Error() string { return "the check could not be made: " + e.Err.Error() }
func (e *UnmadeError) Unwrap() error { return e.Err }
