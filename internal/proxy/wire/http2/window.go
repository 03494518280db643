package http2

import "sync/atomic"

// Allowance is how much memory the responses to one client may hold beyond the little that each of them always may.
type Allowance struct{ left atomic.Int64 }

// Take takes up to n bytes and returns how many it got, which Give must give back. One call gets at most an eighth of what is
// left, so that many streams that do not need it leave some to one that does.
func (a *Allowance) Take(n int) int {
	for {
		left := a.left.Load()
		got := max(min(int64(n), left/8), 0)
		if got == 0 || a.left.CompareAndSwap(left, left-got) {
			return int(got)
		}
	}
}

// Give gives n bytes back.
func (a *Allowance) Give(n int) { a.left.Add(int64(n)) }

// Allowance returns what pays for responses to the stream's client.
func (s *Stream) Allowance() *Allowance { return &s.conn.allowance }

// credit lets the peer send n bytes more on the stream.
func (s *Stream) credit(n int) {
	if s.remoteEnded || s.gone {
		return
	}
	s.owed += n
	if s.owed < s.window/4 {
		return
	}
	if s.allowance != nil {
		s.resize()
	}
	s.announce()
}

// announce tells the peer how much more it may send.
func (s *Stream) announce() {
	if s.owed > 0 {
		s.conn.appendWindowUpdate(s.id, uint32(s.owed))
		s.recvWindow += int32(s.owed)
		s.owed = 0
	}
}

// learn notes how large a response was. As long as one in ten is larger than the first window, the next ones get a larger
// window at once: if each had to wait until its client has read something, it would take another round trip.
func (c *Conn) learn(s *Stream) {
	if s.came > int(c.streamWindow) {
		c.large = 10
	} else if c.large > 0 {
		c.large--
	}
}

// grow adds to the window as many of n bytes as the allowance has.
func (s *Stream) grow(n int) {
	got := s.allowance.Take(min(n, s.conn.endpoint.cfg.MaxTargetWindow-s.window))
	s.window += got
	s.owed += got
}

// resize lets the window grow when more than a window passes in a second. Otherwise it shrinks: either the client or the target
// holds the response up, unless the target is a second away.
func (s *Stream) resize() {
	cfg := &s.conn.endpoint.cfg
	now := cfg.Now()
	took := now - s.resized
	s.resized = now
	if took*int64(s.window) <= 1000*int64(s.owed) {
		s.grow(3 * s.window)
		return
	}
	less := min(s.owed, s.window-cfg.TargetWindow)
	s.window -= less
	s.owed -= less
	s.allowance.Give(less)
}

// credit lets the peer send n bytes more on all streams together.
func (c *Conn) credit(n int) {
	if c.owed += n; c.owed >= int(c.connWindow)/4 && c.err == nil {
		c.appendWindowUpdate(0, uint32(c.owed))
		c.recvWindow += int64(c.owed)
		c.owed = 0
	}
}
