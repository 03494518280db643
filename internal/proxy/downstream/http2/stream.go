package http2

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"

	wire "golang.org/x/net/http2"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/proxy/wire/http2"
	"trellis/internal/routing"
)

// stream is an exchange over HTTP/2.
type stream struct {
	c    *conn
	http *http2.Stream
	x    *exchange.HTTP
	body []byte // the body of the request, if it is sent with the head

	idleMillis int64
	deadline   atomic.Int64 // the deadline of its waits
	awaits     atomic.Int32 // what its upload waits for: 0, downstream.UploadReads or downstream.UploadWrites
	uploaded   chan struct{}
	received   atomic.Int64
	last       atomic.Bool // the upload is at the last piece of the body
	sending    atomic.Bool // set while it writes to the client, which may not read
	reusable   bool        // the target's connection can carry another exchange after this one

	mu     sync.Mutex       // mu guards the fields below.
	why    downstream.Cause // why it was interrupted
	target *upstream.Conn
	peer   *http2.Stream // the stream to a target that speaks HTTP/2
	cancel context.CancelFunc
	sends  bool // the response has begun
}

var errInterrupted = errors.New("the exchange was interrupted")

// errBrokenOff says that an exchange has ended because the client reads no more.
var errBrokenOff = errors.New("the response was broken off")

// handle carries one exchange.
func (c *conn) handle(s *http2.Stream) {
	st := &stream{c: c, http: s, x: c.server.exchanges.Get().(*exchange.HTTP), idleMillis: c.idle.Load()}
	st.touch()
	c.add(st)
	defer st.end()
	s.OnBroken(func() { st.interrupt(downstream.CauseGone) })

	x := st.x
	x.Request.Reset()
	head, _, err := s.Head()
	if err != nil {
		st.refuseUnparsed(0, err)
		return
	}
	n, err := x.Request.Parse(head)
	if err == nil && n != len(head) {
		err = http1.BadLineEnd
	}
	if err != nil {
		x.BeginUnparsed(&c.Client, routing.HTTP2, len(head), err)
		st.refuse(exchange.ViolationRefusal(err))
		return
	}
	x.RequestBody.StartRequest(&x.Request.Head)
	r, refused := x.Begin(&c.Client, routing.HTTP2, len(head))
	if x.Service != nil {
		st.idleMillis = x.Service.IdleTimeout.Milliseconds()
		c.idle.Store(st.idleMillis)
		st.touch()
	}
	if refused {
		st.refuse(r)
		return
	}
	st.forward()
}

// end ends the exchange, also after a panic.
func (st *stream) end() {
	problem := recover()
	x, c := st.x, st.c
	if problem != nil {
		c.Env.Log.Error("panic in an exchange", "problem", problem, "stack", string(debug.Stack()))
		st.http.Reset(wire.ErrCodeInternal)
		x.Record.Failure = accesslog.InternalError
		st.interrupt(downstream.CauseBroken)
		st.dropTarget()
	}
	st.stopUpload()
	c.remove(st)
	x.Record.Received += st.received.Load()
	x.Finish()
	st.http.Close(wire.ErrCodeInternal)
	if problem == nil {
		x.Reset()
		c.server.exchanges.Put(x)
	}
}

// touch notes that something has moved.
func (st *stream) touch() { st.deadline.Store(st.c.Env.Clock.Now() + st.idleMillis) }

// interrupt ends whatever the exchange waits for. Only the first cause counts.
func (st *stream) interrupt(why downstream.Cause) {
	if why == downstream.CauseTimeout && st.sending.Load() {
		why = downstream.CauseGone // The client is late, not the target.
	}
	st.mu.Lock()
	if st.why == downstream.CauseNone {
		st.why = why
	}
	if st.target != nil {
		st.target.SetDeadline(downstream.Past)
	}
	if st.cancel != nil {
		st.cancel()
	}
	peer, sends := st.peer, st.sends
	st.mu.Unlock()
	// Without the lock, since http2 may call interrupt on other streams.
	if peer != nil {
		if why == downstream.CauseTimeout {
			peer.DrainIfSilent()
		}
		peer.Break(errInterrupted)
	}
	if sends {
		st.http.Break(errInterrupted)
	} else {
		st.http.StopReading(errInterrupted) // The client still gets a response.
	}
}

