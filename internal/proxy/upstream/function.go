package upstream

import (
	"context"
	"errors"
	"net"
	"os"

	"trellis/internal/routing"
)

// functionCarrier is the way to a Lambda function: a connection of this process for each request, since a function is
// invoked once for each.
type functionCarrier struct {
	connect func(*routing.Target) net.Conn
	target  *routing.Target
}

func (f *functionCarrier) isCarrier() {}

// Close leaves requests that are under way alone.
func (f *functionCarrier) Close() {}

// Idle returns nil: no connection is used twice.
func (f *functionCarrier) Idle() *Conn { return nil }

// Dial returns a new connection.
func (f *functionCarrier) Dial(context.Context) (*Conn, error) {
	// There is no socket whose buffers could be bounded.
	return &Conn{Conn: functionConn{f.connect(f.target)}, bounded: true, widened: true}, nil
}

// InvocationError says that a function has not answered a request. It may have been invoked, so that there must not be
// another attempt (docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html: one invocation for a request).
type InvocationError struct{ Err error }

func (e *InvocationError) Error() string { return e.Err.Error() }
func (e *InvocationError) Unwrap() error { return e.Err }

// functionConn has every failure be an *InvocationError, except for the deadlines that the proxy sets itself.
type functionConn struct{ net.Conn }

func (c functionConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, asInvocationError(err)
}

func (c functionConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, asInvocationError(err)
}

func asInvocationError(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return &InvocationError{err}
}

// broken returns the error of a connection that broke before the head of a response was complete. An *InvocationError stays
// what it is.
func broken(err error, sent bool) error {
	if invocation, ok := errors.AsType[*InvocationError](err); ok {
		return invocation
	}
	return &BrokenError{Sent: sent, Err: err}
}
