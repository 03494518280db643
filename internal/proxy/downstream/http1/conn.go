// Package http1 carries requests of clients that speak HTTP/1.1 or 1.0, one after the other, to targets that speak
// HTTP/1.1. Requests that are complete are carried within the callback in which the poller reports them, without allocating,
// so that the wait for the next request needs no further system call.
//
// One goroutine serves the connection. A second one exists only while a body is uploaded that did not come with its head, or
// while an upgraded connection is carried.
package http1

import (
	"bytes"
	"sync"

	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/wire/http1"
)

// Server serves connections.
type Server struct {
	env   *downstream.Environment
	works sync.Pool // of *work
}

// NewServer returns a server.
func NewServer(env *downstream.Environment) *Server {
	s := &Server{env: env}
	s.works.New = func() any { return newWork(env.Exchanges) }
	return s
}

// Outcome says why Serve has returned.
type Outcome uint8

// The outcomes.
const (
	// Ended says that the connection has ended.
	Ended Outcome = iota
	// Parks says that the connection should be parked, and served afterwards.
	Parks
	// Switches says that the client speaks HTTP/2.
	Switches
)

// conn is a connection that is being served.
type conn struct {
	*downstream.Conn
	server  *Server
	x       *work    // nil while the connection is idle
	reached progress // how far onReadable has come
	upload  upload
}

// Serve carries the connection's requests, one after the other. The opening has what has been read already, or is nil. Serve
// releases it. When the outcome is Switches, the connection goes on in HTTP/2, of which rest has been read.
func (s *Server) Serve(client *downstream.Conn, opening *downstream.Opening) (outcome Outcome, rest []byte) {
	c := &conn{Conn: client, server: s}
	served := false
	defer func() { c.leave(served) }()
	outcome = c.serve(opening)
	if outcome == Switches {
		rest = bytes.Clone(c.x.in[c.x.start:c.x.end])
	}
	served = true
	return outcome, rest
}

// leave releases what the connection holds. served is false after a panic.
func (c *conn) leave(served bool) {
	if c.Target != nil {
		c.DropTarget()
	}
	x := c.x
	switch {
	case x == nil:
	case served:
		c.release()
	case x.Uploads:
		c.EndReads()
		<-c.upload.ended
	}
}

func (c *conn) serve(opening *downstream.Opening) Outcome {
	next := needsBytes
	if opening != nil {
		c.x = c.take()
		c.x.end = copy(c.x.in, opening.Bytes()) // What is read at once fits.
		opening.Release(c.Env)
		next = c.advance()
	}
	onReadable := c.onReadable
	for next == needsBytes {
		if c.CanWait() {
			err := c.Wait(onReadable)
			if err != nil && c.Conn.Parks() {
				c.rest()
				return Parks
			}
			if err != nil {
				c.waitFailed()
				return Ended
			}
			if next = c.reached; next == needsConnection {
				next = c.advance()
			}
		} else {
			n, _ := c.Read(c.room())
			if n == 0 {
				c.waitFailed()
				return Ended
			}
			c.x.end += n
			next = c.advance()
		}
	}
	if next == switches {
		return Switches
	}
	return Ended
}

// onReadable is called when the client may have sent something. Requests that are complete are carried here, so that the wait
// for the next one begins without another read. It returns whether the wait ends; c.reached says why.
func (c *conn) onReadable(fd uintptr) bool {
	c.GoInside(fd)
	for {
		n, wait, err := c.ReadInside(c.room())
		if wait {
			c.rest()
			return false
		}
		if err != nil {
			c.waitFailed()
			c.reached = ended
			return true
		}
		c.x.end += n
		if c.reached = c.advance(); c.reached != needsBytes {
			return true
		}
	}
}

// progress says how far advance got with the bytes that have come.
type progress uint8

const (
	needsBytes      progress = iota
	needsConnection          // the request needs reads from the connection, which cannot be made inside
	switches                 // the preface of HTTP/2 has come
	ended
)

