package proxy

import (
	"errors"
	"net"
	"os"
	"runtime/debug"
	"time"

	"trellis/internal/proxy/passthrough"
	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/upstream"
	"trellis/internal/routing"
)

// unsentTunnelBytes is how much may wait in the kernel for a side that takes nothing. With 64 KB moving cost a sixth more,
// with 256 KB a little more.
const unsentTunnelBytes = 1 << 20

// passThrough carries a connection to a target of a TLS_PASSTHROUGH listener. The ClientHello that led here is in x.in,
// and goes to the target as it is. For the access log the connection is one exchange.
func (c *connection) passThrough(serverName, hello []byte, service *routing.Service) {
	r := &Record{Start: time.Now(), Source: c.source, Protocol: "TLS", TLS: &TLS{ServerName: string(serverName)}}
	c.idleMillis = service.IdleTimeout.Milliseconds()
	key, ok := c.proxy.hellos.enter(hello)
	if ok {
		defer c.proxy.hellos.leave(key)
		r.Failure, r.Problem = c.connectThrough(service)
	} else {
		c.x.plan = plan{service: service}
		r.Failure, r.Problem = loop.failure, loop.problem
	}
	if c.target == nil {
		c.alert(alertInternalError)
	}
	pl := c.x.plan
	r.Service, r.Rule, r.Forward = pl.service, pl.rule, pl.forward
	if pl.target != nil {
		r.Target = pl.target.Address
	}
	if c.target != nil {
		r.ToTarget = time.Since(r.Start)
		c.moveBytes(r)
	}
	if r.Failure != "" {
		c.proxy.logFailure(r)
	}
	if log := c.proxy.cfg.AccessLog; log != nil {
		r.Duration = time.Since(r.Start)
		log(r)
	}
}

// connectThrough chooses a target and connects to it, or else to another one. Why it could not is what it
// returns.
func (c *connection) connectThrough(service *routing.Service) (Failure, error) {
	pl := &c.x.plan
	*pl = plan{}
	if pl.follow(service, http11, nil); pl.refused {
		return pl.refusal.failure, pl.refusal.problem
	}
	for c.x.attempts = (upstream.Attempts{}); ; {
		pool, err := upstream.ConnectionsTo(pl.target)
		if err == nil {
			c.enter(phaseDial, 0)
			if c.target, err = pool.Dial(c.proxy.dialing); err == nil {
				return "", nil
			}
		}
		if again, _ := c.x.retry(upstream.Attempt{Err: err}, 0); !again {
			return targetRefusal(err).failure, err
		}
	}
}

// moveBytes carries the connection once there is a target, until both sides have ended.
func (c *connection) moveBytes(r *Record) {
	x := c.x
	client, target := c.accepted, c.target.Conn.(*net.TCPConn)
	c.upload.deadline.Store(c.proxy.clock.now() + c.idleMillis)
	c.upload.state.Store(uploadReads)
	c.enter(phaseTunnel, c.idleMillis)
	socket.BoundUnsent(client, unsentTunnelBytes)
	socket.BoundUnsent(target, unsentTunnelBytes)
	early := x.in[x.start:x.end]
	_, err := target.Write(early)
	r.Received = int64(len(early))
	x.start = x.end
	c.rest() // Nothing more is needed of the exchange, and there may be many such connections.

	if err != nil {
		err = &passthrough.WriteError{Err: err}
	}
	why, up, down := causeNone, err, error(nil)
	if err == nil {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			up = c.moveOneWay(target, client, func(n int) {
				r.Received += int64(n)
				c.upload.deadline.Store(c.proxy.clock.now() + c.idleMillis)
			})
			c.upload.state.Store(uploadNone)
		}()
		down = c.moveOneWay(client, target, func(n int) {
			r.Sent += int64(n)
			why = max(why, c.enter(phaseTunnel, c.idleMillis))
		})
		<-ended
	}
	why = max(why, c.enter(phaseClient, c.idleMillis))
	switch r.Failure = passthroughFailure(up, down); {
	case r.Failure != "":
		// Both sides must see that it was no orderly end.
		c.broken = true
		target.SetLinger(0)
	case why > causeTimeout: // A connection that is idle for too long has not failed.
		r.Failure = causeRefusal(why).failure
	}
}

// passthroughFailure says who broke the connection, given how the moves from and to the client have ended.
func passthroughFailure(up, down error) Failure {
	for _, move := range []struct {
		err              error
		reading, writing Failure
	}{
		{up, ClientConnectionClosed, TargetConnectionClosed},
		{down, TargetConnectionClosed, ClientConnectionClosed},
	} {
		if move.err == nil || errors.Is(move.err, os.ErrDeadlineExceeded) { // That was the sweeper or the other move.
			continue
		}
		if _, ok := errors.AsType[*passthrough.WriteError](move.err); ok {
			return move.writing
		}
		return move.reading
	}
	return ""
}

// moveOneWay moves bytes until src ends, and passes the end on. When it breaks, so does the other direction.
func (c *connection) moveOneWay(dst, src *net.TCPConn, moved func(n int)) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			c.proxy.cfg.Log.Error("panic in a passthrough", "problem", problem, "stack", string(debug.Stack()))
			err = os.ErrDeadlineExceeded
		}
		if err != nil {
			c.spoil(dst, src)
		}
	}()
	if err := c.proxy.mover.Move(dst, src, moved); err != nil {
		return err
	}
	if err := dst.CloseWrite(); err != nil {
		return &passthrough.WriteError{Err: err}
	}
	return nil
}
