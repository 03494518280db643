package http1

import (
	"errors"

	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
)

// exchange carries the request that has been parsed, and its response. It returns whether the connection stays open.
func (c *conn) exchange() bool {
	x := c.x
	x.parsed = false
	x.keepAlive = exchange.KeepsAlive(&x.Request.Head)
	r, refused := x.Begin(&c.Client, routing.HTTP1, len(x.Request.Bytes)+len(x.body))
	if x.Service != nil {
		c.IdleMillis = x.Service.IdleTimeout.Milliseconds()
	}
	if x.malformed != nil {
		// It is not known where the next request starts.
		x.keepAlive = false
		c.Linger()
		if !refused {
			x.Record.Problem = x.malformed
			r, refused = exchange.ViolationRefusal(x.malformed), true
		}
	}
	if refused {
		return c.refuse(r)
	}
	return c.forward()
}

// forward sends the request to its target and the response to the client.
func (c *conn) forward() bool {
	x := c.x
	x.Out = x.AppendRequestHead(x.Out[:0])
	x.Out = append(x.Out, x.body...)
	if x.RequestBody.Done() && x.RequestBody.Framing == http1.ByChunks && x.RequestBody.Chunks.HasTrailers() {
		x.Out = x.RequestBody.Chunks.AppendTrailers(x.Out)
	}
	for {
		n, err := c.attempt()
		if err == nil {
			return c.respond(n)
		}
		if again, keep := c.failed(err); !again {
			return keep
		}
	}
}

// errIdleTooLong says that the sweeper closed the client's connection, which was idle, just as the request came. The client
// sees what it always sees when a server closes an idle connection.
var errIdleTooLong = errors.New("the connection was idle for too long")

// attempt sends the request and returns how many bytes of a response have come. They are in x.FromTarget, after HeadRoom.
func (c *conn) attempt() (int, error) {
	x := c.x
	connections, err := upstream.ConnectionsTo(x.Target)
	if err != nil {
		return 0, err
	}
	target := x.Idle(connections)
	if target == nil {
		c.Enter(downstream.Dialing, 0)
		if target, err = connections.Dial(c.Env.Dialing); err != nil {
			return 0, err
		}
	}
	c.Target = target
	if c.Enter(downstream.AwaitingTarget, c.IdleMillis) != downstream.CauseNone {
		return 0, errIdleTooLong
	}
	room := x.ResponseRoom()
	x.Sent()
	if x.RequestBody.Done() {
		return target.Exchange(x.Out, room)
	}
	if err := target.Send(x.Out, room); err != nil {
		return 0, err
	}
	c.startUpload()
	return target.Receive(room)
}

// failed decides what follows a failed attempt. again says that another one follows; if not, keep reports whether the client's
// connection stays open.
func (c *conn) failed(err error) (again, keep bool) {
	x := c.x
	reused := c.Target != nil && c.Target.Reused
	why := c.DropTarget()
	if err == errIdleTooLong {
		return false, c.conclude(false)
	}
	if r, ok := c.uploadRefusal(); ok {
		return false, c.refuse(r)
	}
	if why != downstream.CauseNone {
		return false, c.refuse(why.Refusal())
	}
	again, pause := x.Retry(upstream.Attempt{Err: err, Reused: reused, Replayable: !x.Uploads})
	if again {
		c.Enter(downstream.Dialing, 0)
		exchange.Pause(c.Env.Dialing, pause)
		return true, false
	}
	r := exchange.TargetRefusal(err)
	if r != exchange.LateTarget {
		x.Record.Problem = err
	}
	return false, c.refuse(r)
}
