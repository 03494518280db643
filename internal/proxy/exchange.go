package proxy

import (
	"errors"
	"os"
	"time"

	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
)

const (
	headBufferBytes   = 4 << 10
	answerBufferBytes = 16 << 10
	// answerRoom is left free before an answer, for the head as the client gets it: so head and body go out in one
	// write, and the body is not copied.
	answerRoom = 1 << 10
	// chunkRoom is left free after an answer, for the end of a chunk.
	chunkRoom = len("\r\n")
)

// exchange is what a request needs on its way: buffers, parsed heads, decisions. A connection has one only while there
// is something to do, so that idle connections cost little.
type exchange struct {
	// in holds what the client has sent: in[start:end] has not been taken up yet.
	in         []byte
	start, end int
	out        []byte        // the head for the target, with the body as far as it is there; later the head for the client
	body       []byte        // that part of the body, in in
	answer     []byte        // what the target has sent
	small      []byte        // what in is at first; nil for a stream, whose head comes otherwise
	answers    []byte        // what answer is at first; nil for a stream
	lent       *answerBuffer // what answer is of a stream whose target speaks HTTP/1.1

	request      http1.Request
	requestBody  http1.Body
	response     http1.Response
	responseBody http1.Body

	// parsed says that request is complete, and the exchange not begun.
	parsed      bool
	blank       bool // an empty line has come before the request
	keepAlive   bool // the client's connection stays open
	uploads     bool // the body is uploaded by another goroutine
	continued   bool // the client has been told to continue
	attempts    upstream.Attempts
	route       routing.Request
	plan        plan
	requestID   []byte
	madeID      [requestIDBytes]byte
	explanation []byte
	record      Record
}

// answerBuffer is room for an answer. Streams take it only when they need it: there may be many that wait for long.
type answerBuffer [answerBufferBytes]byte

func newExchange() *exchange {
	x := newStreamExchange()
	x.small, x.answers = make([]byte, headBufferBytes), make([]byte, answerBufferBytes)
	x.in, x.answer = x.small, x.answers
	return x
}

// newStreamExchange returns an exchange for a stream of HTTP/2.
func newStreamExchange() *exchange {
	x := &exchange{out: make([]byte, 0, headBufferBytes)}
	x.route.Headers = &x.request
	x.request.Reset()
	x.response.Reset()
	return x
}

// release makes the exchange ready for another connection.
func (x *exchange) release(p *Proxy) {
	mangle(x.in)
	mangle(x.out[:cap(x.out)])
	mangle(x.answer)
	x.in, x.answer = x.small, x.answers
	if cap(x.out) > 4*headBufferBytes {
		x.out = make([]byte, 0, headBufferBytes)
	}
	x.start, x.end, x.parsed, x.blank = 0, 0, false, false
	x.plan = plan{}
	if x.small != nil {
		p.exchanges.Put(x)
		return
	}
	if x.lent != nil {
		p.answers.Put(x.lent)
		x.lent = nil
	}
	p.streamExchanges.Put(x)
}

// borrowAnswer gives the exchange of a stream room for an answer.
func (x *exchange) borrowAnswer(p *Proxy) {
	if x.lent == nil {
		x.lent = p.answers.Get().(*answerBuffer)
		x.answer = x.lent[:]
	}
}

// awaitsContinue says whether the client waits for a 100 (Continue). One that speaks HTTP/1.0 cannot (RFC 9110 10.1.1).
func (x *exchange) awaitsContinue() bool { return x.request.Continue && x.request.Minor == 1 }

// upgrades says whether the request asks for another protocol, and may. A request with a body may not, since who reads
// the body would not be clear; nor may one that names HTTP in any way, since the requests to follow would go by unseen
//
func (x *exchange) upgrades() bool {
	r := &x.request
	if !r.Upgrade || r.UpgradesHTTP || r.Minor == 0 || x.requestBody.Framing != http1.NoBody {
		return false
	}
	value, _ := r.Header("upgrade", 0)
	return len(value) > 0
}

// chunksToClient says whether the client gets the body in chunks. HTTP/1.0 does not know them.
func (x *exchange) chunksToClient() bool {
	return x.request.Minor == 1 && (x.responseBody.Framing == http1.ByChunks || x.responseBody.Framing == http1.UntilClose)
}

// begin takes up the head that has been parsed, of n bytes, and what has come of the body.
func (x *exchange) begin(n int) error {
	from := x.start + n
	x.requestBody.StartRequest(&x.request.Head)
	kept, taken, err := x.requestBody.Take(x.in[from:x.end], true)
	x.body = x.in[from : from+kept]
	x.start = from + taken
	x.parsed = err == nil
	return err
}

// more takes up bytes of the body that have come after what begin found, at x.end.
func (x *exchange) more(n int) error {
	from := x.end
	x.end += n
	kept, taken, err := x.requestBody.Take(x.in[from:x.end], true)
	x.body = append(x.body, x.in[from:from+kept]...) // In place, or moved up to where a chunk extension was.
	x.start = from + taken
	x.parsed = err == nil
	return err
}

