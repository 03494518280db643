package http2

import (
	"context"
	"io"
	"time"

	wire "golang.org/x/net/http2"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/buffer"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
)

// exchangeHTTP1 sends the request to a target that speaks HTTP/1.1, and the response to the client. An error says
// that the client has got nothing of a response.
func (st *stream) exchangeHTTP1(pool upstream.Connections) error {
	x := st.x
	body := st.body // It is set if this is another attempt.
	x.Out = x.AppendRequestHead(x.Out[:0])
	complete := x.RequestBody.Framing == http1.NoBody || body != nil
	if length, all := st.http.Ready(); !complete && all && length <= buffer.Bytes/2 {
		// The whole body has come: it goes out with the head, and can be sent again.
		var err error
		if body, err = st.readBody(length); err != nil {
			return err
		}
		st.body, complete = body, true
	}
	if complete {
		x.Out = append(x.Out, body...)
	}
	target, err := st.connectHTTP1(pool)
	if err != nil {
		return err
	}
	st.touch()
	room := x.ResponseRoom()
	x.Sent()
	var n int
	if complete {
		n, err = target.Exchange(x.Out, room)
	} else {
		if err := target.Send(x.Out, room); err != nil {
			return err
		}
		st.startUpload(func() error { return st.uploadHTTP1(target) })
		n, err = target.Receive(room)
	}
	if err != nil {
		return err
	}
	st.touch()
	return st.respondHTTP1(target, n)
}

// readBody reads a body that has come, framed as the target needs it.
func (st *stream) readBody(length int) ([]byte, error) {
	x := st.x
	body := make([]byte, 0, length+64)
	if x.Request.Chunked && length > 0 {
		body = exchange.AppendChunkSize(body, length)
	}
	start := len(body)
	body = body[:start+length]
	if length > 0 {
		if _, err := io.ReadFull(st.http, body[start:]); err != nil {
			return nil, &exchange.ClientError{Err: err}
		}
		st.http.Credit(length)
		st.received.Add(int64(length))
	}
	if x.Request.Chunked {
		if length > 0 {
			body = append(body, "\r\n"...)
		}
		body = st.appendEnd(body)
	}
	return body, nil
}

// appendEnd appends the last chunk and the trailers.
func (st *stream) appendEnd(dst []byte) []byte {
	dst = append(dst, "0\r\n"...)
	if trailers := st.http.Trailers(); trailers != nil {
		http1.Trailers(trailers, func(name, value []byte) {
			dst = append(dst, name...)
			dst = exchange.AppendLine(dst, ": ", value)
		})
	}
	return append(dst, "\r\n"...)
}

