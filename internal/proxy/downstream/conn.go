package downstream

import (
	"math"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/upstream"
	"trellis/internal/routing"
)

// Conn is a client's connection. The goroutine that serves it owns all of it except for the watch, which it shares with the
// sweeper.
//
// A connection that does not speak HTTP/2 is in one of these states at any time. The word of its watch holds the state, and
// the deadline until which it may last:
//
//  1. Idle: it waits for the first byte of a request. It holds no buffers.
//  2. ReadingHead: it waits for the rest of a head, or of a TLS handshake.
//  3. Dialing: it waits for a connection to a target, which has a limit of its own, so the deadline does not count.
//  4. AwaitingTarget: it waits for the target. A second goroutine may be sending the request's body meanwhile; the
//     connection is late only when that is late too.
//  5. Writing: it waits for the client to take bytes.
//  6. Discarding: for a short time, it reads and drops what the client still sends.
//  7. Relaying: it waits for either side of a connection on which bytes pass both ways.
//  8. Closing: it carries nothing any more, and its goroutine is about to close it.
//
// The transitions, all made by Enter on the goroutine that serves the connection, which begins in 1, and in 3 if it is to a resource:
//
//	1 -> 2        a part of a head, or of a TLS handshake, has come
//	2 -> 1        the TLS handshake is complete, or a request was refused by a response that the socket took at once
//	1, 2 -> 3     a request is complete, and there is no idle connection to its target; or bytes will pass both ways
//	1, 2 -> 4     a request is complete, and there is an idle connection
//	1, 2 -> 5     a request is refused, or the client speaks HTTP/2
//	3 -> 4        the target is connected
//	3, 4 -> 5     a part of the response has come, or the attempt has failed
//	5 -> 3        another attempt follows
//	5 -> 4        there is more of the response to come
//	5 -> 6        the response has been sent, and the client is still sending the body of its request
//	5, 6 -> 1     the exchange has ended
//	3, 5 -> 7     bytes pass both ways
//	7 -> 5        both sides have ended
//	any -> 8      the connection ends
//	8 -> 5        a client that took too long for a head is told so
//	8 -> 6        the client may need time to read what was sent last
//
// The sweeper never changes a state. It ends the wait by adding a Cause to the word and making the sockets' deadlines pass;
// the next Enter returns the cause. CausePark, in state 1 only, ends nothing: it makes the connection wait for its next
// request with less memory. CauseRoom, in states 1 and 2, ends the connection unless a request has just been read; that one
// is carried first.
//
// A connection that speaks HTTP/2 has none of these states: its streams have deadlines of their own, of which Multiplex tells
// the sweeper.
type Conn struct {
	Env    *Environment
	Client exchange.Client
	// Number tells in which order connections were accepted.
	Number uint64
	// IdleMillis is the idle timeout of the service of the last request.
	IdleMillis int64
	// Target is the connection to the target while it is used. The sweeper may end a wait for it in the states
	// AwaitingTarget and Relaying.
	Target *upstream.Conn
	relay  Relay // while Relaying, unless BothWays does that
	// Upload is what the goroutine that sends the body of a request waits for.
	Upload Upload

	accepted socket.TCP // never changes; the sweeper sets its deadlines
	conn     net.Conn   // the same, or what secures it; nil for a *socket.Bare, whose bytes only a relay moves
	// raw is how requests are waited for; nil where conn must be used. transport is the TCP connection below.
	raw       syscall.RawConn
	transport syscall.RawConn
	secured   *secured // nil without TLS
	unwanted  <-chan struct{}
	endsAt    int64 // when the connection will have lived for ConnectionDuration
	// breaksAt is when the last responses of a connection that has lived too long must have been sent. It belongs to the
	// sweeper, which sets it when it sees that the life is over: the sweeper may be late, and the responses need their time.
	breaksAt int64
	// grace is how many milliseconds bytes may still pass both ways after the connection has become unwanted; 0 means no limit.
	// lapsed is when the grace ends. It belongs to the sweeper, which sets it when it sees that the grace has begun.
	grace, lapsed int64

	watch   watch
	streams atomic.Pointer[Streams] // set while it speaks HTTP/2
	served  atomic.Bool             // it has carried a request
	evicted atomic.Bool             // others need its place at once

	inside bool // set in the callback of Wait: fd may be used, and a read from conn would deadlock
	fd     uintptr
	ending ending
	// discards replaces MaxDiscardBytes while the connection lingers, which it then does for longer; 0 means no replacement.
	discards int
}

