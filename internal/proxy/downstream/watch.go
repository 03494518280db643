package downstream

import (
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/socket"
)

// Tick is how often the sweeper looks at every connection, and so how exact timeouts are. For every exchange, a deadline of the
// runtime would have a timer inserted and removed; this takes one store.
const Tick = 250 * time.Millisecond

const (
	// goneTicks is how often, in ticks, the sweeper checks whether a client still waits for its response. A check is a
	// system call for each client that does.
	goneTicks = 3
	// ParkTicks is how many ticks a connection is idle before it is parked.
	ParkTicks = 8
)

// State is what a connection waits for. Conn says what each means, and which follow it.
type State uint64

// The states.
const (
	Idle State = iota + 1
	ReadingHead
	Dialing
	AwaitingTarget
	Writing
	Discarding
	Relaying
	Closing
)

// sends reports whether the client may be receiving the last bytes for it. They have more time than ConnectionDuration.
func (s State) sends() bool { return s == Writing || s == Discarding || s == Closing }

// Cause is why a wait was ended.
type Cause uint64

// The causes. Of several, the greatest counts.
const (
	CauseNone     Cause = iota
	CauseTimeout        // nothing happened for too long
	CauseGone           // the client has closed its side while the target was at work
	CauseLifetime       // the connection has lived too long
	CauseDrain          // the proxy is shutting down
	CauseBroken         // the proxy has waited long enough for its shutdown
	CauseRoom           // the connection was idle, and others need its place
	CausePark           // the connection has been idle for a while; see Park
)

// Refusal returns how a request is refused when its wait for a target was ended.
func (why Cause) Refusal() exchange.Refusal {
	switch why {
	case CauseTimeout:
		return exchange.LateTarget
	case CauseGone:
		return exchange.ClientGone
	case CauseLifetime:
		return exchange.TooOld
	default:
		return exchange.Stopping
	}
}

// watch is how the sweeper and a connection's goroutine share what the connection waits for and until when. The
// goroutine states it in one atomic word before it waits, and replaces the word afterwards. The sweeper ends a wait by
// setting a cause in that word and, only if the word was still the same, making the socket's deadline pass. A goroutine that
// replaces a word with a cause waits until the sweeper has finished, and so knows that the deadlines have passed.
type watch struct {
	word atomic.Uint64 // milliseconds of the deadline << 8 | cause << 4 | state
	mu   sync.Mutex    // held while waits are being ended
	// swept is the word that the sweeper saw last, and same how often it has seen the same one again. They belong to the
	// sweeper.
	swept uint64
	same  int
}

func watchWord(s State, deadline int64) uint64 { return uint64(deadline)<<8 | uint64(s) }

func wordState(word uint64) State     { return State(word & 0xf) }
func wordCause(word uint64) Cause     { return Cause(word >> 4 & 0xf) }
func withoutCause(word uint64) uint64 { return word &^ (0xf << 4) }
func wordDeadline(word uint64) int64  { return int64(word >> 8) }

// Enter changes the connection's state, for so many milliseconds at most. It returns why the sweeper ended the wait before, if
// it did.
func (c *Conn) Enter(s State, timeout int64) Cause {
	old := c.watch.word.Swap(watchWord(s, c.Env.Clock.Now()+timeout))
	if wordCause(old) == CauseNone {
		return CauseNone
	}
	return c.ended(wordCause(old))
}

// State returns the connection's state.
func (c *Conn) State() State { return wordState(c.watch.word.Load()) }

// ended waits until the sweeper has ended a wait. If an idle connection was to be parked or to make room and its goroutine has
// found a request, the goroutine need not know: the request is carried. A connection that was to make room ends with the
// response.
func (c *Conn) ended(why Cause) Cause {
	c.watch.await()
	switch why {
	case CausePark:
		c.accepted.SetReadDeadline(time.Time{})
		return CauseNone
	case CauseRoom:
		c.accepted.SetDeadline(time.Time{})
		c.evicted.Store(true)
		return CauseNone
	default:
		return why
	}
}

// await waits until the sweeper is done with the sockets.
func (w *watch) await() {
	w.mu.Lock()
	defer w.mu.Unlock()
}

