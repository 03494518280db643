package downstream

import (
	"time"

	"trellis/internal/proxy/socket"
)

// Parks reports whether a wait has ended only because the connection should be parked. If so, it can be waited for again.
func (c *Conn) Parks() bool {
	word := c.watch.word.Load()
	if wordCause(word) != CausePark {
		return false
	}
	c.watch.word.Store(watchWord(Idle, wordDeadline(word))) // The sweeper leaves a word alone that has a cause.
	c.ended(CausePark)
	return true
}

// Park waits for the client's next request with as little memory as possible; whoever serves the connection goes on
// afterwards. It must be called on a goroutine of its own: the stack of the one that carried requests has grown, and the
// collector would leave it at twice the size that a goroutine starts with, since it reserves a part of it.
func (c *Conn) Park() {
	if c.secured != nil {
		dropBuffers(c.secured.conn)
	}
	looked := false
	// If the wait fails, so does the next one, which knows what to do.
	_ = c.raw.Read(func(fd uintptr) bool {
		if looked {
			return true
		}
		looked = true
		return !socket.Silent(fd) // Something may have come meanwhile, of which the poller would not tell again.
	})
}

// ClearDeadline lets the connection be used after a wait was ended.
func (c *Conn) ClearDeadline() { c.conn.SetDeadline(time.Time{}) }

// EndRead ends the wait for the client at once.
func (c *Conn) EndReads() { c.conn.SetReadDeadline(Past) }
