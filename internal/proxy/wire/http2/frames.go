package http2

import (
	"errors"
	"io"
	"time"

	wire "golang.org/x/net/http2"
)

// readFrame reads a frame and acts on it. The error ends the connection.
func (c *Conn) readFrame() error {
	frame, err := c.framer.ReadFrame()
	if err == nil {
		c.heard.Store(c.endpoint.cfg.Now())
		err = c.process(frame)
	}
	if err == nil {
		return nil
	}
	if breach, ok := errors.AsType[wire.StreamError](err); ok {
		err = &streamError{breach.StreamID, breach.Code, "malformed frame"}
	}
	if breach, ok := errors.AsType[*streamError](err); ok {
		return c.failStream(breach)
	}
	if code, ok := errors.AsType[wire.ConnectionError](err); ok {
		return &connError{wire.ErrCode(code), "malformed frame"}
	}
	if errors.Is(err, wire.ErrFrameTooLarge) {
		return &connError{wire.ErrCodeFrameSize, "frame too large"}
	}
	return err
}

// failStream resets a stream whose peer has broken the protocol.
func (c *Conn) failStream(breach *streamError) error {
	c.mu.Lock()
	defer c.unlock()
	if s := c.streams[breach.id]; s != nil {
		c.reset(s, breach.code, &ResetError{Code: breach.code, Text: breach.text})
	} else {
		c.appendReset(breach.id, breach.code)
	}
	return c.spendReset(c.endpoint.cfg.Now())
}

// spendReset counts a stream that the peer has broken off. A target may do that as often as it likes.
func (c *Conn) spendReset(now int64) error {
	if c.client {
		return nil
	}
	return c.budget.reset(now)
}

// spendControl is budget.control without c.mu.
func (c *Conn) spendControl() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.budget.control(c.endpoint.cfg.Now())
}

// spendLate counts a frame for a stream that this side has ended: it may have been on its way. From a target many are, since
// clients that cancel requests share its connection.
func (c *Conn) spendLate(now int64) error {
	if c.client {
		return nil
	}
	return c.budget.control(now)
}

func (c *Conn) process(frame wire.Frame) error {
	switch f := frame.(type) {
	case *wire.HeadersFrame:
		return c.processHeaders(f)
	case *wire.ContinuationFrame:
		if err := c.spendControl(); err != nil {
			return err
		}
		return c.processFragment(f.HeaderBlockFragment(), f.HeadersEnded())
	}
	c.mu.Lock()
	defer c.unlock()
	if !c.greeted {
		if f, ok := frame.(*wire.SettingsFrame); !ok || f.IsAck() {
			return protocolError("the first frame is not SETTINGS")
		}
		c.greeted = true
		c.headSince = 0
		if c.onGreeting != nil && c.err == nil {
			c.conn.SetReadDeadline(time.Time{})
			c.calls = append(c.calls, c.onGreeting)
		}
	}
	if c.out != nil && len(c.out.frames) > maxOutputBytes+maxControlBytes {
		return tooMuch("too many frames to answer")
	}
	now := c.endpoint.cfg.Now()
	switch f := frame.(type) {
	case *wire.DataFrame:
		return c.processData(f, now)
	case *wire.WindowUpdateFrame:
		if err := c.budget.control(now); err != nil {
			return err
		}
		return c.processWindowUpdate(f)
	case *wire.RSTStreamFrame:
		return c.processReset(f, now)
	case *wire.PushPromiseFrame:
		return protocolError("PUSH_PROMISE") // This side's SETTINGS forbid it to servers, and the RFC to clients.
	}
	if err := c.budget.control(now); err != nil {
		return err
	}
	switch f := frame.(type) {
	case *wire.GoAwayFrame:
		return c.processGoAway(f)
	case *wire.SettingsFrame:
		if err := c.budget.spend(now, f.NumSettings()); err != nil {
			return err
		}
		return c.processSettings(f)
	case *wire.PingFrame:
		c.processPing(f)
	case *wire.PriorityFrame:
		if f.StreamDep == f.StreamID {
			return &streamError{f.StreamID, wire.ErrCodeProtocol, "stream depends on itself"} // RFC 7540 5.3.1
		}
	}
	return nil
}

