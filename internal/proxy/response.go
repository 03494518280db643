package proxy

import (
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
)

// respond carries the answer, of which n bytes have come, to the client. It returns whether the connection stays open.
func (c *connection) respond(n int) bool {
	x := c.x
	end := answerRoom + n
	head := 0
	for interim := 0; ; interim++ {
		var err error
		if head, end, err = x.receiveHead(c.target, end); err != nil {
			_, keep := c.failed(err)
			return keep
		}
		if status := x.response.Status; status >= 200 || status == 101 {
			break
		}
		if interim == http1.MaxInterim {
			_, keep := c.failed(http1.UnexpectedStatus)
			return keep
		}
		if err := c.respondInterim(); err != nil {
			return c.clientFailed()
		}
		copy(x.answer[answerRoom:], x.answer[answerRoom+head:end])
		end -= head
	}
	x.record.Status = x.response.Status
	if c.proxy.cfg.AccessLog != nil {
		x.record.FromTarget = time.Since(x.record.Start) - x.record.ToTarget
	}
	if c.proxy.cfg.Explain {
		x.explain()
	}
	if x.response.Status == 101 {
		if !x.upgrades() {
			_, keep := c.failed(http1.UnexpectedStatus)
			return keep
		}
		return c.tunnel(answerRoom+head, end)
	}
	return c.respondFinal(answerRoom+head, end)
}

// receiveHead parses the head of a response that starts at answerRoom and of which the bytes up to end have come. It
// returns the head's length and how far the bytes reach then.
func (x *exchange) receiveHead(target *upstream.Conn, end int) (head, reached int, err error) {
	x.response.Reset()
	for {
		if end > answerRoom {
			head, err := x.response.Parse(x.answer[answerRoom:end])
			if head > 0 || err != nil {
				return head, end, err
			}
		}
		if end == len(x.answer)-chunkRoom {
			larger := make([]byte, answerRoom+http1.MaxHeadBytes+answerBufferBytes)
			copy(larger, x.answer)
			x.answer = larger
		}
		n, err := target.Receive(x.answer[end : len(x.answer)-chunkRoom])
		if err != nil {
			if broken, ok := errors.AsType[*upstream.BrokenError](err); ok {
				broken.Received = true
			}
			return 0, end, err
		}
		end += n
	}
}

// respondInterim passes an interim response on (RFC 9110 15.2). A client of HTTP/1.0 knows none, and one that does not
// wait for a 100 is not told to continue.
func (c *connection) respondInterim() error {
	x := c.x
	if x.request.Minor == 0 || x.response.Status == 100 && !x.awaitsContinue() {
		return nil
	}
	// The request still stands in x.out, but is not needed any more: an answer has begun.
	out, from := appendStatus(x.out[:0], &x.response)
	x.out = appendFields(out, &x.response.Head, from, &notToClient)
	x.out = append(x.out, "\r\n"...)
	x.continued = x.continued || x.response.Status == 100
	if err := c.write(x.out); err != nil {
		return err
	}
	c.enter(phaseTarget, c.idleMillis)
	return nil
}

// respondFinal passes the final response on, whose body starts at from in x.answer; the bytes up to end have come.
func (c *connection) respondFinal(from, end int) bool {
	x := c.x
	response, body := &x.response, &x.responseBody
	body.StartResponse(response, string(x.request.Method) == "HEAD")
	reusable := keepsAlive(&response.Head) && body.Framing != http1.UntilClose
	x.keepAlive = x.keepAlive && c.lasts()
	unframed := body.Framing == http1.ByChunks || body.Framing == http1.UntilClose
	if unframed && x.request.Minor == 0 {
		x.keepAlive = false // Only the end of the connection can tell the client where the body ends.
	}
	if x.uploads && x.awaitsContinue() && !x.continued && !c.uploaded() {
		x.keepAlive = false // Whether the client will send the body now is anyone's guess (RFC 9110 10.1.1).
	}

	x.out = x.appendResponseHead(x.out[:0])
	kept, taken, err := body.Take(x.answer[from:end], x.chunksToClient())
	if err != nil {
		_, keep := c.failed(err)
		return keep
	}
	if body.Framing == http1.UntilClose && x.chunksToClient() && kept > 0 {
		x.out = appendChunkSize(x.out, kept)
		copy(x.answer[from+kept:], "\r\n")
		kept += len("\r\n")
	}
	if body.Done() {
		c.finishTarget(reusable && from+taken == end)
	}
	// Put the head right before the body, over what the target sent as head, so that one write sends both.
	first := x.answer[from : from+kept]
	if start := from - len(x.out); start >= 0 {
		copy(x.answer[start:], x.out)
		first = x.answer[start : from+kept]
	} else {
		err = c.write(x.out)
	}
	// When the room was full there is more already, which goes along.
	more := !body.Done() && end == len(x.answer)-chunkRoom && c.inside && c.secured == nil
	if err == nil && !more {
		err = c.write(first)
		first = nil
	}
	if err != nil {
		return c.clientFailed()
	}
	if !body.Done() && !c.relay(first, reusable) {
		return c.conclude(false)
	}
	if body.Framing == http1.ByChunks && x.chunksToClient() && body.Chunks.HasTrailers() {
		if c.write(body.Chunks.AppendTrailers(x.out[:0])) != nil {
			return c.clientFailed()
		}
	}
	return c.conclude(x.keepAlive)
}

