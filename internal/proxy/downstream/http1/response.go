package http1

import (
	"io"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/wire/http1"
)

// respond carries the response, of which n bytes have come, to the client. It returns whether the connection stays open.
func (c *conn) respond(n int) bool {
	x := c.x
	end := exchange.HeadRoom + n
	head := 0
	for {
		var step exchange.Step
		var err error
		if head, end, err = x.ReceiveHead(c.Target, end); err == nil {
			step, err = x.TakeHead()
		}
		if err != nil {
			_, keep := c.failed(err)
			return keep
		}
		if step == exchange.Final {
			break
		}
		if step == exchange.PassOn && c.respondInterim() != nil {
			return c.clientFailed()
		}
		copy(x.FromTarget[exchange.HeadRoom:], x.FromTarget[exchange.HeadRoom+head:end])
		end -= head
	}
	if x.Response.Status == 101 {
		x.TimeHead()
		return c.tunnel(exchange.HeadRoom+head, end)
	}
	return c.respondFinal(exchange.HeadRoom+head, end)
}

// respondInterim passes an interim response on.
func (c *conn) respondInterim() error {
	x := c.x
	// x.Out still holds the request, which is not needed any more: a response has begun.
	out, from := appendStatus(x.Out[:0], &x.Response)
	x.Out = exchange.AppendFields(out, &x.Response.Head, from, &exchange.NotToClient)
	x.Out = append(x.Out, "\r\n"...)
	if err := c.write(x.Out); err != nil {
		return err
	}
	c.Enter(downstream.AwaitingTarget, c.IdleMillis)
	return nil
}

// respondFinal passes the final response on, whose body starts at from in x.FromTarget; the bytes up to end have come.
func (c *conn) respondFinal(from, end int) bool {
	x := c.x
	body := &x.ResponseBody
	x.StartBody()
	if x.Uploads {
		x.TimeHead()
	}
	x.keepAlive = x.keepAlive && c.Lasts()
	unframed := body.Framing == http1.ByChunks || body.Framing == http1.UntilClose
	if unframed && x.Request.Minor == 0 {
		x.keepAlive = false // Only the end of the connection can tell the client where the body ends.
	}
	if x.Uploads && x.AwaitsContinue() && !x.WasContinued() && !c.uploaded() {
		x.keepAlive = false // It is not known whether the client will send the body now (RFC 9110 10.1.1).
	}

	x.Out = x.appendResponseHead(x.Out[:0])
	kept, taken, err := body.Take(x.FromTarget[from:end], x.chunksToClient())
	if err != nil {
		_, keep := c.failed(err)
		return keep
	}
	if body.Framing == http1.UntilClose && x.chunksToClient() && kept > 0 {
		x.Out = exchange.AppendChunkSize(x.Out, kept)
		copy(x.FromTarget[from+kept:], "\r\n")
		kept += len("\r\n")
	}
	if body.Done() {
		c.finishTarget(x.Reusable() && from+taken == end)
	} else {
		x.TimeHead()
	}
	// Put the head right before the body, over the head that the target sent, so that one write sends both.
	first := x.FromTarget[from : from+kept]
	if start := from - len(x.Out); start >= 0 {
		copy(x.FromTarget[start:], x.Out)
		first = x.FromTarget[start : from+kept]
	} else {
		err = c.write(x.Out)
	}
	// When the room was full, more has come already, and is sent along.
	more := !body.Done() && end == len(x.FromTarget)-exchange.ChunkRoom && c.TakesBoth()
	if err == nil && !more {
		err = c.write(first)
		first = nil
	}
	if err != nil {
		return c.clientFailed()
	}
	if !body.Done() && !c.relay(first) {
		return c.conclude(false)
	}
	if body.Framing == http1.ByChunks && x.chunksToClient() && body.Chunks.HasTrailers() {
		if c.write(body.Chunks.AppendTrailers(x.Out[:0])) != nil {
			return c.clientFailed()
		}
	}
	return c.conclude(x.keepAlive)
}