// interrupted returns why the exchange was interrupted.
func (st *stream) interrupted() downstream.Cause {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.why
}

// forward sends the request to its target and the response to the client.
func (st *stream) forward() {
	for {
		connections, streams, err := upstream.Of(st.x.Target)
		switch {
		case err != nil:
		case connections != nil:
			err = st.exchangeHTTP1(connections)
		default:
			err = st.exchangeHTTP2(streams)
		}
		if err == nil || err == errBrokenOff || !st.failed(err) {
			return
		}
	}
}

// takeHead takes up the head of a response, and passes it on if it is interim. It reports whether it was.
func (st *stream) takeHead() (interim bool, err error) {
	step, err := st.x.TakeHead()
	if err != nil || step == exchange.Final {
		st.x.TimeHead()
		return false, err
	}
	if step == exchange.PassOn && st.send(st.appendResponseBlock(nil), nil, false) != nil {
		st.clientFailed()
		return true, errBrokenOff
	}
	return true, nil
}

// failed decides what follows a failed attempt after which the client has got nothing of a response. It reports whether another
// attempt follows; if not, it has responded to the client.
func (st *stream) failed(err error) (again bool) {
	x := st.x
	reused := st.dropTarget()
	if why := st.interrupted(); why != downstream.CauseNone {
		st.refuse(st.causeRefusal(why))
		return false
	}
	again, pause := x.Retry(upstream.Attempt{Err: err, Reused: reused, Replayable: !x.Uploads || st.takeBack()})
	if again {
		st.touch()
		st.dial(func(ctx context.Context) error { exchange.Pause(ctx, pause); return nil })
		return true
	}
	x.Record.Problem = err
	st.refuse(exchange.TargetRefusal(err))
	return false
}

// takeBack makes the body whole again after an upload that was stopped has sent a part of it. It reports whether it could.
func (st *stream) takeBack() bool {
	n, ok := st.http.Rewind()
	if ok {
		st.x.Uploads = false
		st.received.Add(-int64(n))
		st.awaits.Store(0)
		st.last.Store(false)
	}
	return ok
}

// causeRefusal returns how an exchange that was interrupted is refused.
func (st *stream) causeRefusal(why downstream.Cause) exchange.Refusal {
	switch {
	case why == downstream.CauseGone:
		if reset, ok := errors.AsType[*http2.ResetError](st.http.Err()); ok && !reset.ByPeer {
			return exchange.Malformed
		}
		return exchange.ClientGone
	case why == downstream.CauseTimeout && st.awaits.Load() == downstream.UploadReads:
		return exchange.LateClient
	}
	return why.Refusal()
}

// refuseUnparsed refuses a request about which nothing is known.
func (st *stream) refuseUnparsed(received int, err error) {
	x := st.x
	x.BeginUnparsed(&st.c.Client, routing.HTTP2, received, err)
	switch reset, ok := errors.AsType[*http2.ResetError](err); {
	case errors.Is(err, http2.ErrHeadTooLarge):
		st.refuse(exchange.Malformed)
	case ok && !reset.ByPeer:
		// No response: what the request was, or whether it was one, is not known (RFC 9113 8.1.1; A-332).
		st.http.Reset(reset.Code)
		x.Note(exchange.Malformed)
	default:
		x.Note(exchange.ClientGone)
	}
}

// refuse responds in the target's place.
func (st *stream) refuse(r exchange.Refusal) {
	x := st.x
	x.Refuse(r)
	st.stopUpload()
	if r.Silent {
		st.http.Reset(wire.ErrCodeCancel)
		return
	}
	st.begin()
	block, text := x.Out[:0], []byte(nil)
	if x.SpeaksGRPC() && !r.ByRule {
		code := r.GRPC()
		x.NoteGRPC(code)
		block = appendGRPCStatus(block, code, r.Text)
	} else {
		block = http2.AppendStatus(block, r.Status)
		block = http2.AppendField(block, []byte("content-type"), []byte("text/plain"))
		block = appendLengthField(block, int64(len(r.Text)))
		if !x.IsHead() {
			text = []byte(r.Text)
		}
	}
	block = http2.AppendField(block, []byte("date"), []byte(st.c.Env.Exchanges.Date()))
	x.Out = st.appendOwnFields(block)
	if st.send(x.Out, text, true) != nil && r.Failure == "" {
		x.Record.Failure = accesslog.ClientConnectionClosed
	}
	if r == exchange.Malformed {
		st.http.Close(wire.ErrCodeProtocol)
	}
}

