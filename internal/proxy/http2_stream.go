package proxy

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	wire "golang.org/x/net/http2"

	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/proxy/wire/http2"
)

// stream is an exchange that came by HTTP/2.
type stream struct {
	m    *multiplexed
	http *http2.Stream
	x    *exchange

	idleMillis int64
	deadline   atomic.Int64 // when its waits will have lasted too long
	awaits     atomic.Int32 // what its upload waits for: uploadNone, uploadReads or uploadWrites
	uploaded   chan struct{}
	received   atomic.Int64
	last       atomic.Bool // the upload is at the last piece of the body
	sending    atomic.Bool // to the client, which may not take it
	reusable   bool        // the target's connection, once the exchange is through

	mu     sync.Mutex // mu guards the fields below.
	why    cause      // why it was interrupted
	target *upstream.Conn
	peer   *http2.Stream // at a target that speaks HTTP/2
	cancel context.CancelFunc
	sends  bool // the response has begun
}

var errInterrupted = errors.New("the exchange was interrupted")

// handle carries one exchange.
func (m *multiplexed) handle(s *http2.Stream) {
	p := m.proxy
	st := &stream{m: m, http: s, x: p.streamExchanges.Get().(*exchange), idleMillis: m.idle.Load()}
	st.touch()
	m.add(st)
	defer st.end()
	s.OnBroken(func() { st.interrupt(causeGone) })

	x := st.x
	x.request.Reset()
	x.plan, x.record = plan{}, Record{}
	x.explanation = x.explanation[:0]
	x.requestBody, x.body = http1.Body{}, nil
	x.uploads, x.continued, x.attempts, x.keepAlive = false, false, upstream.Attempts{}, true
	if p.cfg.AccessLog != nil {
		x.record.Start = time.Now()
	}
	newRequestID(&x.madeID)
	x.requestID = x.madeID[:]

	head, _, err := s.Head()
	if err != nil {
		st.refuseUnparsed(err)
		return
	}
	x.record.Received = int64(len(head))
	n, err := x.request.Parse(head)
	if err == nil && n != len(head) {
		err = http1.BadLineEnd
	}
	if err != nil {
		x.request.Reset()
		x.record.Problem = err
		st.refuse(violationRefusal(err))
		return
	}
	x.requestBody.StartRequest(&x.request.Head)
	x.takeRequestID()
	if string(x.request.Method) == "CONNECT" {
		st.refuse(connectMethod)
		return
	}
	x.route.Method, x.route.Path = x.request.Method, x.request.Path
	x.plan.choose(m.listener.port, m.serverName(), http20, &x.request, &x.route)
	if x.plan.service != nil {
		st.idleMillis = x.plan.service.IdleTimeout.Milliseconds()
		m.idle.Store(st.idleMillis)
		st.touch()
	}
	if x.plan.refused {
		st.refuse(x.plan.refusal)
		return
	}
	st.forward()
}

// end records the exchange, also after a panic.
func (st *stream) end() {
	problem := recover()
	x, m := st.x, st.m
	if problem != nil {
		m.proxy.cfg.Log.Error("panic in an exchange", "problem", problem, "stack", string(debug.Stack()))
		st.http.Reset(wire.ErrCodeInternal)
		x.record.Failure = InternalError
		st.interrupt(causeBroken)
		st.dropTarget()
	}
	st.stopUpload()
	m.remove(st)
	x.record.Received += st.received.Load()
	m.recordAs(x, "HTTP/2.0")
	st.http.Close(wire.ErrCodeInternal)
	if problem == nil {
		x.release(m.proxy)
	}
}

// touch notes that something has moved.
func (st *stream) touch() { st.deadline.Store(st.m.proxy.clock.now() + st.idleMillis) }

// interrupt ends whatever the exchange waits for. Only the first cause counts.
func (st *stream) interrupt(why cause) {
	if why == causeTimeout && st.sending.Load() {
		why = causeGone // It is the client that is late.
	}
	st.mu.Lock()
	if st.why == causeNone {
		st.why = why
	}
	if st.target != nil {
		st.target.SetDeadline(past)
	}
	if st.cancel != nil {
		st.cancel()
	}
	peer, sends := st.peer, st.sends
	st.mu.Unlock()
	// Without the lock, since http2 may call interrupt of other streams.
	if peer != nil {
		if why == causeTimeout {
			peer.Doubt()
		}
		peer.Break(errInterrupted)
	}
	if sends {
		st.http.Break(errInterrupted)
	} else {
		st.http.StopReading(errInterrupted) // The client is still to get an answer.
	}
}

// interrupted returns why the exchange was interrupted.
func (st *stream) interrupted() cause {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.why
}

// forward sends the request to its target and the answer to the client.
func (st *stream) forward() {
	for {
		http1, http2, err := upstream.Of(st.x.plan.target)
		switch {
		case err != nil:
		case http1 != nil:
			err = st.exchangeHTTP1(http1)
		default:
			err = st.exchangeHTTP2(http2)
		}
		if err == nil || !st.failed(err) {
			return
		}
	}
}

// failed decides what follows a failed attempt, of whose answer the client has got nothing. It says whether there is
// to be another; else the client has been answered.
func (st *stream) failed(err error) (again bool) {
	x := st.x
	reused := st.dropTarget()
	if why := st.interrupted(); why != causeNone {
		st.refuse(st.causeRefusal(why))
		return false
	}
	attempt := upstream.Attempt{Err: err, Reused: reused, Replayable: !x.uploads || st.takeBack()}
	again, pause := x.retry(attempt, st.m.proxy.cfg.Upstream.DialTimeout)
	if again {
		st.touch()
		st.dial(func(ctx context.Context) error { sleep(ctx, pause); return nil })
		return true
	}
	x.record.Problem = err
	st.refuse(targetRefusal(err))
	return false
}

