package http2

import (
	"errors"
	"net"
)

// ErrFull says that a connection has no room for another stream.
var ErrFull = errors.New("the connection has no room for another stream")

// Request says what follows the header block of a request.
type Request struct {
	// Ended says that there is no body, and More that Send will be called at once.
	Ended bool
	More  bool
	// ToHead says that the response has no body: the method is HEAD.
	ToHead bool
	// Allowance is the client's Allowance. Without one the window of the response does not grow.
	Allowance *Allowance
}

// Client returns the client's side of a connection to a target. greeted is called once the target's SETTINGS have come,
// which say how many streams it takes. roomy is called whenever there is room for a stream again after Open has returned ErrFull.
func (e *Endpoint) Client(conn net.Conn, greeted, roomy func()) *Conn {
	c := e.newConn(conn, nil)
	c.client, c.streamWindow, c.connWindow = true, int32(e.cfg.TargetWindow), targetConnWindow
	c.onGreeting, c.onRoom = greeted, roomy
	c.introduce()
	return c
}

// Open opens a stream with a request's header block if there is room.
func (c *Conn) Open(block []byte, request Request) (s *Stream, err error) {
	c.mu.Lock()
	defer c.unlock()
	switch {
	case c.err != nil:
		return nil, c.err
	case c.draining || c.goneAway || c.lastOwnID > maxStreamID-2:
		return nil, errEnded
	case uint32(len(c.streams)) >= c.peerStreams:
		c.full = true
		return nil, ErrFull
	}
	if c.lastOwnID == 0 {
		c.lastOwnID = 1
	} else {
		c.lastOwnID += 2
	}
	s = c.newStream(c.lastOwnID)
	s.allowance = request.Allowance
	s.noBody, s.opened, s.reused, s.writtenAt = request.ToHead, c.endpoint.cfg.Now(), c.answered, c.appended()
	c.appendHeaders(s.id, block, request.Ended)
	if request.Ended {
		s.localEnded = true
	}
	if c.large > 0 && s.allowance != nil {
		s.grow(maxWindow)
		s.announce()
	}
	if !request.More {
		c.write()
	}
	return s, nil
}
