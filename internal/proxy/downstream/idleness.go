package downstream

import "trellis/internal/proxy/socket"

// Idleness says how long a connection has been without an exchange.
type Idleness struct {
	// Served says that the connection has carried a request.
	Served bool
	// Ticks is how long it has been idle, by the sweeper's count.
	Ticks int

	word uint64 // what the connection waits for; for HTTP/2 it is always the same
}

// HasServed notes that the connection has carried a request.
func (c *Conn) HasServed() {
	if !c.served.Load() {
		c.served.Store(true)
	}
}

// Idleness reports whether no exchange is under way on the connection, and for how long. Only the sweeper may ask.
func (c *Conn) Idleness() (idle Idleness, ok bool) {
	if streams := c.streams.Load(); streams != nil {
		quiet, used, millis := (*streams).Quiet()
		return Idleness{Served: used, Ticks: int(millis / Tick.Milliseconds())}, quiet
	}
	word := c.watch.word.Load()
	if s := wordState(word); s != Idle && s != ReadingHead {
		return idle, false
	}
	if why := wordCause(word); why != CauseNone && why != CausePark {
		return idle, false
	}
	idle = Idleness{word: word, Served: c.served.Load()}
	if c.watch.swept == withoutCause(word) {
		idle.Ticks = c.watch.same
	}
	return idle, true
}

// Evict ends the connection if it still seems to be idle. It reports whether it does.
func (c *Conn) Evict(idle Idleness) bool {
	if streams := c.streams.Load(); streams != nil {
		c.evicted.Store(true)
		if (*streams).EndIfQuiet() {
			return true
		}
		c.evicted.Store(false)
		return false
	}
	if wordState(idle.word) == Idle && c.transport != nil && !c.isSilent() {
		return false // A request has come, or the client has closed the connection.
	}
	return c.end(idle.word, CauseRoom)
}

// MakesRoom reports whether the connection ends because others need its place. It must be asked when the connection ends: the
// sweeper may have overlooked a request that has just been read, which is carried first.
func (c *Conn) MakesRoom() bool {
	return c.evicted.Load() || wordCause(c.watch.word.Load()) == CauseRoom
}

// IsLeaving reports whether the connection is about to be closed: its goroutine is closing it, or has yet to notice that Evict
// has ended its wait. A connection with a request that the sweeper had not seen does not leave yet.
func (c *Conn) IsLeaving() bool {
	if c.streams.Load() != nil {
		return c.evicted.Load()
	}
	switch word := c.watch.word.Load(); wordState(word) {
	case Closing:
		return true
	case Idle, ReadingHead:
		return wordCause(word) == CauseRoom
	default:
		return false
	}
}

// isSilent reports whether nothing from the client waits to be read.
func (c *Conn) isSilent() (silent bool) {
	err := c.transport.Control(func(fd uintptr) { silent = socket.Silent(fd) })
	return err == nil && silent
}