// advance carries the requests that have come.
func (c *conn) advance() progress {
	x := c.x
	for {
		if !x.parsed {
			if x.start == x.end {
				return needsBytes
			}
			if x.in[x.start] == '\r' && !x.blank {
				// One empty line before a request does not belong to it (RFC 9112 2.2).
				switch {
				case x.end-x.start == 1:
					return needsBytes
				case x.in[x.start+1] == '\n':
					x.start, x.blank = x.start+len("\r\n"), true
					continue
				}
			}
			n, err := x.Request.Parse(x.in[x.start:x.end])
			if err == http1.BadVersion && isHTTP2(x.in[x.start:x.end]) {
				return switches
			}
			if err != nil {
				if err == http1.BadRequestLine && isForeign(x.in[x.start:x.end]) {
					c.refuseUnparsed(exchange.Foreign, err)
					return ended
				}
				c.refuseUnparsed(exchange.ViolationRefusal(err), err)
				return ended
			}
			if n == 0 {
				if c.State() == downstream.Idle {
					c.Enter(downstream.ReadingHead, c.Env.HeadTimeout.Milliseconds())
				}
				return needsBytes
			}
			x.begin(n)
		}
		if c.IsInside() && x.awaitsBody() && !x.Request.Continue && x.end < len(x.in) {
			// Many clients send head and body in two pieces, and the second one has come by now.
			if n, wait, err := c.ReadInside(x.in[x.end:]); err == nil && !wait {
				x.more(n)
			}
		}
		if c.IsInside() && (x.awaitsBody() || x.Request.Upgrade) {
			return needsConnection
		}
		if !c.exchange() {
			return ended
		}
		x.next()
	}
}

// isHTTP2 reports whether a request that is not one of HTTP/1.1 starts the preface of HTTP/2 (RFC 9113 3.4), with which a client
// begins that knows that the proxy speaks HTTP/2.
func isHTTP2(b []byte) bool { return bytes.HasPrefix(b, []byte("PRI * HTTP/2.0\r\n")) }

// isForeign reports whether a malformed request line looks like that of another protocol: three words, of which the last is not
// a version of HTTP. Its sender would not understand a response in the form of HTTP/1.1.
func isForeign(b []byte) bool {
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	words := bytes.Split(line, []byte(" "))
	return len(words) == 3 && !bytes.HasPrefix(words[2], []byte("HTTP/"))
}

// conclude ends an exchange. It returns whether the connection stays open.
func (c *conn) conclude(keep bool) bool {
	x := c.x
	if x.Uploads {
		keep = c.awaitUpload(keep)
	}
	x.Finish()
	if x.Uploads {
		c.endUpload()
	}
	if !keep {
		if x.start < x.end {
			c.Linger()
		}
		return false
	}
	c.HasServed()
	c.Enter(downstream.Idle, c.IdleMillis)
	return true
}

// take takes what the connection needs while there is something to do.
func (c *conn) take() *work {
	x := c.server.works.Get().(*work)
	x.Request.Reset()
	return x
}

// release gives back what take took.
func (c *conn) release() {
	x := c.x
	c.x = nil
	x.reset()
	c.server.works.Put(x)
}

// room returns where the next bytes from the client go.
func (c *conn) room() []byte {
	if c.x == nil {
		c.x = c.take()
	}
	return c.x.room()
}

// rest gives the work back if nothing of a request has come.
func (c *conn) rest() {
	if x := c.x; x != nil && x.start == x.end {
		c.release()
	}
}

// waitFailed is called when the client has closed the connection or the sweeper has ended the wait. A client that took too long
// for a head is told so.
func (c *conn) waitFailed() {
	late := c.State() == downstream.ReadingHead
	why := c.Enter(downstream.Closing, downstream.LingerMillis)
	if late && why == downstream.CauseTimeout && c.x != nil {
		c.ClearDeadline()
		c.refuseUnparsed(exchange.LateClient, exchange.ErrLateHead)
	}
}
