package proxy

import (
	"errors"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
)

// maxDiscardBytes and lingerMillis bound how much of a request's body, and for how long, is read that nobody wants any
// more, so that the client gets to read the answer.
const (
	maxDiscardBytes = 256 << 10
	lingerMillis    = 2000
)

// upload is the sending of a request's body that was not there with its head. It has a goroutine of its own, since the
// target may answer at any time; the connection's goroutine starts it and waits for it before the exchange ends.
type upload struct {
	target   *upstream.Conn
	state    atomic.Int32 // what it waits for; the sweeper looks at it
	deadline atomic.Int64 // and until when
	outcome  atomic.Int32
	discards atomic.Bool // the target has answered and wants no more
	last     atomic.Bool // all of the body has been read; what is left is to write the last piece of it
	ended    chan struct{}
	received int64
	pooled   *buffer
	rest     []byte // what came after the body, in pooled
}

// What an upload waits for.
const (
	uploadNone int32 = iota
	uploadReads
	uploadWrites
)

// What became of an upload.
const (
	uploadRunning int32 = iota
	uploadComplete
	uploadDropped // the target wanted no more, and there was too much to discard
	uploadClientGone
	uploadClientLate
	uploadMalformed
)

// startUpload starts the upload of the rest of the body to c.target.
func (c *connection) startUpload() {
	u := &c.upload
	if u.ended == nil {
		u.ended = make(chan struct{}, 1)
		c.runUpload = c.uploadBody
	}
	c.x.uploads = true
	u.target, u.received, u.rest = c.target, 0, nil
	u.outcome.Store(uploadRunning)
	u.discards.Store(false)
	u.last.Store(false)
	u.pooled = c.proxy.getBuffer()
	u.deadline.Store(c.proxy.clock.now() + c.idleMillis)
	u.state.Store(uploadReads)
	go c.runUpload()
}

func (c *connection) uploadBody() {
	u := &c.upload
	outcome := uploadMalformed
	defer func() {
		if problem := recover(); problem != nil {
			c.proxy.cfg.Log.Error("panic in an upload", "problem", problem, "stack", string(debug.Stack()))
		}
		u.outcome.Store(outcome)
		if outcome != uploadComplete && outcome != uploadDropped {
			u.target.SetDeadline(past) // The connection's goroutine waits for an answer that will not come.
		}
		u.state.Store(uploadNone)
		u.ended <- struct{}{}
	}()
	outcome = c.copyBody()
}

// copyBody sends the body on as it comes. When the target takes no more, it still reads some of it, since a client may
// read the answer only after it has sent everything.
func (c *connection) copyBody() (outcome int32) {
	u, body := &c.upload, &c.x.requestBody
	room := u.pooled.bytes[:]
	broken, discarded := false, 0
	for !body.Done() {
		u.wait(c, uploadReads)
		piece := room
		if body.Framing == http1.ByLength && body.Remaining() < int64(len(piece)) {
			piece = piece[:body.Remaining()]
		}
		n, err := c.conn.Read(piece)
		if n == 0 {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return uploadClientLate
			}
			return uploadClientGone
		}
		u.received += int64(n)
		kept, taken, err := body.Take(piece[:n], true)
		if err != nil {
			return uploadMalformed
		}
		u.rest = piece[taken:n]
		if body.Done() {
			u.last.Store(true)
		}
		if !broken && !u.discards.Load() && kept > 0 {
			u.wait(c, uploadWrites)
			_, err := u.target.Write(piece[:kept])
			broken = err != nil
		}
		if broken || u.discards.Load() {
			if discarded += n; discarded > maxDiscardBytes {
				return uploadDropped
			}
		}
	}
	if broken {
		return uploadDropped
	}
	if body.Framing == http1.ByChunks && body.Chunks.HasTrailers() && !u.discards.Load() {
		u.wait(c, uploadWrites)
		if _, err := u.target.Write(body.Chunks.AppendTrailers(nil)); err != nil {
			return uploadDropped
		}
	}
	return uploadComplete
}

func (u *upload) wait(c *connection, state int32) {
	u.deadline.Store(c.proxy.clock.now() + c.idleMillis)
	u.state.Store(state)
}

// uploaded reports whether all of the body has been sent. It does not wait for the client. A target that answers to the
// last piece may be faster than the goroutine that sent it, so that one is waited for when nothing is left but to write.
func (c *connection) uploaded() bool {
	u := &c.upload
	if u.outcome.Load() == uploadRunning && u.last.Load() {
		// A write that the target has taken succeeds all the same; one that waits for the target ends.
		u.target.SetWriteDeadline(past)
		<-u.ended
		u.ended <- struct{}{} // For awaitUpload.
		u.target.SetWriteDeadline(time.Time{})
	}
	return u.outcome.Load() == uploadComplete
}

// uploadRefusal returns the answer to a request whose body the client failed to send.
func (c *connection) uploadRefusal() (refusal, bool) {
	if !c.x.uploads {
		return refusal{}, false
	}
	switch c.upload.outcome.Load() {
	case uploadClientGone:
		return clientGone, true
	case uploadClientLate:
		return lateClient, true
	case uploadMalformed:
		return malformed, true
	}
	return refusal{}, false
}

// awaitUpload waits for the upload to end. It returns whether the connection can carry another request.
func (c *connection) awaitUpload(keep bool) bool {
	u := &c.upload
	u.discards.Store(true)
	if u.outcome.Load() == uploadRunning {
		if !keep {
			closeWrite(c.conn)
		}
		c.enter(phaseRead, lingerMillis)
	}
	<-u.ended
	c.x.record.Received += u.received
	return keep && c.x.requestBody.Done()
}

// endUpload takes up what came after the body, which is the beginning of the next request.
func (c *connection) endUpload() {
	u, x := &c.upload, c.x
	if len(u.rest) > 0 {
		x.takeRest(u.rest)
	}
	c.proxy.putBuffer(u.pooled)
	u.pooled, u.rest, u.target = nil, nil, nil
	x.uploads = false
}

// takeRest puts bytes where those of the next request belong.
func (x *exchange) takeRest(rest []byte) {
	if len(rest) > len(x.in) {
		x.in = make([]byte, bodyBufferBytes)
	}
	x.start, x.end = 0, copy(x.in, rest)
}