// end ends the connection's wait if it is still the one that word states. It reports whether it was. The cause takes the place
// of CausePark, which has ended nothing.
func (c *Conn) end(word uint64, why Cause) bool {
	w := &c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.word.CompareAndSwap(word, withoutCause(word)|uint64(why)<<4) {
		return false
	}
	if why == CausePark {
		c.accepted.SetReadDeadline(Past)
		return true
	}
	if wordState(word) == Relaying {
		c.endRelaying()
		return true
	}
	if wordState(word) != AwaitingTarget {
		c.accepted.SetDeadline(Past)
		return true
	}
	if why == CauseTimeout && c.Upload.state.Load() == UploadReads {
		c.accepted.SetReadDeadline(Past) // The client is late. The upload reports that, and ends the rest.
		return true
	}
	if why != CauseTimeout {
		c.accepted.SetReadDeadline(Past) // The deadline ends an upload; a response can still be sent.
	}
	c.Target.SetDeadline(Past)
	return true
}

// endAgain ends a wait that went on although it was ended: the deadline may have hit an upload that had just finished.
func (c *Conn) endAgain(word uint64) {
	w := &c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.word.Load() != word {
		return
	}
	switch wordState(word) {
	case Relaying:
		c.endRelaying()
	case AwaitingTarget:
		c.Target.SetDeadline(Past)
		fallthrough
	default:
		c.accepted.SetDeadline(Past)
	}
}

// Sweep ends the connection's wait if it has lasted too long or has become pointless.
func (c *Conn) Sweep(now int64, draining bool) {
	if streams := c.streams.Load(); streams != nil {
		(*streams).Sweep(now, draining)
		return
	}
	w := &c.watch
	word := w.word.Load()
	if wordCause(word) == CausePark {
		return
	}
	if w.same++; w.swept != word {
		w.swept, w.same = word, 0
	}
	if wordCause(word) != CauseNone {
		if w.same > 0 {
			c.endAgain(word)
		}
		return
	}
	uploading := c.Upload.state.Load() != uploadNone
	over, breaks := c.Outlives(now)
	switch s := wordState(word); {
	case s == Dialing:
	case breaks || over && !s.sends() || s == Relaying && c.hasLapsed(now):
		c.end(word, CauseLifetime)
	case now >= wordDeadline(word) && !(uploading && now < c.Upload.deadline.Load()):
		c.end(word, CauseTimeout)
	case s == Idle && (draining || c.IsUnwanted()) && !c.Env.Lenient.Load():
		c.end(word, CauseDrain)
	case s == Idle && w.same == ParkTicks && c.transport != nil:
		c.end(word, CausePark)
	case s == AwaitingTarget && w.same%goneTicks == 1 && !uploading && c.transport != nil && socket.Ended(c.transport):
		c.end(word, CauseGone)
	}
}

// hasLapsed reports whether the connection is unwanted and its grace is over. Only the sweeper may ask.
func (c *Conn) hasLapsed(now int64) bool {
	if c.grace == 0 || !c.IsUnwanted() {
		return false
	}
	if c.lapsed == 0 {
		c.lapsed = now + c.grace
	}
	return now >= c.lapsed
}

// BreakOff ends the connection's wait in any state.
func (c *Conn) BreakOff() {
	if streams := c.streams.Load(); streams != nil {
		(*streams).BreakOff()
		return
	}
	if word := c.watch.word.Load(); wordCause(word) == CauseNone {
		c.end(word, CauseBroken)
	}
}

// Streams is how the sweeper sees a connection of HTTP/2.
type Streams interface {
	// Sweep ends what has lasted too long or has become pointless.
	Sweep(now int64, draining bool)
	// BreakOff ends everything at once.
	BreakOff()
	// Quiet reports whether no stream is open, for how many milliseconds, and whether there has been one.
	Quiet() (quiet, used bool, millis int64)
	// EndIfQuiet ends the connection at once if no stream is open. It reports whether it does.
	EndIfQuiet() bool
}

// Multiplex leaves all waits to the streams. The connection has none of its own until EndMultiplex.
func (c *Conn) Multiplex(streams Streams) {
	c.Enter(Writing, c.IdleMillis)
	c.conn.SetDeadline(time.Time{}) // The sweeper may have ended a wait just now.
	c.streams.Store(&streams)
}

// EndMultiplex ends what Multiplex has begun. The connection can only be closed after it.
func (c *Conn) EndMultiplex() {
	c.Enter(Closing, LingerMillis)
	c.streams.Store(nil)
	c.conn.SetDeadline(time.Time{})
}
