package upstream

import (
	"context"
	"errors"
	"net"
	"os"

	"trellis/internal/routing"
)

// inProcess is the way to a target that this process serves itself, such as a Lambda function: a new connection for each
// request.
type inProcess struct {
	connect func(*routing.Target) net.Conn
	target  *routing.Target
}

func (p *inProcess) isCarrier() {}

// Close leaves requests that are under way alone.
func (p *inProcess) Close() {}

// Idle returns nil: no connection is used twice.
func (p *inProcess) Idle() *Conn { return nil }

// Dial returns a new connection.
func (p *inProcess) Dial(context.Context) (*Conn, error) {
	// There is no socket whose buffers could be bounded.
	return &Conn{Conn: inProcessConn{p.connect(p.target)}, bounded: true, widened: true}, nil
}

// InvocationError says that the code that serves a target in this process has not answered a request. A function may have been
// invoked, so there must not be another attempt (docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html: one
// invocation for a request).
type InvocationError struct{ Err error }

func (e *InvocationError) Error() string { return e.Err.Error() }
func (e *InvocationError) Unwrap() error { return e.Err }

// inProcessConn makes every failure an *InvocationError, except for the deadlines that the proxy sets itself.
type inProcessConn struct{ net.Conn }

func (c inProcessConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, asInvocationError(err)
}

func (c inProcessConn) Write(b []byte) (int, error) {
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
