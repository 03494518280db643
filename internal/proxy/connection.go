package proxy

import (
	"net"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/proxy/wire/http2"
)

// connection is a client's connection. Its goroutine owns all of it but what the sweeper and an upload need to see.
type connection struct {
	proxy    *Proxy
	listener *listener
	accepted *net.TCPConn // never changes; the sweeper sets its deadlines
	conn     net.Conn     // the same, or what secures it
	// raw is how requests are waited for; nil where conn must be used. transport is the TCP connection below.
	raw        syscall.RawConn
	transport  syscall.RawConn
	source     netip.AddrPort
	secured    *secured // nil where there is no TLS
	forwarded  []byte   // the x-forwarded-* lines
	number     uint64   // among all that were accepted, in order
	endsAt     int64    // when the connection has lived for ConnectionDuration
	idleMillis int64    // the idle timeout, of the service of the last request

	watch       watch
	multiplexed atomic.Pointer[multiplexed] // while it speaks HTTP/2
	served      atomic.Bool                 // it has carried a request
	unwanted    atomic.Bool                 // its place is needed at once
	target      *upstream.Conn              // while it is used; the sweeper may end a wait for it in phaseTarget
	upload      upload

	x         *exchange // nil while the connection is idle
	begun     bool      // what the client speaks is known
	inside    bool      // in onReadable: fd may be used, and reads from conn would wait for themselves
	fd        uintptr
	lingers   bool // there may be more to read, which must not make the kernel throw the answer away
	broken    bool // the client must see that the response is not whole
	isHTTP2   bool // the preface of HTTP/2 has come
	runUpload func()
}

func newConnection(l *listener, conn net.Conn) *connection {
	p := l.proxy
	c := &connection{proxy: p, listener: l, accepted: conn.(*net.TCPConn), conn: conn}
	c.raw = socket.Raw(conn)
	c.transport = c.raw
	c.endsAt = p.clock.now() + p.cfg.ConnectionDuration.Milliseconds()
	c.idleMillis = p.cfg.IdleTimeout.Milliseconds()
	if address, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		c.source = address.AddrPort()
	}
	c.forwarded = appendForwarded(make([]byte, 0, 96), c.source.Addr(), l.port.Number, "http")
	c.begun = !l.mayBeTLS()
	c.enter(phaseIdle, c.idleMillis)
	return c
}

// serve carries the connection's requests, one after the other, until the connection ends or takes a nap.
func (c *connection) serve() {
	naps := false
	defer func() {
		if !naps {
			c.end(recover())
		}
	}()
	onReadable := c.onReadable
	for {
		var next progress
		if !c.begun {
			c.begun = true
			next = c.start()
		} else if c.raw != nil {
			err := c.raw.Read(onReadable)
			c.inside = false
			if err != nil && c.mayNap() {
				naps = true
				go c.nap()
				return
			}
			if err != nil {
				c.waitFailed(err)
				return
			}
			if next = ended; c.x != nil && c.x.parsed {
				next = c.advance()
			}
		} else {
			n, err := c.conn.Read(c.room())
			if n == 0 {
				c.waitFailed(err)
				return
			}
			c.x.end += n
			next = c.advance()
		}
		if c.isHTTP2 {
			c.serveHTTP2(c.unread())
			return
		}
		if next == ended {
			return
		}
	}
}

// onReadable is called when the client may have sent something. Requests that are complete are carried right here, so
// that the wait for the next one begins without another read. It returns whether the wait is to end.
func (c *connection) onReadable(fd uintptr) bool {
	c.fd, c.inside = fd, true
	for {
		n, wait, err := c.readInside(c.room())
		if wait {
			c.rest()
			return false
		}
		if err != nil {
			c.waitFailed(err)
			return true
		}
		c.x.end += n
		if c.advance() != needsBytes {
			return true
		}
	}
}

// progress is how far the bytes that have come lead.
type progress uint8

const (
	needsBytes      progress = iota
	needsConnection          // the request needs reads from the connection, which cannot be made inside
	ended
)

