package http2

import wire "golang.org/x/net/http2"

// handler is a goroutine that handles streams of a connection, one after another. Between two streams it keeps its stack,
// which would have to grow again each time if each stream had a goroutine: that was 8 % of the CPU time of a small gRPC call.
type handler chan *Stream

// start gives the new streams to handlers. The caller holds c.mu.
func (c *Conn) start() {
	for i, s := range c.starting {
		c.starting[i] = nil
		last := len(c.idle) - 1
		if last < 0 {
			c.running.Go(func() { c.handleStreams(s) })
			continue
		}
		c.idle[last] <- s
		c.idle = c.idle[:last]
		c.unused = min(c.unused, last)
	}
	c.starting = c.starting[:0]
}

// handleStreams handles a stream, and then those that start passes to it, until the handler is dismissed.
func (c *Conn) handleStreams(s *Stream) {
	h := make(handler, 1)
	for ok := true; ok; s, ok = <-h {
		c.handleStream(s)
		c.mu.Lock()
		if c.finished {
			close(h)
		} else {
			c.idle = append(c.idle, h)
		}
		c.mu.Unlock()
	}
}

func (c *Conn) handleStream(s *Stream) {
	defer func() {
		s.Close(wire.ErrCodeInternal)
		c.mu.Lock()
		c.handlers--
		c.mu.Unlock()
	}()
	c.handle(s)
}

// dismissUnused ends the handlers that have been idle since its last call. The caller holds c.mu.
func (c *Conn) dismissUnused() {
	c.dismiss(min(c.unused, len(c.idle)))
	c.unused = len(c.idle)
}

// dismiss ends the n handlers that have been idle for longest. The caller holds c.mu.
func (c *Conn) dismiss(n int) {
	for _, h := range c.idle[:n] {
		close(h)
	}
	kept := copy(c.idle, c.idle[n:])
	clear(c.idle[kept:])
	c.idle = c.idle[:kept]
}
