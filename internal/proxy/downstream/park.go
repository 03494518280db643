package downstream

import (
	"time"

	"trellis/internal/proxy/socket"
)

// Parks reports whether a wait has ended only so that the connection is parked. If so, the connection can wait again.
func (c *Conn) Parks() bool {
	w := &c.watch
	w.mu.Lock() // Evict may be about to replace the cause.
	defer w.mu.Unlock()
	word := w.word.Load()
	if wordCause(word) != CausePark {
		return false
	}
	c.accepted.SetReadDeadline(time.Time{})
	w.word.Store(withoutCause(word))
	return true
}

// Park waits for the client's next request with as little memory as possible. Afterwards the connection must be served. Park
// must be called on a goroutine of its own: the stack of the one that carried requests has grown, and the collector would
// leave it at twice the size with which a goroutine starts.
func (c *Conn) Park() {
	if c.secured != nil {
		dropBuffers(c.secured.conn)
	}
	looked := false
	// If this wait fails, so does the next one, whose error is handled.
	_ = c.raw.Read(func(fd uintptr) bool {
		if looked {
			return true
		}
		looked = true
		return !socket.Silent(fd) // The poller would not report again the bytes that have come meanwhile.
	})
}

// ClearDeadline lets the connection be used after a wait was ended.
func (c *Conn) ClearDeadline() { c.conn.SetDeadline(time.Time{}) }

// EndReads ends all waits for bytes of the client at once.
func (c *Conn) EndReads() { c.conn.SetReadDeadline(Past) }