// relay passes the rest of a response's body on, after first, the part of its beginning that has not been sent. It reports
// whether the response is whole. If it is not, the client must see that, and so must not get a last chunk or an orderly end.
func (c *conn) relay(first []byte) bool {
	x := c.x
	body, chunks := &x.ResponseBody, x.chunksToClient()
	pooled := c.Env.Buffers.Get()
	defer c.Env.Buffers.Put(pooled)
	room := pooled.Bytes[exchange.HeadRoom : len(pooled.Bytes)-exchange.ChunkRoom]
	for !body.Done() {
		// A cause may come just as the wait is over.
		if why := c.Enter(downstream.AwaitingTarget, c.IdleMillis); why != downstream.CauseNone {
			return c.breakResponse(why.Refusal().Failure, nil)
		}
		var n int
		var err error
		if len(first) == 0 {
			n, err = c.Target.Read(room)
		} else if n, err = c.Target.TryRead(room); n == 0 {
			if c.write(first) != nil {
				return c.clientBroke()
			}
			if first = nil; err == nil {
				continue
			}
		}
		if n == 0 {
			if err != io.EOF {
				return c.breakResponse(accesslog.TargetConnectionClosed, err)
			}
			if err := body.End(); err != nil {
				return c.breakResponse(accesslog.TargetConnectionClosed, err)
			}
			c.finishTarget(false)
			if !chunks {
				break
			}
			if c.write(append(x.Out[:0], "0\r\n\r\n"...)) != nil {
				return c.clientBroke()
			}
			break
		}
		kept, taken, err := body.Take(room[:n], chunks)
		if err != nil {
			return c.breakResponse(accesslog.TargetProtocolError, err)
		}
		if body.Done() {
			c.finishTarget(x.Reusable() && taken == n)
		}
		if kept == 0 && len(first) == 0 {
			continue
		}
		piece := room[:kept]
		if chunks && body.Framing == http1.UntilClose {
			x.Out = exchange.AppendChunkSize(x.Out[:0], kept)
			start := exchange.HeadRoom - len(x.Out)
			copy(pooled.Bytes[start:], x.Out)
			copy(pooled.Bytes[exchange.HeadRoom+kept:], "\r\n")
			piece = pooled.Bytes[start : exchange.HeadRoom+kept+len("\r\n")]
		}
		if c.writeBoth(first, piece) != nil {
			return c.clientBroke()
		}
		first = nil
	}
	return true
}

// finishTarget ends the use of the target's connection, once all of the response has been read.
func (c *conn) finishTarget(reusable bool) {
	x := c.x
	if x.Uploads && !c.uploaded() {
		// The target has responded, and needs no more of the request's body.
		c.upload.discards.Store(true)
		reusable = false
	}
	why := c.Enter(downstream.Writing, c.IdleMillis)
	target := c.Target
	c.Target = nil
	if reusable && why == downstream.CauseNone {
		target.Release()
	} else {
		target.Discard()
	}
}

// breakResponse breaks off a response that has begun; the client sees a reset, since an orderly end could pass for the
// end of the body.
func (c *conn) breakResponse(failure accesslog.Failure, problem error) bool {
	x := c.x
	if r, ok := c.uploadRefusal(); ok {
		failure = r.Failure
	}
	if why := c.DropTarget(); why != downstream.CauseNone {
		failure = why.Refusal().Failure
	}
	x.Record.Failure, x.Record.Problem = failure, problem
	c.Break()
	return false
}

// clientBroke breaks a response off because the client reads no more, or because the sweeper has ended the wait for it.
func (c *conn) clientBroke() bool {
	c.x.Record.Failure = accesslog.ClientConnectionClosed
	if c.IsOverdue() {
		c.x.Record.Failure = accesslog.ConnectionDurationExceeded
	}
	c.DropTarget()
	c.Break()
	return false
}

// clientFailed ends an exchange whose client reads no more.
func (c *conn) clientFailed() bool {
	c.clientBroke()
	return c.conclude(false)
}

// write sends bytes to the client.
func (c *conn) write(b []byte) error {
	c.x.Record.Sent += int64(len(b))
	rest, err := c.WriteAtOnce(b)
	if err != nil || len(rest) == 0 {
		return err
	}
	c.x.TimeHead()
	return c.WriteRest(rest)
}

// writeBoth sends two pieces as one. Either may be empty, except that the first may not be within onReadable.
func (c *conn) writeBoth(first, second []byte) error {
	if len(first) == 0 {
		return c.write(second)
	}
	c.x.Record.Sent += int64(len(first) + len(second))
	return c.WriteBoth(first, second)
}