// next makes room for the next request, of which some may be there.
func (x *exchange) next() {
	x.request.Reset()
	x.parsed, x.blank = false, false
	if x.start == x.end {
		x.start, x.end = 0, 0
	}
}

// exchange carries the request that has been parsed to its answer. It returns whether the connection stays open.
func (c *connection) exchange() bool {
	x := c.x
	x.parsed, x.uploads, x.continued, x.attempts = false, false, false, upstream.Attempts{}
	x.record.Failure, x.record.Problem = "", nil
	if c.proxy.cfg.AccessLog != nil {
		x.record = Record{Start: time.Now(), Received: int64(len(x.request.Bytes) + len(x.body))}
	}
	x.keepAlive = keepsAlive(&x.request.Head)
	x.takeRequestID()
	x.explanation = x.explanation[:0]
	if string(x.request.Method) == "CONNECT" {
		x.plan = plan{}
		return c.refuse(connectMethod)
	}
	x.route.Method, x.route.Path = x.request.Method, x.request.Path
	x.plan.choose(c.listener.port, c.serverName(), http11, &x.request, &x.route)
	if x.plan.service != nil {
		c.idleMillis = x.plan.service.IdleTimeout.Milliseconds()
	}
	if x.plan.refused {
		return c.refuse(x.plan.refusal)
	}
	return c.forward()
}

// keepsAlive says whether the client wants to use the connection again.
func keepsAlive(h *http1.Head) bool { return !h.Close && (h.Minor == 1 || h.KeepAlive) }

// lasts says whether the connection may be used again.
func (c *connection) lasts() bool {
	return !c.isOld() && !c.proxy.draining.Load() && !c.listener.gone()
}

// isOld says whether the connection is in the last twentieth of its life, at most half a minute, in which it is ended at
// the next response, so that it need not be cut.
func (c *connection) isOld() bool {
	last := min(c.proxy.cfg.ConnectionDuration/20, 30*time.Second)
	return c.proxy.clock.now() >= c.endsAt-last.Milliseconds()
}

// forward sends the request to its target and the answer to the client.
func (c *connection) forward() bool {
	x := c.x
	x.out = x.appendRequestHead(x.out[:0], c.forwarded)
	x.out = append(x.out, x.body...)
	if x.requestBody.Done() && x.requestBody.Framing == http1.ByChunks && x.requestBody.Chunks.HasTrailers() {
		x.out = x.requestBody.Chunks.AppendTrailers(x.out)
	}
	for {
		n, err := c.attempt()
		if err == nil {
			return c.respond(n)
		}
		if again, keep := c.failed(err); !again {
			return keep
		}
	}
}

// errSpoilt says that the sweeper closed the client's connection, which was idle, as the request came in. The client
// sees what it sees whenever a server closes an idle connection.
var errSpoilt = errors.New("the connection was idle for too long")

// attempt sends the request and returns how many bytes of an answer have come, which stand in x.answer behind
// answerRoom.
func (c *connection) attempt() (int, error) {
	x := c.x
	pool, err := upstream.ConnectionsTo(x.plan.target)
	if err != nil {
		return 0, err
	}
	var target *upstream.Conn
	if !x.attempts.Again() {
		target = pool.Idle()
	}
	if target == nil {
		c.enter(phaseDial, 0)
		if target, err = pool.Dial(c.proxy.dialing); err != nil {
			return 0, err
		}
	}
	c.target = target
	if c.enter(phaseTarget, c.idleMillis) != causeNone {
		return 0, errSpoilt
	}
	room := x.answer[answerRoom : len(x.answer)-chunkRoom]
	if c.proxy.cfg.AccessLog != nil {
		x.record.ToTarget = time.Since(x.record.Start)
	}
	if x.requestBody.Done() {
		return target.Exchange(x.out, room)
	}
	if err := target.Send(x.out, room); err != nil {
		return 0, err
	}
	c.startUpload()
	return target.Receive(room)
}

// failed decides what follows a failed attempt. again says that there is to be another; else keep says whether the
// client's connection stays open.
func (c *connection) failed(err error) (again, keep bool) {
	x := c.x
	reused := c.target != nil && c.target.Reused
	why := c.dropTarget()
	if err == errSpoilt {
		return false, c.conclude(false)
	}
	if r, ok := c.uploadRefusal(); ok {
		return false, c.refuse(r)
	}
	if why != causeNone {
		return false, c.refuse(causeRefusal(why))
	}
	again, pause := x.retry(upstream.Attempt{Err: err, Reused: reused, Replayable: !x.uploads}, c.proxy.cfg.Upstream.DialTimeout)
	if again {
		c.enter(phaseDial, 0)
		sleep(c.proxy.dialing, pause)
		return true, false
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, c.refuse(lateTarget)
	}
	x.record.Problem = err
	return false, c.refuse(targetRefusal(err))
}

// dropTarget closes the connection to the target, if there is one, and returns why the wait for it was ended.
func (c *connection) dropTarget() cause {
	why := c.enter(phaseClient, c.idleMillis)
	if target := c.target; target != nil {
		c.target = nil
		target.Discard()
	}
	return why
}