// ending says how a connection is closed.
type ending uint8

const (
	closes  ending = iota // in order
	lingers               // in order, after the client has had time to read: it may have sent bytes that were not read
	breaks                // by a reset: the client must see that its response is not whole
)

// NewConn returns a connection that has been accepted on a port. unwanted is closed when the port is.
func NewConn(env *Environment, accepted *net.TCPConn, port *routing.Port, unwanted <-chan struct{}) *Conn {
	c := newConn(env, socket.AcceptedTCP(accepted), unwanted)
	c.endsAt = env.Clock.Now() + env.ConnectionDuration.Milliseconds()
	c.Client.Port = port
	c.Client.Origin = port.Origin(c.Client.Source.Addr())
	c.Client.Forwarded = exchange.AppendForwarded(make([]byte, 0, 96), c.Client.Source.Addr(), port.Number, "http")
	c.Enter(Idle, c.IdleMillis)
	return c
}

// NewResourceConn returns a connection to a resource, for which a target is looked for at once. It may live as long as it is used
// (UG quotas), and for grace once the resource is gone.
func NewResourceConn(env *Environment, accepted socket.Accepted, origin routing.Origin, gone <-chan struct{}, idle, grace time.Duration) *Conn {
	c := newConn(env, accepted, gone)
	c.endsAt = math.MaxInt64
	c.grace = max(grace.Milliseconds(), 1)
	c.IdleMillis = idle.Milliseconds()
	c.Client.Origin = origin
	c.Enter(Dialing, 0)
	return c
}

func newConn(env *Environment, accepted socket.Accepted, unwanted <-chan struct{}) *Conn {
	c := &Conn{Env: env, accepted: accepted.TCP, unwanted: unwanted}
	if conn := c.Transport(); conn != nil {
		c.conn = conn
		c.raw = socket.Raw(conn)
		c.transport = c.raw
	}
	c.IdleMillis = env.IdleTimeout.Milliseconds()
	c.Client = exchange.Client{Connection: &accesslog.Connection{Source: accepted.Source, Destination: accepted.Destination}}
	return c
}

// IsOld reports whether the connection is in the last twentieth of its life, at most half a minute. It ends with the next
// response then, so that no exchange has to be broken off.
func (c *Conn) IsOld(now int64) bool {
	last := min(c.Env.ConnectionDuration/20, 30*time.Second)
	return now >= c.endsAt-last.Milliseconds()
}

// IsOverdue reports whether the connection has lived longer than ConnectionDuration.
func (c *Conn) IsOverdue() bool { return c.Env.Clock.Now() >= c.endsAt }

// Outlives reports whether the connection has lived longer than ConnectionDuration, so that its exchanges end, and whether
// their last responses have had the time to be sent. Only the sweeper may ask.
func (c *Conn) Outlives(now int64) (over, breaks bool) {
	if now < c.endsAt {
		return false, false
	}
	if c.breaksAt == 0 {
		c.breaksAt = now + LingerMillis
	}
	return true, now >= c.breaksAt
}

// Lasts reports whether the connection may be used again.
func (c *Conn) Lasts() bool {
	return !c.IsOld(c.Env.Clock.Now()) && !c.Env.Draining.Load() && !c.IsUnwanted() && !c.evicted.Load()
}

// IsUnwanted reports whether the port on which the connection was accepted is closed.
func (c *Conn) IsUnwanted() bool {
	select {
	case <-c.unwanted:
		return true
	default:
		return false
	}
}

// Accepted returns the connection as it was accepted.
func (c *Conn) Accepted() socket.TCP { return c.accepted }