// isIdle reports whether the stream has not been opened yet.
func (c *Conn) isIdle(id uint32) bool {
	if (id%2 == 1) == c.client {
		return id > c.lastOwnID
	}
	return id > c.lastPeerID
}

// closedHow returns how a stream has ended, or nil if that was long ago.
func (c *Conn) closedHow(id uint32) *closedStream {
	for i := range c.closed {
		if c.closed[i].id == id {
			return &c.closed[i]
		}
	}
	return nil
}

func (c *Conn) processData(f *wire.DataFrame, now int64) error {
	id, size := f.StreamID, int(f.Length)
	if c.isIdle(id) {
		return protocolError("DATA on an idle stream")
	}
	if int64(size) > c.recvWindow {
		return &connError{wire.ErrCodeFlowControl, "more data than the connection's window"}
	}
	c.recvWindow -= int64(size)
	s := c.streams[id]
	if s == nil {
		c.credit(size)
		switch closed := c.closedHow(id); {
		case closed != nil && closed.reset && size > 0 && size <= int(closed.late):
			// It was on its way when this side reset the stream. A busy client may have sent a whole window in pieces of a
			// byte.
			closed.late -= int32(size)
			return nil
		case closed != nil && closed.reset, c.settled && id > c.lastTaken:
			return c.spendLate(now)
		}
		return &streamError{id, wire.ErrCodeStreamClosed, "DATA on a closed stream"}
	}
	if s.remoteEnded {
		c.credit(size)
		return &streamError{id, wire.ErrCodeStreamClosed, "DATA after the end"}
	}
	if size > int(s.recvWindow) {
		c.credit(size)
		return &streamError{id, wire.ErrCodeFlowControl, "more data than the stream's window"}
	}
	data := f.Data()
	s.recvWindow -= int32(size)
	s.came += len(data)
	if padding := size - len(data); padding > 0 {
		c.credit(padding)
		s.credit(padding)
	}
	switch {
	case c.client && !s.final:
		c.credit(len(data))
		return &streamError{id, wire.ErrCodeProtocol, "DATA before the head"}
	case s.remaining >= 0 && int64(len(data)) > s.remaining:
		c.credit(len(data))
		return &streamError{id, wire.ErrCodeProtocol, "more data than content-length says"}
	case s.remaining >= 0:
		s.remaining -= int64(len(data))
	}
	if len(data) == 0 && !f.StreamEnded() {
		if err := c.budget.control(now); err != nil {
			return err
		}
	}
	if len(data) > 0 {
		c.budget.earnReceived(len(data))
	}
	if s.closed || s.readErr != nil || s.stopped != nil && !s.inbox.keeps {
		c.credit(len(data)) // Nobody will read it.
	} else {
		s.inbox.write(c.endpoint, data)
	}
	if f.StreamEnded() {
		return c.endRemote(s)
	}
	s.readable.Broadcast()
	return nil
}

// endRemote notes that the peer has sent everything.
func (c *Conn) endRemote(s *Stream) error {
	if s.remaining > 0 {
		return &streamError{s.id, wire.ErrCodeProtocol, "less data than content-length says"}
	}
	s.remoteEnded = true
	if s.localEnded {
		c.remove(s, false)
		c.budget.earn()
	}
	s.readable.Broadcast()
	return nil
}

func (c *Conn) processWindowUpdate(f *wire.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		if c.sendWindow += int64(f.Increment); c.sendWindow > maxWindow {
			return &connError{wire.ErrCodeFlowControl, "window too large"}
		}
		c.wakeNext()
		return nil
	}
	s := c.streams[f.StreamID]
	if s == nil {
		if c.isIdle(f.StreamID) {
			return protocolError("WINDOW_UPDATE on an idle stream")
		}
		return nil
	}
	if int64(s.sendWindow)+int64(f.Increment) > maxWindow {
		return &streamError{s.id, wire.ErrCodeFlowControl, "window too large"}
	}
	s.sendWindow += int32(f.Increment)
	s.writable.Signal()
	return nil
}

