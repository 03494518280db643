package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"

	"trellis/internal/outbound"
	"trellis/internal/proxy/socket"
)

// The first bounds what waits in the kernel for a target that reads nothing, beside what is on its way. The second is how much
// of a response must have been read before the kernel may receive more than a minimum ahead: more than what the kernels on the
// way to a client take in before the client reads anything.
const (
	unsentBytes = 64 << 10
	widenBytes  = 256 << 10
)

// Conn is a connection to a target.
type Conn struct {
	net.Conn
	// Reused says that the connection has been idle, most often after an exchange, so that the target may have closed it
	// meanwhile.
	Reused bool

	tcp     *net.TCPConn
	bounded bool // bound has been called
	taken   int  // how much of a response has been read, counted until the connection is widened
	widened bool

	pool      *HTTP1Pool      // nil for a function
	raw       syscall.RawConn // nil if Exchange must use Conn
	probed    *probed         // the connection below TLS; nil without TLS
	idleSince int64

	onPeek func(fd uintptr)
	silent bool
	probe  [1]byte

	// The fields below are the state of Exchange, Read and TryRead, which raw.Read calls back.
	onReadable func(fd uintptr) bool
	onBody     func(fd uintptr) bool
	onTry      func(fd uintptr) bool
	request    []byte
	response   []byte
	received   int
	stage      stage
	last       stage
	err        error
}

type stage uint8

const (
	checking stage = iota // check that the target has neither closed the connection nor sent unasked bytes
	sending
	receiving
)

func newConn(pool *HTTP1Pool, conn *net.TCPConn) *Conn {
	c := &Conn{Conn: conn, tcp: conn, pool: pool, raw: socket.Raw(conn)}
	c.onReadable = c.step
	c.onPeek = func(fd uintptr) { c.silent = socket.Silent(fd) }
	c.onBody, c.onTry = c.readBody, c.tryBody
	return c
}

// secure makes the TLS handshake on the connection.
func (c *Conn) secure(ctx context.Context, config *tls.Config) error {
	c.probed = newProbed(c.Conn, c.raw)
	secured, err := outbound.Secure(ctx, c.probed, config)
	if err != nil {
		return err
	}
	c.Conn, c.raw = secured, nil
	return nil
}

// probed is a connection that can be read from without waiting, to find out whether TLS has something for its reader already.
// Only TLS can tell, since it also gets messages that are not for the reader.
type probed struct {
	net.Conn
	raw     syscall.RawConn
	probing bool

	onReadable func(fd uintptr) bool // in this mode, reads into b without waiting
	b          []byte
	n          int
	wait       bool
	err        error
}

func newProbed(conn net.Conn, raw syscall.RawConn) *probed {
	p := &probed{Conn: conn, raw: raw}
	p.onReadable = func(fd uintptr) bool {
		p.n, p.wait, p.err = socket.Read(fd, p.b)
		return true
	}
	return p
}

func (p *probed) Read(b []byte) (int, error) {
	switch {
	case !p.probing:
		return p.Conn.Read(b)
	case p.raw == nil:
		return 0, errNothing
	}
	p.b = b
	err := p.raw.Read(p.onReadable)
	p.b = nil
	switch {
	case err != nil:
		return 0, err
	case p.wait:
		return 0, errNothing
	default:
		return p.n, p.err
	}
}

// nothing is an error after which TLS can go on.
type nothing struct{}

var errNothing net.Error = nothing{}