// Transport returns the connection without its TLS, or nil if it is a *socket.Bare.
func (c *Conn) Transport() *net.TCPConn {
	conn, _ := c.accepted.(*net.TCPConn)
	return conn
}

// Stream returns the connection as the client's protocol sees it, above TLS.
func (c *Conn) Stream() net.Conn { return c.conn }

// CanWait reports whether Wait may be used.
func (c *Conn) CanWait() bool { return c.raw != nil }

// Wait calls onReadable when the client may have sent something, until it returns true. Within it, after GoInside, ReadInside
// and Write make system calls directly.
func (c *Conn) Wait(onReadable func(fd uintptr) bool) error {
	err := c.raw.Read(onReadable)
	c.inside = false
	return err
}

// GoInside must be called first by the callback of Wait.
func (c *Conn) GoInside(fd uintptr) { c.fd, c.inside = fd, true }

// IsInside reports whether the callback of Wait is running.
func (c *Conn) IsInside() bool { return c.inside }

// TakesBoth reports whether WriteBoth may be used.
func (c *Conn) TakesBoth() bool { return c.inside && c.secured == nil }

// ReadInside reads what the client has sent. wait says that there is nothing yet.
func (c *Conn) ReadInside(p []byte) (n int, wait bool, err error) {
	if c.secured == nil {
		return socket.Read(c.fd, p)
	}
	return c.secured.read(p)
}

// Read waits for bytes of the client.
func (c *Conn) Read(p []byte) (int, error) { return c.conn.Read(p) }

// WriteAtOnce sends what can be sent without a wait, and returns the rest.
func (c *Conn) WriteAtOnce(b []byte) (rest []byte, err error) {
	if !c.inside || c.secured != nil {
		return b, nil
	}
	n, _, err := socket.Write(c.fd, b)
	return b[n:], err
}

// Write sends bytes to the client. It waits only if the socket does not take them at once, which is rare.
func (c *Conn) Write(b []byte) error {
	rest, err := c.WriteAtOnce(b)
	if err != nil || len(rest) == 0 {
		return err
	}
	return c.WriteRest(rest)
}

// WriteRest sends what WriteAtOnce has left, and waits for the client to take it.
func (c *Conn) WriteRest(b []byte) error {
	if why := c.Enter(Writing, c.IdleMillis); why != CauseNone && why != CauseTimeout {
		return os.ErrDeadlineExceeded
	}
	_, err := c.conn.Write(b)
	return err
}

// WriteBoth sends two pieces as one, of which the first must not be empty.
func (c *Conn) WriteBoth(first, second []byte) error {
	n, wait, err := socket.WriteBoth(c.fd, first, second)
	if !wait || err != nil {
		return err
	}
	if n < len(first) {
		if err := c.WriteRest(first[n:]); err != nil {
			return err
		}
		return c.Write(second)
	}
	return c.WriteRest(second[n-len(first):])
}

// DropTarget closes the connection to the target, if there is one, and returns why the wait for it was ended.
func (c *Conn) DropTarget() Cause {
	why := c.Enter(Writing, c.IdleMillis)
	if target := c.Target; target != nil {
		c.Target = nil
		target.Discard()
	}
	return why
}

// Linger makes End give the client time to read what was sent last.
func (c *Conn) Linger() { c.ending = max(c.ending, lingers) }

// LingerLonger is Linger for a client that may still be sending that many bytes.
func (c *Conn) LingerLonger(bytes int) {
	c.Linger()
	c.discards = bytes
}

// Break makes End close the connection so that the client sees that its response is not whole.
func (c *Conn) Break() { c.ending = breaks }

// Recovered logs a panic, so that it ends one exchange and not the process. It must be deferred itself.
func (c *Conn) Recovered(where string) {
	if problem := recover(); problem != nil {
		c.Env.Log.Error("panic in "+where, "problem", problem, "stack", string(debug.Stack()))
		c.accepted.SetDeadline(Past)
	}
}

// CloseWrite closes the sending side of a connection, if that can be closed alone.
func CloseWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}
