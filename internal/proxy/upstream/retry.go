package upstream

import (
	"errors"
	"net/netip"
)

// DialError says that no connection to a target could be had. Nothing was sent.
type DialError struct {
	Address netip.AddrPort
	Err     error
}

func (e *DialError) Error() string {
	return "connecting to " + e.Address.String() + ": " + e.Err.Error()
}
func (e *DialError) Unwrap() error { return e.Err }

// BrokenError says that a connection broke before the head of an answer was complete.
type BrokenError struct {
	// Sent says that some of the request may have reached the target.
	Sent bool
	// Received says that some of an answer has come.
	Received bool
	Err      error
}

func (e *BrokenError) Error() string { return "connection to the target broke: " + e.Err.Error() }
func (e *BrokenError) Unwrap() error { return e.Err }

// errUnasked says that a target closed an idle connection, or sent bytes on it. These are an answer to nothing, and
// must not be taken for the answer to the next request.
var errUnasked = errors.New("the target closed the connection or sent an answer that nobody asked for")

// Attempt is what the decision to try again depends on.
type Attempt struct {
	Err error
	// Reused says that the connection had been idle before.
	Reused bool
	// Replayable says that all of the request that was taken from the client is still there.
	Replayable bool
	// Idempotent says that the request may have its effect twice (RFC 9110 9.2.2).
	Idempotent bool
}

// Decision is what follows a failed attempt.
type Decision uint8

// The decisions.
const (
	GiveUp     Decision = iota
	SameTarget          // on a new connection
	OtherTarget
)

// Decide says what follows a failed attempt; the caller bounds how often.
//
//   - No connection: another target, since nothing was sent.
//   - A connection that was used before broke before anything of an answer came: the target most likely closed it at
//     the same moment. If the request cannot have reached it, any request may be sent again; else only one that is
//     idempotent.
//   - Anything else may be the request's own doing, so it is not repeated.
//
// AWS does not say what it repeats.
func Decide(a Attempt) Decision {
	if _, ok := errors.AsType[*DialError](a.Err); ok {
		return OtherTarget
	}
	broken, ok := errors.AsType[*BrokenError](a.Err)
	if !ok || broken.Received || !a.Reused || !a.Replayable {
		return GiveUp
	}
	if !broken.Sent || a.Idempotent {
		return SameTarget
	}
	return GiveUp
}
