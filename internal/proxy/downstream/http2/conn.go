// Package http2 carries requests of clients that speak HTTP/2, many at a time on a connection, to targets that speak HTTP/1.1
// or HTTP/2. Each has a goroutine, and a second one while its body is uploaded, unless all of the body came at once.
package http2

import (
	"sync"
	"sync/atomic"

	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/wire/http2"
)

// Server serves connections.
type Server struct {
	env       *downstream.Environment
	endpoint  *http2.Endpoint
	exchanges sync.Pool // of *exchange.HTTP
}

// NewServer returns a server.
func NewServer(env *downstream.Environment, endpoint *http2.Endpoint) *Server {
	s := &Server{env: env, endpoint: endpoint}
	s.exchanges.New = func() any {
		x := new(exchange.HTTP)
		x.Init(env.Exchanges, false)
		return x
	}
	return s
}

// conn is a connection that is being served. Each of its streams has a goroutine, which does for one exchange what the
// connection's goroutine does for HTTP/1.1.
type conn struct {
	*downstream.Conn
	server *Server
	frames *http2.Conn
	idle   atomic.Int64 // the idle timeout, in milliseconds, of the service of the last request

	mu      sync.Mutex // mu guards the fields below.
	streams map[*stream]struct{}
}

// Serve carries the requests of a connection, of which the bytes early have been read. It returns when the connection has
// ended.
func (s *Server) Serve(client *downstream.Conn, early []byte) {
	c := &conn{Conn: client, server: s, streams: make(map[*stream]struct{})}
	c.idle.Store(c.IdleMillis)
	c.frames = s.endpoint.Server(c.Stream(), early, c.handle)
	c.Multiplex(c)
	served := false
	defer func() {
		if !served {
			c.BreakOff() // After a panic the streams must be ended, too.
		}
	}()
	lingers := c.frames.Serve()
	served = true
	c.EndMultiplex()
	if lingers {
		c.LingerLonger(http2.MaxDiscardBytes)
	}
}

// Sweep ends what has lasted too long or has become pointless.
func (c *conn) Sweep(now int64, draining bool) {
	switch over, breaks := c.Outlives(now); {
	case breaks:
		c.frames.Abort()
	case over:
		c.frames.Drain() // GOAWAY is sent before the responses that follow.
		c.interrupt(downstream.CauseLifetime, func(*stream) bool { return true })
	case draining || c.IsUnwanted() || c.IsOld(now) || c.frames.Idle() >= c.idle.Load():
		c.frames.Drain()
	}
	c.interrupt(downstream.CauseTimeout, func(st *stream) bool { return now >= st.deadline.Load() })
	c.frames.Sweep()
}

// BreakOff ends everything at once.
func (c *conn) BreakOff() {
	c.interrupt(downstream.CauseBroken, func(*stream) bool { return true })
	c.frames.Abort()
}

// Quiet reports whether no stream is open, for how many milliseconds, and whether there ever was one.
func (c *conn) Quiet() (quiet, used bool, millis int64) {
	quiet, used = c.frames.Quiet()
	return quiet, used, c.frames.Idle()
}

// EndIfQuiet ends the connection at once if no stream is open. It reports whether it does.
func (c *conn) EndIfQuiet() bool { return c.frames.EndIfQuiet() }

// interrupt ends the waits of the streams that are chosen.
func (c *conn) interrupt(why downstream.Cause, chosen func(*stream) bool) {
	c.mu.Lock()
	var list []*stream
	for st := range c.streams {
		if chosen(st) {
			list = append(list, st)
		}
	}
	c.mu.Unlock()
	for _, st := range list {
		st.interrupt(why)
	}
}

func (c *conn) add(st *stream) {
	c.mu.Lock()
	c.streams[st] = struct{}{}
	c.mu.Unlock()
}

func (c *conn) remove(st *stream) {
	c.mu.Lock()
	delete(c.streams, st)
	c.mu.Unlock()
}
