package upstream

import (
	"errors"
	"net/netip"
)

// DialError says that there was no connection to a target, and none could be made. Nothing was sent.
type DialError struct {
	Address netip.AddrPort
	Err     error
}

func (e *DialError) Error() string {
	return "connecting to " + e.Address.String() + ": " + e.Err.Error()
}
func (e *DialError) Unwrap() error { return e.Err }

// BrokenError says that a connection broke before the head of a response was complete.
type BrokenError struct {
	// Sent says that the target may have seen the request.
	Sent bool
	// Received says that a part of a response has come.
	Received bool
	Err      error
}

func (e *BrokenError) Error() string { return "connection to the target broke: " + e.Err.Error() }
func (e *BrokenError) Unwrap() error { return e.Err }

// AfterBytes notes in an error that a part of a response had come before.
func AfterBytes(err error) error {
	if broken, ok := errors.AsType[*BrokenError](err); ok {
		broken.Received = true
	}
	return err
}

// errUnasked says that a target closed an idle connection, or sent bytes on it. They belong to no request, and must not
// be taken for the response to the next one.
var errUnasked = errors.New("the target closed the connection or sent bytes that nobody asked for")

// errBusy says that all connections were in use for as long as a request may wait for one.
var errBusy = errors.New("all connections to the target are in use")
