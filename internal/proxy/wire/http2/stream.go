package http2

import (
	"io"
	"math"
	"sync"

	wire "golang.org/x/net/http2"
)

// maxInterim bounds the interim responses that wait to be taken.
const maxInterim = 10

// Stream is a request and its response. One goroutine may read while another sends.
type Stream struct {
	conn      *Conn
	id        uint32
	noBody    bool       // a response without a body, whatever its head says
	allowance *Allowance // pays for the growth of window; nil if it does not grow
	opened    int64      // when this side opened it
	reused    bool       // a target had answered on the connection before

	readable sync.Cond // signals that there is something to read, or nothing to wait for
	writable sync.Cond // the same for sending

	// conn.mu guards the fields below.
	heads       [][]byte // heads that have come and have not been taken
	final       bool     // the head before the body has come
	inbox       inbox
	trailers    []byte
	remaining   int64 // how much is yet to come by content-length, or -1
	remoteEnded bool
	localEnded  bool
	readErr     error // why nothing more can be read
	sendErr     error // why nothing more can be sent
	stopped     error // why reads must not wait any more
	recvWindow  int32
	sendWindow  int32
	owed        int   // credit beyond recvWindow that has not been announced to the peer
	window      int   // how much the peer may send ahead: recvWindow, owed, and what has come and has not been credited
	came        int   // how much of the body has come
	resized     int64 // when the size of window was last decided
	taken       int   // what has been read, but not credited
	repaid      int   // how much of inbox has been credited, before it was put back
	onBroken    func()
	isWaiting   bool
	answered    bool   // a head has been sent
	writtenAt   uint64 // the position of the stream's first byte in all that the connection writes, if this side opened it
	gone        bool   // it is not in conn.streams any more
	closed      bool
}

func (c *Conn) newStream(id uint32) *Stream {
	s := &Stream{conn: c, id: id, remaining: -1, recvWindow: c.streamWindow, window: int(c.streamWindow), sendWindow: c.peerWindow}
	s.readable.L, s.writable.L = &c.mu, &c.mu
	c.streams[id] = s
	return s
}

// OnBroken calls f when the stream is reset or its connection ends, at once if that has happened already.
func (s *Stream) OnBroken(f func()) {
	c := s.conn
	c.mu.Lock()
	defer c.unlock()
	if s.onBroken = f; s.sendErr != nil {
		c.calls = append(c.calls, f)
	}
}

// Head waits for the next head and returns it. A server gets the request, a client interim responses and the response. ended
// says that the body is empty and that there are no trailers.
func (s *Stream) Head() (head []byte, ended bool, err error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(s.heads) == 0 {
		if err := s.ended(); err != nil {
			return nil, false, err
		}
		if s.final {
			return nil, false, errNoHead
		}
		s.readable.Wait()
	}
	head = s.heads[0]
	s.heads = s.heads[1:]
	return head, len(s.heads) == 0 && s.remoteEnded && s.inbox.length == 0 && s.trailers == nil, nil
}

// Read waits for bytes of the body and reads them. They must be credited, or the peer will stop sending.
func (s *Stream) Read(p []byte) (int, error) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	limit, err := s.awaitBody()
	if err != nil {
		return 0, err
	}
	n := s.inbox.read(c.endpoint, p[:min(len(p), limit)])
	s.noteTaken(n)
	return n, nil
}

// Take is Read into a part, which must be empty. The part must be sent or released.
func (s *Stream) Take(part *Part) error {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	limit, err := s.awaitBody()
	if err != nil {
		return err
	}
	*part = Part{endpoint: c.endpoint}
	s.inbox.take(c.endpoint, part, limit)
	s.noteTaken(part.length)
	return nil
}

// awaitBody waits for something to read. It returns how much may be taken at once, at most as much as can still be kept.
func (s *Stream) awaitBody() (limit int, err error) {
	for s.inbox.length == 0 {
		if err := s.ended(); err != nil {
			return 0, err
		}
		if s.remoteEnded {
			return 0, io.EOF
		}
		s.readable.Wait()
	}
	if s.inbox.keeps {
		if room := keptBytes - s.inbox.kept; room > 0 {
			return room, nil
		}
		s.inbox.forget(s.conn.endpoint)
	}
	return math.MaxInt, nil
}

func (s *Stream) noteTaken(n int) {
	repaid := min(n, s.repaid)
	s.repaid -= repaid
	s.taken += n - repaid
}

