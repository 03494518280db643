package passthrough

import (
	"errors"
	"net"
	"os"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/upstream"
	"trellis/internal/routing"
)

// unsentBytes is how much may wait in the kernel for a side that takes nothing. With 64 KB moving cost a sixth more, with
// 256 KB a little more.
const unsentBytes = 1 << 20

// Server serves connections.
type Server struct {
	env    *downstream.Environment
	mover  *Mover
	hellos hellos
}

// NewServer returns a server that uses so many pipes at most; 0 means any number.
func NewServer(env *downstream.Environment, maxPipes int) *Server {
	return &Server{env: env, mover: newMover(maxPipes), hellos: newHellos()}
}

// Close frees what the server keeps. Connections that are being served go on.
func (s *Server) Close() { s.mover.Close() }

// conn is a connection that is being served.
type conn struct {
	*downstream.Conn
	server *Server
	x      exchange.Exchange // the whole connection is one
}

// Serve carries a connection to a target of a service. What the client has sent already goes to the target as it is; its
// ClientHello, of which the first bytes of the opening consist, names the server.
func (s *Server) Serve(client *downstream.Conn, opening *downstream.Opening, helloBytes int, serverName []byte, service *routing.Service) {
	c := &conn{Conn: client, server: s}
	c.IdleMillis = service.IdleTimeout.Milliseconds()
	c.Client.TLS = &accesslog.TLS{ServerName: string(serverName)}
	r, refused := c.x.BeginConnection(s.env.Exchanges, &c.Client, service)
	key, ok := s.hellos.enter(opening.Bytes()[:helloBytes])
	if ok {
		defer s.hellos.leave(key)
	} else if !refused {
		r, refused = exchange.Loop, true
	}
	if !refused {
		r, refused = c.connect()
	}
	early := opening.Bytes()
	if refused {
		opening.Release(s.env)
		c.x.Note(r)
		c.Alert(downstream.AlertInternalError)
	} else {
		c.x.Sent()
		_, err := c.Target.Write(early)
		c.x.Record.Received = int64(len(early))
		opening.Release(s.env) // There may be many such connections.
		c.move(err)
	}
	c.x.FinishConnection()
	c.DropTarget()
}

// connect connects to the target, or else to another one, or returns why it could not.
func (c *conn) connect() (r exchange.Refusal, refused bool) {
	for {
		connections, err := upstream.ConnectionsTo(c.x.Target)
		if err == nil {
			c.Enter(downstream.Dialing, 0)
			if c.Target, err = connections.Dial(c.Env.Dialing); err == nil {
				return exchange.Refusal{}, false
			}
		}
		if again, _ := c.x.Retry(upstream.Attempt{Err: err}); !again {
			c.x.Record.Problem = err
			return exchange.TargetRefusal(err), true
		}
	}
}

// move carries the connection once there is a target, until both sides have ended. err is what came of writing the first
// bytes.
func (c *conn) move(err error) {
	r := &c.x.Record
	r.Gateway = downstream.AddressOf(c.Target.Transport().LocalAddr())
	r.Failure = c.server.carry(c.Conn, func(n int) { r.Received += int64(n) }, func(n int) { r.Sent += int64(n) }, err)
}

// carry moves bytes both ways until both sides have ended. It returns why they have not ended cleanly, if so. It calls received
// and sent with the numbers of bytes from and to the client, each on a goroutine of its own. early is the error of writing to the
// target before.
func (s *Server) carry(c *downstream.Conn, received, sent func(n int), early error) accesslog.Failure {
	client, target := c.Transport(), c.Target.Transport()
	socket.BoundUnsent(client, unsentBytes)
	socket.BoundUnsent(target, unsentBytes)
	var up, down error
	var why downstream.Cause
	if early != nil {
		up = &WriteError{Err: early}
	} else {
		why, up, down = c.BothWays(
			func(moved func()) error {
				return s.oneWay(target, client, func(n int) { received(n); moved() })
			},
			func(moved func()) error {
				return s.oneWay(client, target, func(n int) { sent(n); moved() })
			})
	}
	failed := failure(up, down)
	switch {
	case failed != "":
		// Both sides must see that it was no orderly end.
		c.Break()
		target.SetLinger(0)
	case why > downstream.CauseTimeout: // A connection that is idle for too long has not failed.
		return why.Refusal().Failure
	}
	return failed
}

// oneWay moves bytes until src ends, and passes the end on.
func (s *Server) oneWay(dst, src *net.TCPConn, moved func(n int)) error {
	if err := s.mover.Move(dst, src, moved); err != nil {
		return err
	}
	if err := dst.CloseWrite(); err != nil {
		return &WriteError{Err: err}
	}
	return nil
}

// failure returns who broke the connection, given how the moves from and to the client have ended.
func failure(up, down error) accesslog.Failure {
	for _, move := range []struct {
		err              error
		reading, writing accesslog.Failure
	}{
		{up, accesslog.ClientConnectionClosed, accesslog.TargetConnectionClosed},
		{down, accesslog.TargetConnectionClosed, accesslog.ClientConnectionClosed},
	} {
		if move.err == nil || errors.Is(move.err, os.ErrDeadlineExceeded) { // That was the sweeper or the other move.
			continue
		}
		if _, ok := errors.AsType[*WriteError](move.err); ok {
			return move.writing
		}
		return move.reading
	}
	return ""
}