// begin notes that the response begins, so that an interruption must break it.
func (st *stream) begin() {
	st.mu.Lock()
	st.sends = true
	st.mu.Unlock()
	if st.x.Uploads {
		st.http.Forget()
	}
}

// send sends a part of the response to the client.
func (st *stream) send(block, data []byte, ended bool) error {
	part := http2.PartOf(data)
	return st.sendPart(block, &part, ended)
}

func (st *stream) sendPart(block []byte, data *http2.Part, ended bool) error {
	st.x.Record.Sent += int64(len(block) + data.Len())
	st.touch()
	st.sending.Store(true)
	err := st.http.SendPart(block, data, ended)
	st.sending.Store(false)
	st.touch()
	return err
}

// breakResponse breaks off a response that has begun, so that the client does not take it for whole.
func (st *stream) breakResponse(failure accesslog.Failure, code wire.ErrCode, problem error) {
	if why := st.interrupted(); why != downstream.CauseNone {
		r := st.causeRefusal(why)
		failure, code = r.Failure, wire.ErrCodeInternal
		if failure == accesslog.ClientConnectionClosed {
			code = wire.ErrCodeCancel
		}
	}
	st.x.Record.Failure, st.x.Record.Problem = failure, problem
	st.http.Reset(code)
	st.dropTarget()
	st.stopUpload()
}

// clientFailed ends an exchange whose client reads no more.
func (st *stream) clientFailed() {
	st.breakResponse(accesslog.ClientConnectionClosed, wire.ErrCodeCancel, nil)
}

// hold notes the way to the target, so that an interruption breaks it. It returns an error if the exchange is interrupted
// already.
func (st *stream) hold(note func()) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	note()
	if st.why != downstream.CauseNone {
		return &upstream.BrokenError{Err: errInterrupted}
	}
	return nil
}

// dropTarget gives the target up. It reports whether its connection had been used before.
func (st *stream) dropTarget() (reused bool) {
	st.mu.Lock()
	target, peer := st.target, st.peer
	st.target, st.peer = nil, nil
	st.mu.Unlock()
	if target != nil {
		target.SetDeadline(downstream.Past) // An upload may be using it.
		st.stopUpload()
		reused = target.Reused
		target.Discard()
	}
	if peer != nil {
		reused = peer.Reused()
		peer.Close(wire.ErrCodeCancel)
		st.stopUpload()
	}
	return reused
}

// stopUpload ends the sending of the request's body, and waits for that.
func (st *stream) stopUpload() {
	if st.uploaded == nil {
		return
	}
	st.mu.Lock()
	if st.target != nil {
		st.target.SetDeadline(downstream.Past)
	}
	peer := st.peer
	st.mu.Unlock()
	if peer != nil {
		peer.Break(errInterrupted)
	}
	st.http.StopReading(errInterrupted)
	<-st.uploaded
	st.uploaded = nil
}

// startUpload runs an upload on a goroutine of its own, since the target may respond at any time.
func (st *stream) startUpload(upload func() error) {
	st.x.Uploads = true
	st.http.Keep() // Until there is a response, the target may still refuse the request.
	ended := make(chan struct{})
	st.uploaded = ended
	st.awaits.Store(downstream.UploadReads)
	go func() {
		defer close(ended)
		defer func() {
			if problem := recover(); problem != nil {
				st.c.Env.Log.Error("panic in an upload", "problem", problem, "stack", string(debug.Stack()))
				st.interrupt(downstream.CauseBroken)
			}
		}()
		if upload() == nil {
			st.awaits.Store(0)
		}
	}()
}

// dial runs a call that may take long and can be cancelled.
func (st *stream) dial(call func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(st.c.Env.Dialing)
	defer cancel()
	st.mu.Lock()
	if st.why != downstream.CauseNone {
		cancel()
	}
	st.cancel = cancel
	st.mu.Unlock()
	err := call(ctx)
	st.mu.Lock()
	st.cancel = nil
	st.mu.Unlock()
	return err
}