// takeBack makes the body whole again, of which an upload that has been stopped has sent some. It says whether it is.
func (st *stream) takeBack() bool {
	n, ok := st.http.Rewind()
	if ok {
		st.x.uploads = false
		st.received.Add(-int64(n))
		st.awaits.Store(uploadNone)
		st.last.Store(false)
	}
	return ok
}

// causeRefusal returns the answer to an exchange that was interrupted.
func (st *stream) causeRefusal(why cause) refusal {
	switch {
	case why == causeGone:
		if reset, ok := errors.AsType[*http2.ResetError](st.http.Err()); ok && !reset.ByPeer {
			return malformed
		}
		return clientGone
	case why == causeTimeout && st.awaits.Load() == uploadReads:
		return lateClient
	}
	return causeRefusal(why)
}

// refuseUnparsed answers a request of which nothing is known.
func (st *stream) refuseUnparsed(err error) {
	st.x.record.Problem = err
	switch reset, ok := errors.AsType[*http2.ResetError](err); {
	case errors.Is(err, http2.ErrHeadTooLarge):
		st.refuse(malformed)
	case ok && !reset.ByPeer:
		// No answer: what the request was, or whether it was one, is not known (RFC 9113 8.1.1; A-332).
		st.http.Reset(reset.Code)
		st.note(malformed)
	default:
		st.note(clientGone)
	}
}

// note records a refusal without an answer.
func (st *stream) note(r refusal) {
	st.x.record.note(r)
}

// refuse answers in the target's place.
func (st *stream) refuse(r refusal) {
	x := st.x
	st.note(r)
	st.stopUpload()
	if r.failure == ClientConnectionClosed && r.status != 408 {
		st.http.Reset(wire.ErrCodeCancel)
		return
	}
	st.begin()
	if st.m.proxy.cfg.Explain {
		x.explain()
	}
	block, text := x.out[:0], []byte(nil)
	if x.speaksGRPC() && !r.byRule {
		code := r.grpc()
		x.record.Status, x.record.GRPCStatus = 200, int(code)
		block = appendGRPCStatus(block, code, r.text)
	} else {
		block = http2.AppendStatus(block, r.status)
		block = http2.AppendField(block, []byte("content-type"), []byte("text/plain"))
		block = appendLengthField(block, int64(len(r.text)))
		if string(x.request.Method) != "HEAD" {
			text = []byte(r.text)
		}
	}
	block = http2.AppendField(block, []byte("date"), []byte(*st.m.proxy.date.Load()))
	x.out = st.appendOwnFields(block)
	if st.send(x.out, text, true) != nil && r.failure == "" {
		x.record.Failure = ClientConnectionClosed
	}
	if r == malformed {
		st.http.Close(wire.ErrCodeProtocol)
	}
}

// begin notes that the response begins, so that an interruption must break it.
func (st *stream) begin() {
	st.mu.Lock()
	st.sends = true
	st.mu.Unlock()
	if st.x.uploads {
		st.http.Forget()
	}
}

// send sends a part of the response to the client.
func (st *stream) send(block, data []byte, ended bool) error {
	st.x.record.Sent += int64(len(block) + len(data))
	st.touch()
	st.sending.Store(true)
	err := st.http.Send(block, data, ended)
	st.sending.Store(false)
	st.touch()
	return err
}

// breakResponse breaks off a response that has begun: the client must not take it for whole.
func (st *stream) breakResponse(failure Failure, code wire.ErrCode, problem error) {
	if why := st.interrupted(); why != causeNone {
		r := st.causeRefusal(why)
		failure, code = r.failure, wire.ErrCodeInternal
		if failure == ClientConnectionClosed {
			code = wire.ErrCodeCancel
		}
	}
	st.x.record.Failure, st.x.record.Problem = failure, problem
	st.http.Reset(code)
	st.dropTarget()
	st.stopUpload()
}

// clientFailed ends an exchange whose client takes no more.
func (st *stream) clientFailed() {
	st.breakResponse(ClientConnectionClosed, wire.ErrCodeCancel, nil)
}

// dropTarget gives the target up. It says whether its connection had been used before.
func (st *stream) dropTarget() (reused bool) {
	st.mu.Lock()
	target, peer := st.target, st.peer
	st.target, st.peer = nil, nil
	st.mu.Unlock()
	if target != nil {
		target.SetDeadline(past) // An upload may be at it.
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
		st.target.SetDeadline(past)
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

// startUpload runs an upload on a goroutine of its own, since the target may answer at any time.
func (st *stream) startUpload(upload func() error) {
	st.x.uploads = true
	st.http.Keep() // As long as there is no answer, the target may still refuse the request.
	ended := make(chan struct{})
	st.uploaded = ended
	st.awaits.Store(uploadReads)
	go func() {
		defer close(ended)
		defer func() {
			if problem := recover(); problem != nil {
				st.m.proxy.cfg.Log.Error("panic in an upload", "problem", problem, "stack", string(debug.Stack()))
				st.interrupt(causeBroken)
			}
		}()
		if upload() == nil {
			st.awaits.Store(uploadNone)
		}
	}()
}

// dial runs a call that may take long and can be cancelled.
func (st *stream) dial(call func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(st.m.proxy.dialing)
	defer cancel()
	st.mu.Lock()
	if st.why != causeNone {
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