func (nothing) Error() string   { return "nothing to read" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// Transport returns the connection without its TLS.
func (c *Conn) Transport() *net.TCPConn { return c.tcp }

// Release gives the connection back for the next exchange. Everything of the last one must have been read.
func (c *Conn) Release() {
	if c.pool == nil {
		c.Conn.Close()
		return
	}
	c.taken = 0
	first := !c.Reused
	c.pool.put(c)
	if first {
		c.pool.warm()
	}
}

// CloseWrite tells the target that no more will be sent.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Discard closes the connection.
func (c *Conn) Discard() {
	if c.pool == nil {
		c.Conn.Close()
		return
	}
	c.close()
	c.pool.gone()
}

// close closes the connection. Its pool still counts it.
func (c *Conn) close() {
	c.Conn.Close()
	c.pool.pools.disconnected(c.pool.way)
}

// stale reports whether the target has closed the idle connection, or sent bytes on it that nobody asked for.
func (c *Conn) stale() bool {
	switch {
	case c.probed != nil:
		c.probed.probing = true
		_, err := c.Conn.Read(c.probe[:])
		c.probed.probing = false
		return err != errNothing
	case c.raw != nil:
		return c.raw.Control(c.onPeek) != nil || !c.silent
	default:
		return false
	}
}

// Exchange sends a request and returns the first bytes of the response. The error is a *BrokenError.
//
// A connection that has been used before is read from first: normally there is nothing, and if there is, or if the
// stream has ended, then nothing has been sent yet and any request can be sent again. The same read makes it safe to
// wait without another one after sending: whatever comes later wakes the wait.
func (c *Conn) Exchange(request, response []byte) (int, error) {
	if !c.bounded {
		c.bound()
	}
	if c.raw == nil {
		if err := c.send(request); err != nil {
			return 0, err
		}
		return c.Receive(response)
	}
	err := c.run(request, response, receiving)
	return c.received, err
}

// Send sends a part of a request; others send the rest. There must be room for a response, although Send does not wait for it.
// The error is a *BrokenError.
func (c *Conn) Send(part, response []byte) error {
	if !c.bounded {
		c.bound()
	}
	if c.raw == nil {
		return c.send(part)
	}
	return c.run(part, response, sending)
}

func (c *Conn) send(b []byte) error {
	if c.Reused && c.stale() {
		return &BrokenError{Err: errUnasked}
	}
	if _, err := c.Conn.Write(b); err != nil {
		return broken(err, true)
	}
	return nil
}

// run goes through the stages up to the given one.
func (c *Conn) run(request, response []byte, last stage) error {
	c.request, c.response, c.received, c.err = request, response, 0, nil
	c.stage, c.last = checking, last
	err := c.raw.Read(c.onReadable)
	c.request, c.response = nil, nil
	if err == nil {
		err = c.err
	}
	if err != nil {
		return &BrokenError{Sent: c.stage > checking, Err: err}
	}
	return nil
}

func (c *Conn) step(fd uintptr) (done bool) {
	var wait bool
	switch c.stage {
	case checking:
		if c.Reused {
			if _, wait, c.err = socket.Read(fd, c.response); !wait {
				if c.err == nil {
					c.err = errUnasked
				}
				return true
			}
		}
		c.stage = sending
		n, wait, err := socket.Write(fd, c.request)
		if wait { // The poller watches for bytes to read at this moment; Write waits in the other direction.
			_, err = c.Conn.Write(c.request[n:])
		}
		if err != nil {
			c.err = err
			return true
		}
		if c.last == sending {
			return true
		}
		c.stage = receiving
		return false
	default:
		return c.readBody(fd)
	}
}

// Receive returns the next bytes of the response, of which none have come yet. The error is a *BrokenError.
func (c *Conn) Receive(response []byte) (int, error) {
	n, err := c.Read(response)
	if n == 0 && err != nil {
		return 0, broken(err, true)
	}
	return n, nil
}

// Read reads more of a response.
func (c *Conn) Read(b []byte) (n int, err error) {
	if c.raw == nil {
		n, err = c.Conn.Read(b)
	} else {
		n, err = c.readWith(c.onBody, b)
	}
	if !c.widened {
		if c.taken += n; c.taken > widenBytes {
			c.widen()
		}
	}
	return n, err
}

// bound bounds what the kernel buffers, before the first exchange.
func (c *Conn) bound() {
	c.bounded = true
	socket.BoundUnsent(c.tcp, unsentBytes)
	socket.HoldReceiveBuffer(c.tcp)
}

// widen lets the kernel receive as much ahead as suits the network. Until a response has shown that the client reads it, the
// kernel receives about 64 KB ahead.
func (c *Conn) widen() {
	c.widened = true
	socket.WidenReceiveBuffer(c.tcp, widenBytes)
}

// TryRead reads what has come, if anything has.
func (c *Conn) TryRead(b []byte) (int, error) {
	if c.raw == nil {
		return 0, nil
	}
	return c.readWith(c.onTry, b)
}

func (c *Conn) readWith(onReadable func(fd uintptr) bool, b []byte) (int, error) {
	c.response = b
	err := c.raw.Read(onReadable)
	c.response = nil
	if err != nil {
		return 0, err
	}
	return c.received, c.err
}

func (c *Conn) readBody(fd uintptr) (done bool) {
	var wait bool
	c.received, wait, c.err = socket.Read(fd, c.response)
	return !wait
}

func (c *Conn) tryBody(fd uintptr) (done bool) {
	c.readBody(fd)
	return true
}