func (c *Conn) processReset(f *wire.RSTStreamFrame, now int64) error {
	s := c.streams[f.StreamID]
	if s == nil {
		if c.isIdle(f.StreamID) {
			return protocolError("RST_STREAM on an idle stream")
		}
		return c.budget.control(now)
	}
	err := error(&ResetError{Code: f.ErrCode, ByPeer: true})
	if f.ErrCode == wire.ErrCodeRefusedStream && c.client {
		err = &UnprocessedError{err}
	}
	if !s.answered { // Otherwise the peer has waited for a response, and so cannot do this fast.
		if excess := c.spendReset(now); excess != nil {
			return excess
		}
	}
	c.breakStream(s, err)
	return nil
}

func (c *Conn) processGoAway(f *wire.GoAwayFrame) error {
	c.goneAway = true
	if c.client {
		for id, s := range c.streams {
			if id > f.LastStreamID {
				c.breakStream(s, &UnprocessedError{errors.New("the peer is going away")})
			}
		}
	}
	c.endIfIdle()
	return nil
}

func (c *Conn) processPing(f *wire.PingFrame) {
	if !f.IsAck() {
		c.appendPing(true, f.Data)
	} else if f.Data == drainPing {
		c.settle()
	}
}

func (c *Conn) processSettings(f *wire.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if f.HasDuplicates() && f.NumSettings() > 32 {
		return tooMuch("too many settings")
	}
	err := f.ForeachSetting(func(setting wire.Setting) error {
		if err := setting.Valid(); err != nil {
			return err
		}
		switch setting.ID {
		case wire.SettingInitialWindowSize:
			change := int64(setting.Val) - int64(c.peerWindow)
			c.peerWindow = int32(setting.Val)
			for _, s := range c.streams {
				window := int64(s.sendWindow) + change
				if window > maxWindow {
					return &connError{wire.ErrCodeFlowControl, "window too large"}
				}
				s.sendWindow = int32(window)
				s.writable.Signal()
			}
		case wire.SettingMaxConcurrentStreams:
			c.peerStreams = setting.Val
			c.makeRoomKnown()
		case wire.SettingHeaderTableSize:
			c.tableChanged = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.appendSettingsAck()
	return nil
}

func (c *Conn) processHeaders(f *wire.HeadersFrame) error {
	id := f.StreamID
	kind, err := c.classify(id, f.StreamEnded())
	if err != nil {
		return err
	}
	c.block.reset(kind, id, f.StreamEnded(), c.endpoint.cfg.MaxHeadBytes)
	if f.HasPriority() && f.Priority.StreamDep == id {
		c.block.malformed = "stream depends on itself" // RFC 7540 5.3.1
	}
	return c.processFragment(f.HeaderBlockFragment(), f.HeadersEnded())
}

// classify finds out what a header block is that starts on a stream.
func (c *Conn) classify(id uint32, ended bool) (blockKind, error) {
	c.mu.Lock()
	defer c.unlock()
	if !c.greeted {
		return 0, protocolError("the first frame is not SETTINGS")
	}
	c.headSince = c.endpoint.cfg.Now()
	s := c.streams[id]
	switch {
	case s != nil && s.remoteEnded:
		// The block would have to be decoded all the same, so the connection ends.
		return 0, &connError{wire.ErrCodeStreamClosed, "HEADERS after the end"}
	case s != nil && c.client && !s.final:
		return responseBlock, nil
	case s != nil:
		return trailerBlock, nil
	case !c.isIdle(id):
		if closed := c.closedHow(id); closed != nil && !closed.reset && !c.client {
			return 0, &connError{wire.ErrCodeStreamClosed, "HEADERS on a closed stream"}
		} else if closed == nil && !c.client {
			return 0, protocolError("stream opened out of turn")
		}
		return ignoredBlock, c.spendLate(c.headSince)
	case c.client || id%2 == 0:
		return 0, protocolError("stream that the peer may not open")
	}
	c.lastPeerID = id
	if c.settled && id > c.lastTaken {
		return ignoredBlock, c.spendLate(c.headSince)
	}
	return requestBlock, nil
}

// processFragment decodes a part of a header block.
func (c *Conn) processFragment(fragment []byte, ended bool) error {
	b := &c.block
	b.frames++
	if b.bytes += len(fragment); b.bytes > maxBlockBytes || b.frames > maxBlockFrames {
		return tooMuch("header block without end")
	}
	if _, err := c.decoder.Write(fragment); err != nil {
		return &connError{wire.ErrCodeCompression, err.Error()}
	}
	if !ended {
		return nil
	}
	if err := c.decoder.Close(); err != nil {
		return &connError{wire.ErrCodeCompression, err.Error()}
	}
	b.finish()
	c.mu.Lock()
	defer c.unlock()
	c.headSince = 0
	switch b.kind {
	case requestBlock:
		return c.takeRequest(b)
	case responseBlock:
		return c.takeResponse(b)
	case trailerBlock:
		return c.takeTrailers(b)
	}
	return nil
}

// takeRequest starts a stream.
func (c *Conn) takeRequest(b *block) error {
	cfg := &c.endpoint.cfg
	// A stream that the client has reset counts until its handler is through with it.
	if len(c.streams) >= cfg.MaxStreams || c.handlers >= 2*cfg.MaxStreams {
		c.budget.controls += 5
		c.closeUnopened(b.stream)
		c.appendReset(b.stream, wire.ErrCodeRefusedStream)
		return c.budget.control(cfg.Now())
	}
	s := c.newStream(b.stream)
	s.final = true
	s.remoteEnded = b.ended
	switch {
	case b.malformed != "":
		s.readErr = &ResetError{Code: wire.ErrCodeProtocol, Text: b.malformed}
		if err := c.budget.reset(cfg.Now()); err != nil {
			return err
		}
	case b.tooLarge:
		s.readErr = ErrHeadTooLarge
	default:
		s.heads = append(s.heads, b.appendText(make([]byte, 0, len(b.lines)+len(b.cookie)+len(b.path)+len(b.authority)+128)))
		s.remaining = b.length
	}
	c.handlers++
	// First read what has come with the head: it may be the whole body.
	c.starting = append(c.starting, s)
	if b.malformed != "" || b.ended {
		c.start()
	}
	return nil
}

// ErrHeadTooLarge says that a request's head is larger than Config.MaxHeadBytes.
var ErrHeadTooLarge = errors.New("the head is too large")

// closeUnopened notes that a stream has been refused.
func (c *Conn) closeUnopened(id uint32) {
	c.remove(&Stream{conn: c, id: id}, true)
}

func (c *Conn) takeResponse(b *block) error {
	s := c.streams[b.stream]
	switch {
	case s == nil:
		return nil
	case b.malformed != "":
		return &streamError{s.id, wire.ErrCodeProtocol, b.malformed}
	case b.tooLarge:
		return &streamError{s.id, wire.ErrCodeProtocol, ErrHeadTooLarge.Error()}
	case len(s.heads) > maxInterim:
		return &streamError{s.id, wire.ErrCodeEnhanceYourCalm, "too many interim responses"}
	}
	c.answered = true
	s.heads = append(s.heads, b.appendText(make([]byte, 0, len(b.lines)+64)))
	if s.final = b.status >= 200; s.final {
		s.resized = c.endpoint.cfg.Now()
		if s.remaining = b.length; s.noBody || b.status == 204 || b.status == 304 {
			s.remaining = 0
		}
	}
	if b.ended {
		return c.endRemote(s)
	}
	s.readable.Broadcast()
	return nil
}

func (c *Conn) takeTrailers(b *block) error {
	s := c.streams[b.stream]
	switch {
	case s == nil:
		return nil
	case !b.ended:
		return &streamError{s.id, wire.ErrCodeProtocol, "trailers that do not end the stream"}
	case b.malformed != "":
		return &streamError{s.id, wire.ErrCodeProtocol, b.malformed}
	case b.tooLarge:
		return &streamError{s.id, wire.ErrCodeProtocol, "trailers too large"}
	}
	if len(b.lines) > 0 {
		s.trailers = b.appendText(nil)
	}
	return c.endRemote(s)
}

var _ io.Reader = (*Stream)(nil)