// connectHTTP1 returns a connection to the target.
func (st *stream) connectHTTP1(pool upstream.Connections) (target *upstream.Conn, err error) {
	if target = st.x.Idle(pool); target == nil {
		err = st.dial(func(ctx context.Context) (err error) {
			target, err = pool.Dial(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return target, st.hold(func() { st.target = target })
}

// uploadHTTP1 sends the body on as it comes.
func (st *stream) uploadHTTP1(target *upstream.Conn) error {
	for {
		st.awaits.Store(downstream.UploadReads)
		st.http.Await() // No buffer is held: a stream may be quiet for a long time.
		err := st.uploadPieceHTTP1(target)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	st.last.Store(true)
	if st.x.Request.Chunked {
		st.awaits.Store(downstream.UploadWrites)
		_, err := target.Write(st.appendEnd(nil))
		return err
	}
	return nil
}

// uploadPieceHTTP1 sends on what has come of the body. The error is io.EOF at its end.
func (st *stream) uploadPieceHTTP1(target *upstream.Conn) error {
	pooled := st.c.Env.Buffers.Get()
	defer st.c.Env.Buffers.Put(pooled)
	const room = 16 // for the size of a chunk
	n, err := st.http.Read(pooled.Bytes[room : len(pooled.Bytes)-exchange.ChunkRoom])
	if err == io.EOF {
		return err
	}
	if err != nil {
		// The client has failed. The target must not take what it has got for the whole body.
		target.SetDeadline(downstream.Past)
		return err
	}
	st.awaits.Store(downstream.UploadWrites)
	st.received.Add(int64(n))
	st.touch()
	if left, all := st.http.Ready(); all && left == 0 {
		st.last.Store(true)
	}
	piece := pooled.Bytes[room : room+n]
	if st.x.Request.Chunked {
		var size [room]byte
		line := exchange.AppendChunkSize(size[:0], n)
		copy(pooled.Bytes[room-len(line):], line)
		copy(pooled.Bytes[room+n:], "\r\n")
		piece = pooled.Bytes[room-len(line) : room+n+len("\r\n")]
	}
	if _, err := target.Write(piece); err != nil {
		return err // The response may have come; the goroutine that reads it will see.
	}
	st.http.Credit(n)
	st.touch()
	return nil
}

// respondHTTP1 passes the response on, of which n bytes have come.
func (st *stream) respondHTTP1(target *upstream.Conn, n int) error {
	x := st.x
	end := exchange.HeadRoom + n
	head := 0
	for {
		var err error
		if head, end, err = x.ReceiveHead(target, end); err != nil {
			return err
		}
		st.touch()
		interim, err := st.takeHead()
		if err != nil {
			return err
		}
		if !interim {
			break
		}
		copy(x.FromTarget[exchange.HeadRoom:], x.FromTarget[exchange.HeadRoom+head:end])
		end -= head
	}
	body := &x.ResponseBody
	x.StartBody()
	from := exchange.HeadRoom + head
	kept, taken, err := body.Take(x.FromTarget[from:end], false)
	if err != nil {
		return err
	}
	st.reusable = x.Reusable() && body.Done() && from+taken == end
	x.Out = st.appendResponseBlock(x.Out[:0])
	trailers, err := st.trailersHTTP1()
	if err != nil {
		return err
	}
	st.begin()
	if st.send(x.Out, x.FromTarget[from:from+kept], body.Done() && trailers == nil) != nil {
		st.clientFailed()
		return nil
	}
	if !body.Done() {
		if trailers, err = st.relayHTTP1(target, end == len(x.FromTarget)-exchange.ChunkRoom); err != nil {
			return nil
		}
	}
	if trailers != nil && st.send(trailers, nil, true) != nil {
		st.clientFailed()
		return nil
	}
	st.releaseTarget()
	return nil
}

// trailersHTTP1 returns the trailers of the response as a block, if there are any and they have come.
func (st *stream) trailersHTTP1() ([]byte, error) {
	body := &st.x.ResponseBody
	if body.Framing != http1.ByChunks || !body.Done() || !body.Chunks.HasTrailers() {
		return nil, nil
	}
	lines := body.Chunks.AppendTrailers(nil)
	st.x.TakeTrailers(lines)
	return trailerBlock(lines)
}

// relayHTTP1 passes the rest of the body on, and returns the trailers. isLarge says that the body seems to be large. After an
// error the response has been broken off.
func (st *stream) relayHTTP1(target *upstream.Conn, isLarge bool) (trailers []byte, err error) {
	body := &st.x.ResponseBody
	var large *buffer.Buffer
	defer func() { st.returnBuffer(large) }()
	for !body.Done() {
		if isLarge && large == nil {
			large = st.borrowBuffer()
		}
		room := st.x.FromTarget
		if large != nil {
			room = large.Bytes[:]
		}
		n, err := target.Read(room)
		st.touch()
		kept := 0
		if n > 0 {
			var taken int
			if kept, taken, err = body.Take(room[:n], false); err != nil {
				st.breakResponse(accesslog.TargetProtocolError, wire.ErrCodeInternal, err)
				return nil, err
			}
			st.reusable = st.x.Reusable() && body.Done() && taken == n
		} else {
			if err == io.EOF {
				err = body.End()
			}
			if err != nil {
				st.breakResponse(accesslog.TargetConnectionClosed, wire.ErrCodeInternal, err)
				return nil, err
			}
		}
		if trailers, err = st.trailersHTTP1(); err != nil {
			st.breakResponse(accesslog.TargetProtocolError, wire.ErrCodeInternal, err)
			return nil, err
		}
		if kept == 0 && !(body.Done() && trailers == nil) {
			continue
		}
		if err := st.send(nil, room[:kept], body.Done() && trailers == nil); err != nil {
			st.clientFailed()
			return nil, err
		}
		if isLarge = n >= len(st.x.FromTarget); !isLarge {
			st.returnBuffer(large)
			large = nil
		}
	}
	return trailers, nil
}

// borrowBuffer returns a buffer for a large response, or nil if the client's allowance is used up.
func (st *stream) borrowBuffer() *buffer.Buffer {
	allowance := st.http.Allowance()
	if got := allowance.Take(buffer.Bytes); got < buffer.Bytes {
		allowance.Give(got)
		return nil
	}
	return st.c.Env.Buffers.Get()
}

// returnBuffer ends the use of a buffer, if there is one.
func (st *stream) returnBuffer(b *buffer.Buffer) {
	if b != nil {
		st.c.Env.Buffers.Put(b)
		st.http.Allowance().Give(buffer.Bytes)
	}
}

// releaseTarget ends the use of the target's connection after all of the response has been passed on.
func (st *stream) releaseTarget() {
	reusable := st.reusable
	if st.uploaded != nil {
		if st.last.Load() {
			// The target has most likely responded to the last piece before the upload could see that it was sent. A write that
			// the target has taken succeeds all the same; one that waits for the target ends.
			st.target.SetWriteDeadline(downstream.Past)
			<-st.uploaded
			st.uploaded = nil
			st.target.SetWriteDeadline(time.Time{})
		}
		st.stopUpload()
		reusable = reusable && st.awaits.Load() == 0
	}
	st.mu.Lock()
	target := st.target
	st.target = nil
	reusable = reusable && st.why == downstream.CauseNone
	st.mu.Unlock()
	switch {
	case target == nil:
	case reusable:
		target.Release()
	default:
		target.Discard()
	}
}
