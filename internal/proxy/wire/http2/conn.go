package http2

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	wire "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	readerBytes = 4 << 10 // the size of the read buffer; larger payloads bypass it
	// maxFrameBytes is the smallest and the usual bound of a frame's payload (RFC 9113 4.2). We take and send no larger.
	maxFrameBytes = 16 << 10
	initialWindow = 65535
	maxWindow     = 1<<31 - 1
	// targetConnWindow is so large that it bounds nothing; see Config.TargetWindow.
	targetConnWindow = 1 << 30
	tableBytes       = 4096
	maxStreamID      = 1<<31 - 1
	// drainMillis is how long a client may take to confirm that it knows of the end.
	drainMillis = 1000
	// closingTime is how long a peer that has broken the protocol may take for each part of what is written last.
	closingTime = 10 * time.Second
	// MaxDiscardBytes bounds what is read from a connection that has ended. A peer may have sent as much as the connection's
	// window before it could know of the end.
	MaxDiscardBytes = 16 << 20
)

// drainPing is the PING whose acknowledgement says that the client has seen the first GOAWAY.
var drainPing = [8]byte{'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// Conn is a connection of either role.
type Conn struct {
	endpoint     *Endpoint
	conn         net.Conn
	client       bool // this side is the client
	handle       func(*Stream)
	onRoom       func() // called when there is room for another stream
	onGreeting   func() // called when the peer's SETTINGS have come
	streamWindow int32
	connWindow   int32
	allowance    Allowance // of the responses to our client

	// The fields below belong to the goroutine that reads.
	reader  *bufio.Reader
	framer  *wire.Framer
	decoder *hpack.Decoder
	block   block

	running sync.WaitGroup // handlers and writers
	heard   atomic.Int64   // when the last frame came

	mu            sync.Mutex // mu guards the fields below, and what streams say that it guards.
	calls         []func()   // calls to make once mu is free
	out           *output    // nil when there is nothing to write
	writing       bool
	written       sync.Cond // signals that no goroutine is writing
	writingSince  int64
	waiting       []*Stream // streams that wait for sendWindow or for room in out, in turn
	streams       map[uint32]*Stream
	handlers      int       // streams that are being handled, or about to be
	starting      []*Stream // streams that wait for a handler
	idle          []handler // the last is the one that was busy last
	unused        int       // how many of idle have not been needed since the last Sweep
	finished      bool      // no stream will start any more
	lastPeerID    uint32    // the highest stream that the peer has opened
	lastOwnID     uint32    // the highest stream that this side has opened
	closed        []closedStream
	nextClosed    int
	sendWindow    int64
	recvWindow    int64
	owed          int // credit beyond recvWindow that has not been announced to the peer
	peerWindow    int32
	peerStreams   uint32
	tableChanged  bool // the next block must say that there is no table
	budget        budget
	draining      bool
	drainSince    int64
	settled       bool   // lastTaken is valid
	lastTaken     uint32 // later streams of the peer are not taken any more
	goneAway      bool   // the peer takes no more streams
	full          bool   // Open has returned ErrFull
	answered      bool   // the target has sent a response
	large         int    // how many small responses in a row end the expectation of a large one
	queued        uint64 // how many bytes have been taken from out to be written
	begun         uint64 // how many of them may have reached the peer
	idleSince     int64
	headSince     int64 // when the incomplete head began, or 0
	greeted       bool  // the peer's SETTINGS have come
	err           error // why the connection has ended
	writeErr      error // why nothing can be written any more, although there may be something to be read
	aborted       bool
	lastWriteTime time.Duration // how long each of the last writes may take; 0 as long as the connection is in use
}

// closedStream is a stream that has ended not long ago.
type closedStream struct {
	id    uint32
	reset bool // this side ended it: the peer may not know yet
	// late is how many bytes of DATA may still come: the rest of the stream's window when this side reset it.
	late int32
}

const maxClosed = 512

// Server returns the server's side of a connection, of which the bytes early have been read. handle is called for each
// stream, on a goroutine of its own.
func (e *Endpoint) Server(conn net.Conn, early []byte, handle func(*Stream)) *Conn {
	c := e.newConn(conn, early)
	c.handle = handle
	c.streamWindow, c.connWindow = int32(e.cfg.StreamWindow), int32(e.cfg.ConnWindow)
	c.headSince = c.idleSince
	c.allowance.left.Store(int64(e.cfg.Allowance))
	c.introduce()
	return c
}

func (e *Endpoint) newConn(conn net.Conn, early []byte) *Conn {
	c := &Conn{
		endpoint: e, conn: conn, streams: make(map[uint32]*Stream), sendWindow: initialWindow,
		peerWindow: initialWindow, peerStreams: 100, tableChanged: true, idleSince: max(e.cfg.Now(), 1),
	}
	c.written.L = &c.mu
	c.reader = bufio.NewReaderSize(&source{c, append([]byte(nil), early...)}, readerBytes)
	c.framer = wire.NewFramer(nil, c.reader)
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(maxFrameBytes)
	c.decoder = hpack.NewDecoder(tableBytes, c.block.add)
	c.decoder.SetMaxStringLength(maxBlockBytes)
	return c
}

// source reads from the connection. Before it waits, it starts the writing of pending frames.
type source struct {
	c     *Conn
	early []byte
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.early) > 0 {
		n := copy(p, s.early)
		s.early = s.early[n:]
		return n, nil
	}
	s.c.mu.Lock()
	s.c.start()
	s.c.writeSoon()
	s.c.unlock()
	return s.c.conn.Read(p)
}