// advance carries the requests that have come.
func (c *connection) advance() progress {
	x := c.x
	for {
		if !x.parsed {
			if x.start == x.end {
				return needsBytes
			}
			if x.in[x.start] == '\r' && !x.blank {
				// One empty line before a request is none of it (RFC 9112 2.2).
				switch {
				case x.end-x.start == 1:
					return needsBytes
				case x.in[x.start+1] == '\n':
					x.start, x.blank = x.start+len("\r\n"), true
					continue
				}
			}
			n, err := x.request.Parse(x.in[x.start:x.end])
			if err == http1.BadVersion && isHTTP2(x.in[x.start:x.end]) {
				c.isHTTP2 = true
				return ended
			}
			if err != nil {
				if err == http1.BadRequestLine && isForeign(x.in[x.start:x.end]) {
					c.refuseUnparsed(foreign, err)
					return ended
				}
				c.refuseMalformed(err)
				return ended
			}
			if n == 0 {
				if wordPhase(c.watch.word.Load()) == phaseIdle {
					c.enter(phaseHead, c.proxy.cfg.HeadTimeout.Milliseconds())
				}
				return needsBytes
			}
			if err := x.begin(n); err != nil {
				c.refuseMalformed(err)
				return ended
			}
		}
		if c.inside && !x.requestBody.Done() && !x.request.Continue && x.end < len(x.in) {
			// Many clients send head and body in two pieces, the second of which is there by now.
			if n, wait, err := c.readInside(x.in[x.end:]); err == nil && !wait {
				if err := x.more(n); err != nil {
					c.refuseMalformed(err)
					return ended
				}
			}
		}
		if c.inside && (!x.requestBody.Done() || x.request.Upgrade) {
			return needsConnection
		}
		if !c.exchange() {
			return ended
		}
		x.next()
	}
}

// conclude ends an exchange. It returns whether the connection stays open.
func (c *connection) conclude(keep bool) bool {
	x := c.x
	if x.uploads {
		keep = c.awaitUpload(keep)
	}
	c.record(x)
	if x.uploads {
		c.endUpload()
	}
	if !keep {
		c.lingers = c.lingers || x.start < x.end
		return false
	}
	if !c.served.Load() {
		c.served.Store(true)
	}
	c.enter(phaseIdle, c.idleMillis)
	return true
}

// room returns where the next bytes from the client go.
func (c *connection) room() []byte {
	if c.x == nil {
		c.x = c.proxy.exchanges.Get().(*exchange)
		c.x.request.Reset()
	}
	x := c.x
	if x.end == len(x.in) {
		if x.start == 0 {
			// The parser refuses a head before it outgrows this.
			larger := make([]byte, bodyBufferBytes)
			copy(larger, x.in[:x.end])
			x.in = larger
		} else {
			x.end = copy(x.in, x.in[x.start:x.end])
			x.start = 0
		}
	}
	return x.in[x.end:]
}

// unread returns what has come of the client's next request.
func (c *connection) unread() []byte {
	if c.x == nil {
		return nil
	}
	return c.x.in[c.x.start:c.x.end]
}

// rest gives the exchange back if nothing of a request has come: an idle connection should cost little.
func (c *connection) rest() {
	if x := c.x; x != nil && x.start == x.end {
		c.x = nil
		x.release(c.proxy)
	}
}

// waitFailed ends the connection after a read failed: the client has closed it, or the sweeper has ended the wait.
func (c *connection) waitFailed(err error) {
	late := wordPhase(c.watch.word.Load()) == phaseHead
	why := c.enter(phaseClient, lingerMillis)
	if late && why == causeTimeout && c.x != nil {
		c.conn.SetDeadline(time.Time{})
		c.refuseUnparsed(lateClient, errLateHead)
	}
}

// end closes the connection after its last exchange, or after a panic.
func (c *connection) end(problem any) {
	if problem != nil {
		c.proxy.cfg.Log.Error("panic in an exchange", "problem", problem, "stack", string(debug.Stack()))
		c.broken = true
	}
	c.dropTarget()
	if x := c.x; x != nil && problem == nil {
		c.x = nil
		x.release(c.proxy)
	} else if x != nil && x.uploads {
		c.conn.SetDeadline(past)
		<-c.upload.ended
	}
	c.inside = false // After a panic.
	if c.broken {
		c.accepted.SetLinger(0) // A reset: see breakResponse.
		c.accepted.Close()      // Without the orderly end that TLS has.
	} else {
		if c.lingers && !c.unwanted.Load() {
			c.linger()
		}
		c.conn.Close()
	}
	c.proxy.remove(c)
}

// linger lets the client read the answer before the connection goes: if it is closed with something unread, the
// kernel sends a reset, which may overtake the answer. A client of HTTP/2 may be sending on many streams.
func (c *connection) linger() {
	closeWrite(c.conn)
	c.accepted.CloseWrite() // TLS does not, and not every client knows its orderly end.
	left, until := maxDiscardBytes, c.proxy.clock.now()+lingerMillis
	if c.isHTTP2 {
		left, until = http2.MaxDiscardBytes, c.proxy.clock.now()+5*lingerMillis
	}
	pooled := c.proxy.getBuffer()
	defer c.proxy.putBuffer(pooled)
	for left > 0 {
		rest := until - c.proxy.clock.now()
		if rest <= 0 || c.enter(phaseRead, min(rest, lingerMillis)) != causeNone {
			return
		}
		n, err := c.conn.Read(pooled.bytes[:])
		if err != nil {
			return
		}
		left -= n
	}
}