// ended returns why there is nothing more to wait for, or nil.
func (s *Stream) ended() error {
	if s.readErr != nil {
		return s.readErr
	}
	return s.stopped
}

// keptBytes is how much of a body is kept: as much as fits into the window that a target's stream has at first (RFC 9113
// 6.9.2). A target that has sent nothing yet cannot have received more.
const keptBytes = 64 << 10

// Keep keeps what is read from now on, until more than keptBytes have been. It must be called before Read.
func (s *Stream) Keep() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.inbox.keep()
}

// Forget ends what Keep has begun.
func (s *Stream) Forget() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.inbox.forget(s.conn.endpoint)
}

// Rewind makes the body readable again from its beginning, even after StopReading, if all of it is still there. n is how much
// had been read. It must not be called during a Read.
func (s *Stream) Rewind() (n int, ok bool) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if !s.inbox.keeps || s.readErr != nil {
		return 0, false
	}
	n = s.inbox.rewind()
	s.repaid += n - s.taken
	s.taken, s.stopped = 0, nil
	return n, true
}

// dropInbox drops what has not been read. It returns how much of that must be credited to the peer.
func (s *Stream) dropInbox() int {
	n := s.inbox.drop(s.conn.endpoint) - s.repaid
	s.repaid = 0
	return n
}

// Await waits until Read has something to return.
func (s *Stream) Await() {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for s.inbox.length == 0 && s.ended() == nil && !s.remoteEnded {
		s.readable.Wait()
	}
}

// Ready returns how much of the body can be read without waiting, and reports whether that is all of it.
func (s *Stream) Ready() (n int, all bool) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.inbox.length, s.remoteEnded && s.ended() == nil
}

// Trailers returns the trailers as lines and an empty line, or nil. It may be called once Read has returned io.EOF.
func (s *Stream) Trailers() []byte {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.trailers
}

// Credit lets the peer send n bytes more: as many as have been read and passed on. Bytes that were read before Rewind
// are not credited twice.
func (s *Stream) Credit(n int) {
	c := s.conn
	c.mu.Lock()
	defer c.unlock()
	n = min(n, s.taken)
	s.taken -= n
	c.credit(n)
	s.credit(n)
	c.write()
}

// Send sends a header block, if there is one, and then data, for which it waits for room. ended says that this ends the stream.
func (s *Stream) Send(block, data []byte, ended bool) error {
	part := PartOf(data)
	return s.SendPart(block, &part, ended)
}

// SendPart is Send of a part, whose memory is given back as it goes.
func (s *Stream) SendPart(block []byte, data *Part, ended bool) error {
	defer data.Release()
	c := s.conn
	c.mu.Lock()
	defer c.unlock()
	if s.sendErr != nil {
		return s.sendErr
	}
	if block != nil {
		c.appendHeaders(s.id, block, ended && data.length == 0)
		s.answered = true
		c.budget.earnSent(len(block))
	}
	isEmpty := data.length == 0
	if err := s.sendData(data, ended); err != nil {
		return err
	}
	if ended {
		if block == nil && isEmpty {
			c.appendData(s.id, data, 0, true)
		}
		s.endLocal()
	}
	c.write()
	return nil
}

func (s *Stream) sendData(data *Part, ended bool) error {
	c := s.conn
	for data.length > 0 {
		if err := s.awaitRoom(); err != nil {
			return err
		}
		n := int(min(int64(data.length), int64(s.sendWindow), c.sendWindow, maxFrameBytes))
		c.appendData(s.id, data, n, ended && n == data.length)
		s.sendWindow -= int32(n)
		c.sendWindow -= int64(n)
		c.budget.earnSent(n)
		s.leave() // Let other streams send first, if any are waiting.
	}
	return nil
}

// awaitRoom waits until a part of a body can be sent. Those that wait for the connection, rather than for a window of
// their own, take turns.
func (s *Stream) awaitRoom() error {
	c := s.conn
	for wrote := false; ; {
		isNext := len(c.waiting) == 0 || c.waiting[0] == s
		switch {
		case s.sendErr != nil:
			s.leave()
			return s.sendErr
		case s.sendWindow <= 0:
			s.leave()
		case isNext && c.canSend():
			return nil
		case !s.isWaiting:
			s.isWaiting = true
			c.waiting = append(c.waiting, s)
		}
		if !wrote {
			wrote = true
			c.write() // This unlocks c.mu, so check again before waiting.
			continue
		}
		s.writable.Wait()
	}
}

