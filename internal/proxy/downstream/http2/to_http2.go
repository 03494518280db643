package http2

import (
	"context"
	"errors"
	"io"

	wire "golang.org/x/net/http2"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/buffer"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/proxy/wire/http2"
)

// exchangeHTTP2 sends the request to a target that speaks HTTP/2, and the response to the client. An error says
// that the client has got nothing of a response.
func (st *stream) exchangeHTTP2(pool *upstream.HTTP2Pool) error {
	x := st.x
	length, complete := st.http.Ready()
	complete = complete && length <= buffer.Bytes/2
	if complete && length > 0 {
		// The whole body has come: it goes out with the head, and can be sent again.
		st.body = make([]byte, length)
		if _, err := io.ReadFull(st.http, st.body); err != nil {
			return &exchange.ClientError{Err: err}
		}
		st.http.Credit(length)
		st.received.Add(int64(length))
	}
	var trailers []byte
	if complete {
		var err error
		if trailers, err = trailerBlock(st.http.Trailers()); err != nil {
			return &exchange.ClientError{Err: err}
		}
	}
	x.Out = st.appendRequestBlock(x.Out[:0])
	peer, err := st.openHTTP2(pool, http2.Request{
		Ended:  complete && len(st.body) == 0 && trailers == nil,
		More:   complete && (len(st.body) > 0 || trailers != nil),
		ToHead: x.IsHead(),

		Allowance: st.http.Allowance(),
	})
	if err != nil {
		return err
	}
	st.touch()
	x.Sent()
	if !complete {
		st.startUpload(func() error { return st.uploadHTTP2(peer) })
	} else if len(st.body) > 0 || trailers != nil {
		// An error does not matter here: reading the response will fail too, unless there is one.
		if peer.Send(nil, st.body, trailers == nil) == nil && trailers != nil {
			peer.Send(trailers, nil, true)
		}
	}
	return st.respondHTTP2(peer)
}

// openHTTP2 opens a stream to the target.
func (st *stream) openHTTP2(pool *upstream.HTTP2Pool, request http2.Request) (peer *http2.Stream, err error) {
	err = st.dial(func(ctx context.Context) (err error) {
		peer, err = pool.Open(ctx, st.x.Out, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return peer, st.hold(func() { st.peer = peer })
}

// uploadHTTP2 sends the body on as it comes. The client's window grows as the target takes it.
func (st *stream) uploadHTTP2(peer *http2.Stream) error {
	for {
		ended, err := st.uploadPiece(peer)
		if ended || err != nil {
			return err
		}
	}
}

func (st *stream) uploadPiece(peer *http2.Stream) (ended bool, err error) {
	st.awaits.Store(downstream.UploadReads)
	var part http2.Part
	if err := st.http.Take(&part); err != nil && err != io.EOF {
		return false, err
	}
	defer part.Release()
	n := part.Len()
	st.awaits.Store(downstream.UploadWrites)
	st.received.Add(int64(n))
	st.touch()
	left, all := st.http.Ready()
	var trailers []byte
	if ended = all && left == 0; ended {
		var err error
		if trailers, err = trailerBlock(st.http.Trailers()); err != nil {
			return false, err
		}
	}
	if err := peer.SendPart(nil, &part, ended && trailers == nil); err != nil {
		return false, err
	}
	st.http.Credit(n)
	st.touch()
	if trailers != nil {
		return true, peer.Send(trailers, nil, true)
	}
	return ended, nil
}

// respondHTTP2 passes the response on.
func (st *stream) respondHTTP2(peer *http2.Stream) error {
	x := st.x
	ended := false
	for {
		var head []byte
		var err error
		if head, ended, err = peer.Head(); err != nil {
			return peerError(err, x.HasInterim())
		}
		st.touch()
		x.Response.Reset()
		n, err := x.Response.Parse(head)
		if err == nil && n != len(head) {
			err = http1.BadLineEnd
		}
		if err != nil {
			return err
		}
		interim, err := st.takeHead()
		if err != nil {
			return err
		}
		if !interim {
			break
		}
	}
	st.begin()
	block := st.appendResponseBlock(x.Out[:0])
	x.Out = block
	for !ended {
		if length, all := peer.Ready(); block != nil && length == 0 && !all {
			// The head must not wait for the body.
			if st.send(block, nil, false) != nil {
				st.clientFailed()
				return nil
			}
			block = nil
		}
		var err error
		if ended, err = st.relayPiece(peer, block); err != nil {
			return nil
		}
		block = nil
	}
	if block != nil && st.send(block, nil, true) != nil {
		st.clientFailed()
		return nil
	}
	st.finishPeer()
	return nil
}

// relayPiece passes on what has come of the body, behind the response's header block if that has not been sent. After an error
// the response has been broken off.
func (st *stream) relayPiece(peer *http2.Stream, block []byte) (ended bool, err error) {
	var part http2.Part
	if err := peer.Take(&part); err != nil && err != io.EOF {
		failure, code := resetOf(err)
		st.breakResponse(failure, code, err)
		return false, err
	}
	defer part.Release()
	n := part.Len()
	st.touch()
	left, all := peer.Ready()
	var trailers []byte
	if ended = all && left == 0; ended {
		lines := peer.Trailers()
		st.x.TakeTrailers(lines)
		if trailers, err = trailerBlock(lines); err != nil {
			st.breakResponse(accesslog.TargetProtocolError, wire.ErrCodeInternal, err)
			return false, err
		}
	}
	if err := st.sendPart(block, &part, ended && trailers == nil); err != nil {
		st.clientFailed()
		return false, err
	}
	peer.Credit(n)
	if trailers != nil {
		if err := st.send(trailers, nil, true); err != nil {
			st.clientFailed()
			return false, err
		}
	}
	return ended, nil
}

// finishPeer ends the use of the target's stream after all of the response has been passed on.
func (st *stream) finishPeer() {
	st.stopUpload()
	st.mu.Lock()
	peer := st.peer
	st.peer = nil
	st.mu.Unlock()
	if peer != nil {
		peer.Close(wire.ErrCodeCancel)
	}
}

// peerError converts the error of a stream without a response for upstream.Attempts.
func peerError(err error, received bool) error {
	if _, ok := errors.AsType[*http2.UnprocessedError](err); ok {
		return &upstream.BrokenError{Received: received, Err: err}
	}
	if reset, ok := errors.AsType[*http2.ResetError](err); ok {
		if !reset.ByPeer {
			return http1.UnexpectedEnd
		}
		received = true // A reset by the target counts as a response.
	}
	return &upstream.BrokenError{Sent: true, Received: received, Err: err}
}

// resetOf returns how a client is told that its response broke off.
func resetOf(err error) (accesslog.Failure, wire.ErrCode) {
	reset, ok := errors.AsType[*http2.ResetError](err)
	switch {
	case !ok:
		return accesslog.TargetConnectionClosed, wire.ErrCodeInternal
	case !reset.ByPeer:
		return accesslog.TargetProtocolError, wire.ErrCodeInternal
	}
	switch reset.Code {
	case wire.ErrCodeCancel, wire.ErrCodeEnhanceYourCalm, wire.ErrCodeInadequateSecurity, wire.ErrCodeHTTP11Required:
		return accesslog.TargetConnectionClosed, reset.Code
	}
	return accesslog.TargetConnectionClosed, wire.ErrCodeInternal
}
