package http1

import (
	"errors"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"trellis/internal/proxy/buffer"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
)

// upload sends the body of a request that did not come with its head. It has a goroutine of its own, since the target may
// respond at any time. The connection's goroutine starts it, and waits for it before the exchange ends.
type upload struct {
	target   *upstream.Conn
	outcome  atomic.Int32
	problem  error       // the body was malformed; set with the outcome
	discards atomic.Bool // the target has responded and needs no more
	last     atomic.Bool // all of the body has been read; only its last piece is left to write
	ended    chan struct{}
	run      func() // uploadBody
	received int64
	pooled   *buffer.Buffer
	rest     []byte // the bytes after the body, in pooled
}

// The outcomes of an upload.
const (
	uploadRunning int32 = iota
	uploadComplete
	uploadDropped // the target needed no more, and too much was left to discard
	uploadClientGone
	uploadClientLate
	uploadMalformed
)

// startUpload starts the upload of the rest of the body to c.Target.
func (c *conn) startUpload() {
	u := &c.upload
	if u.ended == nil {
		u.ended = make(chan struct{}, 1)
		u.run = c.uploadBody
	}
	c.x.Uploads = true
	u.target, u.received, u.rest, u.problem = c.Target, 0, nil, nil
	u.outcome.Store(uploadRunning)
	u.discards.Store(false)
	u.last.Store(false)
	u.pooled = c.Env.Buffers.Get()
	c.awaitUploading(downstream.UploadReads)
	go u.run()
}

func (c *conn) uploadBody() {
	u := &c.upload
	outcome := uploadMalformed
	defer func() {
		if problem := recover(); problem != nil {
			c.Env.Log.Error("panic in an upload", "problem", problem, "stack", string(debug.Stack()))
		}
		u.outcome.Store(outcome)
		if outcome != uploadComplete && outcome != uploadDropped {
			// Otherwise the connection's goroutine would wait for a response that will not come.
			u.target.SetDeadline(downstream.Past)
		}
		c.Upload.End()
		u.ended <- struct{}{}
	}()
	outcome = c.copyBody()
}

// copyBody sends the body on as it comes. When the target takes no more, copyBody still reads some of the body, since a client
// may read the response only after it has sent everything.
func (c *conn) copyBody() (outcome int32) {
	u, body := &c.upload, &c.x.RequestBody
	room := u.pooled.Bytes[:]
	broken, discarded := false, 0
	for !body.Done() {
		c.awaitUploading(downstream.UploadReads)
		piece := room
		if body.Framing == http1.ByLength && body.Remaining() < int64(len(piece)) {
			piece = piece[:body.Remaining()]
		}
		n, err := c.Read(piece)
		if n == 0 {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return uploadClientLate
			}
			return uploadClientGone
		}
		u.received += int64(n)
		kept, taken, err := body.Take(piece[:n], true)
		if err != nil {
			u.problem = err
			return uploadMalformed
		}
		u.rest = piece[taken:n]
		if body.Done() {
			u.last.Store(true)
		}
		if !broken && !u.discards.Load() && kept > 0 {
			c.awaitUploading(downstream.UploadWrites)
			_, err := u.target.Write(piece[:kept])
			broken = err != nil
		}
		if broken || u.discards.Load() {
			if discarded += n; discarded > downstream.MaxDiscardBytes {
				return uploadDropped
			}
		}
	}
	if broken {
		return uploadDropped
	}
	if body.Framing == http1.ByChunks && body.Chunks.HasTrailers() && !u.discards.Load() {
		c.awaitUploading(downstream.UploadWrites)
		if _, err := u.target.Write(body.Chunks.AppendTrailers(nil)); err != nil {
			return uploadDropped
		}
	}
	return uploadComplete
}

// awaitUploading states what the upload waits for from now on.
func (c *conn) awaitUploading(state int32) { c.Upload.Await(state, &c.Env.Clock, c.IdleMillis) }

// uploaded reports whether all of the body has been sent. It does not wait for the client. A target may respond to the last
// piece before the goroutine that sends the piece has noted that it has; that goroutine is waited for.
func (c *conn) uploaded() bool {
	u := &c.upload
	if u.outcome.Load() == uploadRunning && u.last.Load() {
		// A write that the target has taken succeeds all the same; one that waits for the target is ended.
		u.target.SetWriteDeadline(downstream.Past)
		<-u.ended
		u.ended <- struct{}{} // For awaitUpload.
		u.target.SetWriteDeadline(time.Time{})
	}
	return u.outcome.Load() == uploadComplete
}

// uploadRefusal returns how a request is refused whose body the client failed to send.
func (c *conn) uploadRefusal() (exchange.Refusal, bool) {
	if !c.x.Uploads {
		return exchange.Refusal{}, false
	}
	switch c.upload.outcome.Load() {
	case uploadClientGone:
		return exchange.ClientGone, true
	case uploadClientLate:
		return exchange.LateClient, true
	case uploadMalformed:
		r := exchange.Malformed
		r.Problem = c.upload.problem
		return r, true
	}
	return exchange.Refusal{}, false
}

// awaitUpload waits for the upload to end. It returns whether the connection can carry another request.
func (c *conn) awaitUpload(keep bool) bool {
	u := &c.upload
	u.discards.Store(true)
	if u.outcome.Load() == uploadRunning {
		if !keep {
			downstream.CloseWrite(c.Stream())
		}
		c.Enter(downstream.Discarding, downstream.LingerMillis)
	}
	<-u.ended
	c.x.Record.Received += u.received
	return keep && c.x.RequestBody.Done()
}

// endUpload takes up the bytes after the body, which begin the next request.
func (c *conn) endUpload() {
	u, x := &c.upload, c.x
	if len(u.rest) > 0 {
		x.takeRest(u.rest)
	}
	c.Env.Buffers.Put(u.pooled)
	u.pooled, u.rest, u.target = nil, nil, nil
	x.Uploads = false
}