// relay passes the rest of a response's body on, after what has not been sent of its beginning. It says whether the
// response is whole; the client of one that is not must see that, and so must not get a last chunk or an orderly end.
func (c *connection) relay(first []byte, reusable bool) bool {
	x := c.x
	body, chunks := &x.responseBody, x.chunksToClient()
	pooled := c.proxy.getBuffer()
	defer c.proxy.putBuffer(pooled)
	room := pooled.bytes[answerRoom : len(pooled.bytes)-chunkRoom]
	for !body.Done() {
		if why := c.enter(phaseTarget, c.idleMillis); why != causeNone { // Just as the last wait was over.
			return c.breakResponse(causeRefusal(why).failure, nil)
		}
		var n int
		var err error
		if len(first) == 0 {
			n, err = c.target.Read(room)
		} else if n, err = c.target.TryRead(room); n == 0 {
			if c.write(first) != nil {
				return c.clientBroke()
			}
			if first = nil; err == nil {
				continue
			}
		}
		if n == 0 {
			if err != io.EOF {
				return c.breakResponse(TargetConnectionClosed, err)
			}
			if err := body.End(); err != nil {
				return c.breakResponse(TargetConnectionClosed, err)
			}
			c.finishTarget(false)
			if !chunks {
				break
			}
			if c.write(append(x.out[:0], "0\r\n\r\n"...)) != nil {
				return c.clientBroke()
			}
			break
		}
		kept, taken, err := body.Take(room[:n], chunks)
		if err != nil {
			return c.breakResponse(TargetProtocolError, err)
		}
		if body.Done() {
			c.finishTarget(reusable && taken == n)
		}
		if kept == 0 && len(first) == 0 {
			continue
		}
		piece := room[:kept]
		if chunks && body.Framing == http1.UntilClose {
			x.out = appendChunkSize(x.out[:0], kept)
			start := answerRoom - len(x.out)
			copy(pooled.bytes[start:], x.out)
			copy(pooled.bytes[answerRoom+kept:], "\r\n")
			piece = pooled.bytes[start : answerRoom+kept+len("\r\n")]
		}
		if c.writeBoth(first, piece) != nil {
			return c.clientBroke()
		}
		first = nil
	}
	return true
}

// appendChunkSize appends the line that starts a chunk.
func appendChunkSize(dst []byte, size int) []byte {
	return append(strconv.AppendInt(dst, int64(size), 16), "\r\n"...)
}

// finishTarget ends the use of the target's connection: all of the response has been read.
func (c *connection) finishTarget(reusable bool) {
	x := c.x
	if x.uploads && !c.uploaded() {
		// The target has answered and wants no more of the body.
		c.upload.discards.Store(true)
		reusable = false
	}
	why := c.enter(phaseClient, c.idleMillis)
	target := c.target
	c.target = nil
	if reusable && why == causeNone {
		target.Release()
	} else {
		target.Discard()
	}
}

// breakResponse breaks off a response that has begun; the client sees a reset, since an orderly end could pass for the
// end of the body.
func (c *connection) breakResponse(failure Failure, problem error) bool {
	x := c.x
	if r, ok := c.uploadRefusal(); ok {
		failure = r.failure
	}
	if why := c.dropTarget(); why != causeNone {
		failure = causeRefusal(why).failure
	}
	x.record.Failure, x.record.Problem = failure, problem
	c.broken = true
	return false
}

// clientBroke breaks a response off because the client takes no more, or may take no more.
func (c *connection) clientBroke() bool {
	c.x.record.Failure = ClientConnectionClosed
	if c.proxy.clock.now() >= c.endsAt {
		c.x.record.Failure = ConnectionDurationExceeded
	}
	c.dropTarget()
	c.broken = true
	return false
}

// clientFailed ends an exchange whose client takes no more.
func (c *connection) clientFailed() bool {
	c.clientBroke()
	return c.conclude(false)
}

// write sends bytes to the client. Most of the time the socket takes them at once; only when it does not is there
// something to wait for.
func (c *connection) write(b []byte) error {
	c.x.record.Sent += int64(len(b))
	if c.inside && c.secured == nil {
		n, wait, err := socket.Write(c.fd, b)
		if !wait || err != nil {
			return err
		}
		b = b[n:]
	}
	if why := c.enter(phaseClient, c.idleMillis); why != causeNone && why != causeTimeout {
		return os.ErrDeadlineExceeded
	}
	_, err := c.conn.Write(b)
	return err
}

// writeBoth sends two pieces as one. Either may be empty; only within onReadable may the first one not be.
func (c *connection) writeBoth(first, second []byte) error {
	if len(first) == 0 {
		return c.write(second)
	}
	n, wait, err := socket.WriteBoth(c.fd, first, second)
	c.x.record.Sent += int64(n)
	if !wait || err != nil {
		return err
	}
	if n < len(first) {
		if err := c.write(first[n:]); err != nil {
			return err
		}
		return c.write(second)
	}
	return c.write(second[n-len(first):])
}
