package proxy

import (
	"context"
	"io"
	"time"

	wire "golang.org/x/net/http2"

	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
)

// exchangeHTTP1 sends the request to a target that speaks HTTP/1.1, and the answer to the client. The error says that
// the client has got nothing of an answer.
func (st *stream) exchangeHTTP1(pool upstream.Connections) error {
	x := st.x
	body := x.body // Not nil when this is another attempt.
	x.out = x.appendRequestHead(x.out[:0], st.m.forwarded)
	complete := x.requestBody.Framing == http1.NoBody || body != nil
	if length, all := st.http.Ready(); !complete && all && length <= bodyBufferBytes/2 {
		// The whole body is there: it goes out with the head, and can be sent again.
		var err error
		if body, err = st.readBody(length); err != nil {
			return err
		}
		x.body, complete = body, true
	}
	if complete {
		x.out = append(x.out, body...)
	}
	target, err := st.connectHTTP1(pool)
	if err != nil {
		return err
	}
	st.touch()
	x.borrowAnswer(st.m.proxy)
	room := x.answer[answerRoom : len(x.answer)-chunkRoom]
	x.record.ToTarget = st.sinceStart()
	var n int
	if complete {
		n, err = target.Exchange(x.out, room)
	} else {
		if err := target.Send(x.out, room); err != nil {
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

func (st *stream) sinceStart() time.Duration {
	if st.m.proxy.cfg.AccessLog == nil {
		return 0
	}
	return time.Since(st.x.record.Start)
}

// readBody reads a body that is there, framed as the target wants it.
func (st *stream) readBody(length int) ([]byte, error) {
	x := st.x
	body := make([]byte, 0, length+64)
	if x.request.Chunked && length > 0 {
		body = appendChunkSize(body, length)
	}
	start := len(body)
	body = body[:start+length]
	if length > 0 {
		if _, err := io.ReadFull(st.http, body[start:]); err != nil {
			return nil, &clientError{err}
		}
		st.http.Credit(length)
		st.received.Add(int64(length))
	}
	if x.request.Chunked {
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
			dst = appendLine(dst, ": ", value)
		})
	}
	return append(dst, "\r\n"...)
}

// connectHTTP1 returns a connection to the target.
func (st *stream) connectHTTP1(pool upstream.Connections) (target *upstream.Conn, err error) {
	if !st.x.attempts.Again() {
		target = pool.Idle()
	}
	if target == nil {
		err = st.dial(func(ctx context.Context) (err error) {
			target, err = pool.Dial(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	st.mu.Lock()
	st.target = target
	isLate := st.why != causeNone
	st.mu.Unlock()
	if isLate {
		return nil, &upstream.BrokenError{Err: errInterrupted}
	}
	return target, nil
}

// uploadHTTP1 sends the body on as it comes.
func (st *stream) uploadHTTP1(target *upstream.Conn) error {
	pooled := st.m.proxy.getBuffer()
	defer st.m.proxy.putBuffer(pooled)
	const room = 16 // for the size of a chunk
	for {
		st.awaits.Store(uploadReads)
		n, err := st.http.Read(pooled.bytes[room : len(pooled.bytes)-chunkRoom])
		if err == io.EOF {
			break
		}
		if err != nil {
			// The client has failed, and the target must not take what it has got for the whole.
			target.SetDeadline(past)
			return err
		}
		st.awaits.Store(uploadWrites)
		st.received.Add(int64(n))
		st.touch()
		if left, all := st.http.Ready(); all && left == 0 {
			st.last.Store(true)
		}
		piece := pooled.bytes[room : room+n]
		if st.x.request.Chunked {
			var size [room]byte
			line := appendChunkSize(size[:0], n)
			copy(pooled.bytes[room-len(line):], line)
			copy(pooled.bytes[room+n:], "\r\n")
			piece = pooled.bytes[room-len(line) : room+n+len("\r\n")]
		}
		if _, err := target.Write(piece); err != nil {
			return err // The answer may have come; who reads it will see.
		}
		st.http.Credit(n)
		st.touch()
	}
	st.last.Store(true)
	if st.x.request.Chunked {
		st.awaits.Store(uploadWrites)
		_, err := target.Write(st.appendEnd(nil))
		return err
	}
	return nil
}

// respondHTTP1 passes the answer on, of which n bytes have come.
func (st *stream) respondHTTP1(target *upstream.Conn, n int) error {
	x := st.x
	end := answerRoom + n
	head := 0
	for interim := 0; ; interim++ {
		var err error
		if head, end, err = x.receiveHead(target, end); err != nil {
			return err
		}
		st.touch()
		if x.response.Status >= 200 {
			break
		}
		if interim == http1.MaxInterim || x.response.Status == 101 {
			return http1.UnexpectedStatus
		}
		if x.response.Status != 100 || x.awaitsContinue() {
			if st.send(st.appendResponseBlock(nil), nil, false) != nil {
				st.clientFailed()
				return nil
			}
		}
		copy(x.answer[answerRoom:], x.answer[answerRoom+head:end])
		end -= head
	}
	response, body := &x.response, &x.responseBody
	body.StartResponse(response, string(x.request.Method) == "HEAD")
	reusable := !response.Close && (response.Minor == 1 || response.KeepAlive) && body.Framing != http1.UntilClose
	from := answerRoom + head
	kept, taken, err := body.Take(x.answer[from:end], false)
	if err != nil {
		return err
	}
	st.noteResponse()
	st.reusable = reusable && body.Done() && from+taken == end
	x.out = st.appendResponseBlock(x.out[:0])
	trailers, err := st.trailersHTTP1()
	if err != nil {
		return err
	}
	st.begin()
	if st.send(x.out, x.answer[from:from+kept], body.Done() && trailers == nil) != nil {
		st.clientFailed()
		return nil
	}
	if !body.Done() {
		if trailers, err = st.relayHTTP1(target, reusable); err != nil {
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

// noteResponse records that the head of the response has come.
func (st *stream) noteResponse() {
	x := st.x
	x.record.Status = x.response.Status
	x.record.FromTarget = st.sinceStart() - x.record.ToTarget
	if st.m.proxy.cfg.Explain {
		x.explain()
	}
}

// trailersHTTP1 returns the trailers of the response as a block, if there are any and they have come.
func (st *stream) trailersHTTP1() ([]byte, error) {
	body := &st.x.responseBody
	if body.Framing != http1.ByChunks || !body.Done() || !body.Chunks.HasTrailers() {
		return nil, nil
	}
	return trailerBlock(body.Chunks.AppendTrailers(nil))
}

// relayHTTP1 passes the rest of the body on, and returns the trailers. When there is an error the response has been
// broken off.
func (st *stream) relayHTTP1(target *upstream.Conn, reusable bool) (trailers []byte, err error) {
	body := &st.x.responseBody
	pooled := st.m.proxy.getBuffer()
	defer st.m.proxy.putBuffer(pooled)
	for !body.Done() {
		n, err := target.Read(pooled.bytes[:])
		st.touch()
		kept := 0
		if n > 0 {
			var taken int
			if kept, taken, err = body.Take(pooled.bytes[:n], false); err != nil {
				st.breakResponse(TargetProtocolError, wire.ErrCodeInternal, err)
				return nil, err
			}
			st.reusable = reusable && body.Done() && taken == n
		} else {
			if err == io.EOF {
				err = body.End()
			}
			if err != nil {
				st.breakResponse(TargetConnectionClosed, wire.ErrCodeInternal, err)
				return nil, err
			}
		}
		if trailers, err = st.trailersHTTP1(); err != nil {
			st.breakResponse(TargetProtocolError, wire.ErrCodeInternal, err)
			return nil, err
		}
		if kept == 0 && !(body.Done() && trailers == nil) {
			continue
		}
		if err := st.send(nil, pooled.bytes[:kept], body.Done() && trailers == nil); err != nil {
			st.clientFailed()
			return nil, err
		}
	}
	return trailers, nil
}

// releaseTarget ends the use of the target's connection: all of the response has been passed on.
func (st *stream) releaseTarget() {
	reusable := st.reusable
	if st.uploaded != nil {
		if st.last.Load() {
			// The target has most likely answered to that piece, before the upload could see that it was sent. A write that
			// the target has taken succeeds all the same; one that waits for the target ends.
			st.target.SetWriteDeadline(past)
			<-st.uploaded
			st.uploaded = nil
			st.target.SetWriteDeadline(time.Time{})
		}
		st.stopUpload()
		reusable = reusable && st.awaits.Load() == uploadNone
	}
	st.mu.Lock()
	target := st.target
	st.target = nil
	reusable = reusable && st.why == causeNone
	st.mu.Unlock()
	switch {
	case target == nil:
	case reusable:
		target.Release()
	default:
		target.Discard()
	}
}