// unlock unlocks c.mu and makes the calls that were put off until then.
func (c *Conn) unlock() {
	calls := c.calls
	c.calls = nil
	c.mu.Unlock()
	for _, call := range calls {
		call()
	}
}

// Serve reads frames until the connection ends, and returns when all handlers have returned. The caller closes the connection;
// lingers says that the peer should get the time to read what was written last.
func (c *Conn) Serve() (lingers bool) {
	err := c.greet()
	for err == nil {
		err = c.readFrame()
	}
	lingers = c.finish(err)
	c.running.Wait()
	return lingers
}

// introduce sends this side's preface, before anything else (RFC 9113 3.4).
func (c *Conn) introduce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := wire.Setting{ID: wire.SettingMaxConcurrentStreams, Val: uint32(c.endpoint.cfg.MaxStreams)}
	if c.client {
		out := c.buffer()
		out.frames = append(out.frames, wire.ClientPreface...)
		first = wire.Setting{ID: wire.SettingEnablePush, Val: 0}
	}
	c.appendSettings(
		first,
		wire.Setting{ID: wire.SettingInitialWindowSize, Val: uint32(c.streamWindow)},
		wire.Setting{ID: wire.SettingMaxHeaderListSize, Val: uint32(c.endpoint.cfg.MaxHeadBytes)},
	)
	if extra := c.connWindow - initialWindow; extra > 0 {
		c.appendWindowUpdate(0, uint32(extra))
	}
	c.recvWindow = int64(max(c.connWindow, initialWindow))
}

// greet takes up the client's preface.
func (c *Conn) greet() error {
	if c.client {
		return nil
	}
	var preface [len(wire.ClientPreface)]byte
	if _, err := io.ReadFull(c.reader, preface[:]); err != nil {
		return err
	}
	if string(preface[:]) != wire.ClientPreface {
		return protocolError("not a preface of HTTP/2")
	}
	return nil
}

