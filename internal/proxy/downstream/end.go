package downstream

import "time"

const (
	// LingerMillis and MaxDiscardBytes bound how long, and how much, the proxy reads from a client and drops so that the
	// client can read the response.
	LingerMillis    = 2000
	MaxDiscardBytes = 256 << 10
)

// End closes the connection after its last exchange.
func (c *Conn) End() {
	c.inside = false // This may still be set after a panic.
	c.Enter(Closing, LingerMillis)
	switch c.ending {
	case breaks:
		c.accepted.SetLinger(0) // A reset: see Break.
		c.accepted.Close()      // Without the alert with which TLS ends in order.
		return
	case lingers:
		if !c.evicted.Load() {
			c.linger()
		}
	}
	if c.secured != nil {
		c.secured.conn.Close()
		return
	}
	c.accepted.Close()
}

// Reset closes a connection and drops everything that is under way.
func (c *Conn) Reset() {
	c.accepted.SetLinger(0)
	c.accepted.Close()
}

// linger gives the client time to read the response. If the connection is closed with something unread, the kernel sends a
// reset, which may overtake the response. A client of HTTP/2 may be sending on many streams.
func (c *Conn) linger() {
	CloseWrite(c.conn)
	c.accepted.CloseWrite() // TLS would send only an alert, which not every client understands.
	left, until := MaxDiscardBytes, c.Env.Clock.Now()+LingerMillis
	if c.discards > 0 {
		left, until = c.discards, c.Env.Clock.Now()+5*LingerMillis
	}
	pooled := c.Env.Buffers.Get()
	defer c.Env.Buffers.Put(pooled)
	for left > 0 {
		rest := until - c.Env.Clock.Now()
		if rest <= 0 || c.Enter(Discarding, min(rest, LingerMillis)) != CauseNone {
			return
		}
		n, err := c.conn.Read(pooled.Bytes[:])
		if err != nil {
			return
		}
		left -= n
	}
}

// Past is a deadline that has passed.
var Past = time.Unix(1, 0)