// leave lets the next stream send.
func (s *Stream) leave() {
	if !s.isWaiting {
		return
	}
	c := s.conn
	s.isWaiting = false
	for i, other := range c.waiting {
		if other == s {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			break
		}
	}
	c.wakeNext()
}

// endLocal notes that everything has been sent.
func (s *Stream) endLocal() {
	s.localEnded = true
	if s.remoteEnded {
		s.conn.remove(s, false)
		s.conn.budget.earn()
	}
}

// remove removes a stream from the connection.
func (c *Conn) remove(s *Stream, reset bool) {
	if s.gone {
		return
	}
	s.gone = true
	delete(c.streams, s.id)
	if entry := (closedStream{s.id, reset, s.recvWindow}); len(c.closed) < maxClosed {
		c.closed = append(c.closed, entry)
	} else {
		c.closed[c.nextClosed] = entry
		c.nextClosed = (c.nextClosed + 1) % maxClosed
	}
	c.makeRoomKnown()
	if len(c.streams) == 0 {
		c.idleSince = c.endpoint.cfg.Now()
		c.endIfIdle()
	}
}

// makeRoomKnown tells those to whom Open has returned ErrFull that there is room.
func (c *Conn) makeRoomKnown() {
	if c.full && c.onRoom != nil {
		c.full = false
		c.calls = append(c.calls, c.onRoom)
	}
}

// breakStream ends a stream on both sides, without telling the peer.
func (c *Conn) breakStream(s *Stream, err error) {
	if s.sendErr == nil {
		s.sendErr = err
		if s.onBroken != nil {
			c.calls = append(c.calls, s.onBroken)
		}
	}
	// A server may respond, and then reset the stream because it needs no more of the request (RFC 9113 8.1).
	if !(c.client && s.remoteEnded) && s.readErr == nil {
		s.readErr = err
		s.heads = nil
		c.credit(s.dropInbox())
	}
	c.remove(s, false)
	s.readable.Broadcast()
	s.writable.Broadcast()
}

// Reset ends the stream and tells the peer, unless both sides have finished with it.
func (s *Stream) Reset(code wire.ErrCode) {
	c := s.conn
	c.mu.Lock()
	defer c.unlock()
	c.reset(s, code, ErrClosed)
	c.write()
}

func (c *Conn) reset(s *Stream, code wire.ErrCode, err error) {
	if !s.gone {
		if c.err == nil {
			c.appendReset(s.id, code)
		}
		c.remove(s, true)
	}
	c.breakStream(s, err)
}

// StopReading ends all waits for something to read. Afterwards the stream must be closed, or rewound by Rewind.
func (s *Stream) StopReading(err error) {
	c := s.conn
	c.mu.Lock()
	defer c.unlock()
	s.stopped = err
	s.readable.Broadcast()
}

// Break ends all waits on this side of the stream, which must be closed afterwards.
func (s *Stream) Break(err error) {
	c := s.conn
	c.mu.Lock()
	defer c.unlock()
	if s.sendErr == nil {
		s.sendErr = err
	}
	if s.readErr == nil {
		s.readErr = err
	}
	s.readable.Broadcast()
	s.writable.Broadcast()
}

// DrainIfSilent has no more streams opened on the connection if nothing has come on it since this one was opened. The peer's
// machine may be gone without a sign, and each further request would wait for its timeout.
func (s *Stream) DrainIfSilent() {
	if c := s.conn; c.client && c.heard.Load() <= s.opened {
		c.Drain()
	}
}

// Reused reports whether the target had answered another request on the stream's connection before.
func (s *Stream) Reused() bool { return s.reused }

// Err returns why nothing can be sent any more, or nil.
func (s *Stream) Err() error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.sendErr
}

// Close ends the use of the stream. One that has not finished is reset: with NO_ERROR if everything has been sent and only the
// peer's side is open, since there is no need to send more (RFC 9113 8.1), else with the code.
func (s *Stream) Close(code wire.ErrCode) {
	c := s.conn
	c.mu.Lock()
	defer c.unlock()
	if s.closed {
		return
	}
	s.closed = true
	c.credit(s.dropInbox() + s.taken)
	s.taken = 0
	if s.allowance != nil {
		s.allowance.Give(s.window - c.endpoint.cfg.TargetWindow)
		c.learn(s)
	}
	if !s.gone {
		if s.localEnded && !c.client {
			code = wire.ErrCodeNo
		}
		c.reset(s, code, ErrClosed)
	}
	c.write()
}