// finish tells the peer and all that wait why the connection ends.
func (c *Conn) finish(err error) (lingers bool) {
	c.mu.Lock()
	c.start()
	breach, ok := errors.AsType[*connError](err)
	switch {
	case c.aborted:
	case ok:
		c.appendGoAway(c.lastPeerID, breach.code, breach.text)
		c.err, c.lastWriteTime = err, closingTime
		c.breakStreams(&ResetError{Code: breach.code, Text: breach.text})
		lingers = true
	case c.err == errEnded:
		c.lastWriteTime = c.endpoint.cfg.StallTimeout // A response may be among what is left to be written.
		lingers = true
	default:
		switch {
		case c.writeErr != nil:
			err = c.writeErr
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			err = errGone
		}
		c.abort(err)
	}
	if lingers {
		c.conn.SetReadDeadline(time.Time{})
		c.conn.SetWriteDeadline(time.Now().Add(c.lastWriteTime)) // The deadline is for a write that has begun.
		c.writeLast()
	}
	writes := c.writing
	c.unlock()
	if lingers && writes {
		// A peer may be busy sending, and read only after that.
		io.Copy(io.Discard, io.LimitReader(c.conn, MaxDiscardBytes))
	}
	c.mu.Lock()
	defer c.unlock()
	for c.writing {
		c.written.Wait()
	}
	if c.out != nil {
		c.endpoint.release(c.out)
		c.out = nil
	}
	c.finished = true
	c.dismiss(len(c.idle))
	return lingers
}

// Abort breaks the connection off.
func (c *Conn) Abort() {
	c.mu.Lock()
	defer c.unlock()
	c.abort(ErrAborted)
}

// abort ends everything at once. The caller holds c.mu.
func (c *Conn) abort(err error) {
	if c.err == nil {
		c.err = err
	}
	c.aborted = true
	c.breakStreams(err)
	c.conn.SetDeadline(past)
}

func (c *Conn) breakStreams(err error) {
	for _, s := range c.streams {
		if c.client && s.writtenAt >= c.begun {
			c.breakStream(s, &UnprocessedError{err})
		} else {
			c.breakStream(s, err)
		}
	}
}

// Drain lets the open streams finish and takes no new ones. It may be called repeatedly.
func (c *Conn) Drain() {
	c.mu.Lock()
	defer c.unlock()
	if c.draining || c.err != nil {
		return
	}
	c.draining, c.drainSince = true, c.endpoint.cfg.Now()
	if c.client {
		c.endIfIdle()
		return
	}
	// There are two steps, so that a request on its way is not lost (RFC 9113 6.8).
	c.appendGoAway(maxStreamID, wire.ErrCodeNo, "")
	c.appendPing(false, drainPing)
	c.writeSoon()
}

// settle takes no more streams from the peer.
func (c *Conn) settle() {
	if !c.draining || c.settled {
		return
	}
	c.settled, c.lastTaken = true, c.lastPeerID
	c.appendGoAway(c.lastTaken, wire.ErrCodeNo, "")
	c.writeSoon()
	c.endIfIdle()
}

// endIfIdle ends a connection that takes no more streams and has none left.
func (c *Conn) endIfIdle() {
	if c.err != nil || len(c.streams) > 0 {
		return
	}
	if c.settled || c.client && (c.draining || c.goneAway) {
		c.err = errEnded
		c.conn.SetReadDeadline(past)
	}
}

// Sweep ends what has lasted too long. It must be called regularly.
func (c *Conn) Sweep() {
	c.mu.Lock()
	defer c.unlock()
	if c.err != nil {
		return
	}
	c.dismissUnused()
	now, cfg := c.endpoint.cfg.Now(), &c.endpoint.cfg
	switch {
	case c.writing && now-c.writingSince > cfg.StallTimeout.Milliseconds():
		c.abort(ErrAborted)
	case c.headSince != 0 && now-c.headSince > cfg.HeadTimeout.Milliseconds():
		c.abort(ErrAborted)
	case c.draining && now-c.drainSince > drainMillis:
		c.settle()
	}
}

// Quiet reports whether no stream is open, and whether any has been.
func (c *Conn) Quiet() (quiet, used bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams) == 0, c.lastPeerID > 0
}

// EndIfQuiet ends a client's connection, with a GOAWAY and without the wait of Drain for what may be on its way, unless
// a stream is open. It reports whether it does.
func (c *Conn) EndIfQuiet() bool {
	c.mu.Lock()
	defer c.unlock()
	if c.err != nil || len(c.streams) > 0 {
		return false
	}
	c.draining = true
	c.settle()
	return c.err != nil
}

// Idle returns for how many milliseconds no stream has been open.
func (c *Conn) Idle() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.streams) > 0 {
		return 0
	}
	return c.endpoint.cfg.Now() - c.idleSince
}
