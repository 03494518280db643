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
	loops  *loops
	hellos hellos
}

// NewServer returns a server that uses at most maxPipes pipes; 0 means any number.
func NewServer(env *downstream.Environment, maxPipes int) *Server {
	mover := newMover(maxPipes)
	return &Server{env: env, mover: mover, loops: newLoops(mover), hellos: newHellos()}
}

// Acceptor returns a socket that accepts connections which ServeResource carries. It takes the listener's place.
func (s *Server) Acceptor(listener *net.TCPListener) (socket.Acceptor, error) {
	return s.loops.acceptor(listener)
}

// Close frees what the server keeps, when no connection is left.
func (s *Server) Close() {
	s.loops.close()
	s.mover.Close()
}

// conn is a connection that is being served.
type conn struct {
	*downstream.Conn
	server *Server
	x      exchange.Exchange // the whole connection is one exchange
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
	r.Gateway = socket.AddressOf(c.Target.Transport().LocalAddr())
	r.Failure = c.server.carry(c.Conn, func(n int) { r.Received += int64(n) }, func(n int) { r.Sent += int64(n) }, err)
}

// carry moves bytes both ways until both sides have ended. It returns an error if they did not end cleanly. It calls received
// and sent with the numbers of bytes from and to the client, each from one goroutine. early is the error of writing to the
// target before.
func (s *Server) carry(c *downstream.Conn, received, sent func(n int), early error) accesslog.Failure {
	var o outcome
	if early != nil {
		o.up = &WriteError{Err: early}
	} else {
		o = s.bothWays(c, received, sent)
	}
	if o.broken() != "" { // Both sides must see that this is no orderly end.
		c.Break()
		c.Target.Transport().SetLinger(0)
	}
	return o.failure()
}

// bothWays has bytes move between the client and c.Target until both have ended.
func (s *Server) bothWays(c *downstream.Conn, received, sent func(n int)) (o outcome) {
	if s.loops.exist() {
		return s.loops.bothWays(c, received, sent)
	}
	client, target := c.Transport(), c.Target.Transport()
	socket.BoundUnsent(client, unsentBytes)
	socket.BoundUnsent(target, unsentBytes)
	o.why, o.up, o.down = c.BothWays(
		func(moved func()) error {
			return s.oneWay(target, client, func(n int) { received(n); moved() })
		},
		func(moved func()) error {
			return s.oneWay(client, target, func(n int) { sent(n); moved() })
		})
	return o
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

// outcome is how the moves from and to the client have ended, and why the sweeper ended them, if it did.
type outcome struct {
	why      downstream.Cause
	up, down error
}

// failure returns why a connection did not end in order, or nil. An end because nothing moved for too long is in order.
func (o *outcome) failure() accesslog.Failure {
	if failed := o.broken(); failed != "" {
		return failed
	}
	if o.why > downstream.CauseTimeout {
		return o.why.Refusal().Failure
	}
	return ""
}

// broken returns which side broke the connection, if one did.
func (o *outcome) broken() accesslog.Failure {
	for _, move := range []struct {
		err              error
		reading, writing accesslog.Failure
	}{
		{o.up, accesslog.ClientConnectionClosed, accesslog.TargetConnectionClosed},
		{o.down, accesslog.TargetConnectionClosed, accesslog.ClientConnectionClosed},
	} {
		if move.err == nil || errors.Is(move.err, os.ErrDeadlineExceeded) { // The sweeper or the other move has ended this one.
			continue
		}
		if _, ok := errors.AsType[*WriteError](move.err); ok {
			return move.writing
		}
		return move.reading
	}
	return ""
}
