package proxy

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/proxy/socket"
)

// tick is how often the sweeper looks at every connection, and so how exact timeouts are. A deadline of the runtime
// costs a timer's insertion and removal for every exchange; this costs a store.
const tick = 250 * time.Millisecond

// goneTicks is after how many ticks it is looked again whether a client still waits for its answer. It is a
// system call for each that does.
const goneTicks = 3

// sweptAtOnce is after how many connections the sweeper lets others go first: a sweep of thousands takes milliseconds,
// which requests would wait for.
const sweptAtOnce = 32

// clock is the time as the sweeper last saw it.
type clock struct {
	began  time.Time
	millis atomic.Int64
}

func (c *clock) start(now time.Time) { c.began = now }

func (c *clock) set(now time.Time) { c.millis.Store(now.Sub(c.began).Milliseconds()) }

func (c *clock) now() int64 { return c.millis.Load() }

// phase is what a connection is waiting for.
type phase uint64

const (
	phaseIdle   phase = iota + 1 // the first byte of a request
	phaseHead                    // the rest of a head, or of a TLS handshake
	phaseRead                    // more bytes from the client
	phaseDial                    // a connection to a target, which has a limit of its own
	phaseTarget                  // the target
	phaseClient                  // room to send to the client
	phaseTunnel                  // either side of an upgraded connection
)

// cause is why a wait was ended.
type cause uint64

const (
	causeNone     cause = iota
	causeTimeout        // nothing happened for too long
	causeGone           // the client has closed its side while the target was at work
	causeLifetime       // the connection has lived too long
	causeDrain          // the proxy is shutting down
	causeBroken         // the proxy has waited long enough for its shutdown
	causeRoom           // the connection was idle, and others need its place
	causeNap            // nothing but that the connection has been idle for a while; see nap
)

// watch is how the sweeper and a connection's goroutine share what the connection waits for and until when. The
// goroutine states it in one atomic word before it waits, and replaces the word afterwards. The sweeper ends a wait by
// setting a cause in that same word and, only if the word was still the same, making the socket's deadline pass. Who
// replaces a word that has a cause waits until the sweeper has finished, and so knows that the socket is spoilt.
type watch struct {
	word atomic.Uint64 // milliseconds of the deadline << 8 | cause << 4 | phase
	mu   sync.Mutex    // held while waits are being ended
	// swept is the word that the sweeper saw last, and same how often it has seen the same one again. They belong to the
	// sweeper.
	swept uint64
	same  int
}

func watchWord(ph phase, deadline int64) uint64 { return uint64(deadline)<<8 | uint64(ph) }

func wordPhase(word uint64) phase    { return phase(word & 0xf) }
func wordCause(word uint64) cause    { return cause(word >> 4 & 0xf) }
func wordDeadline(word uint64) int64 { return int64(word >> 8) }

// enter states what the connection waits for from now on. It returns why the sweeper ended the wait before, if it did.
func (c *connection) enter(ph phase, timeout int64) cause {
	old := c.watch.word.Swap(watchWord(ph, c.proxy.clock.now()+timeout))
	if wordCause(old) == causeNone {
		return causeNone
	}
	return c.ended(wordCause(old))
}

// ended waits until the sweeper has ended a wait. A nap is nothing that the connection's goroutine need know of when it
// has found something to do.
func (c *connection) ended(why cause) cause {
	c.watch.await()
	if why == causeNap {
		c.accepted.SetReadDeadline(time.Time{})
		return causeNone
	}
	return why
}

// await returns when the sweeper is done with the sockets.
func (w *watch) await() {
	w.mu.Lock()
	defer w.mu.Unlock()
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// end ends the connection's wait if it is still the one that word states. It reports whether it was.
func (w *watch) end(c *connection, word uint64, why cause) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.word.CompareAndSwap(word, word|uint64(why)<<4) {
		return false
	}
	if why == causeNap {
		c.accepted.SetReadDeadline(past)
		return true
	}
	if wordPhase(word) != phaseTarget {
		c.accepted.SetDeadline(past)
		if wordPhase(word) == phaseTunnel {
			c.target.SetDeadline(past)
		}
		return true
	}
	if why == causeTimeout && c.upload.state.Load() == uploadReads {
		c.accepted.SetReadDeadline(past) // It is the client that is late. The upload tells so, and ends the rest.
		return true
	}
	if why != causeTimeout {
		c.accepted.SetReadDeadline(past) // It ends an upload; an answer can still be sent.
	}
	c.target.SetDeadline(past)
	return true
}

// insist ends a wait that has gone on although it was ended: an upload that was to be ended may just have ended well.
func (w *watch) insist(c *connection, word uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.word.Load() != word {
		return
	}
	c.accepted.SetDeadline(past)
	if ph := wordPhase(word); ph == phaseTarget || ph == phaseTunnel {
		c.target.SetDeadline(past)
	}
}

// sweepConnection ends the connection's wait if it has lasted too long or has become pointless.
func (w *watch) sweepConnection(c *connection, now int64, draining bool) {
	if m := c.multiplexed.Load(); m != nil {
		m.sweep(now, draining)
		return
	}
	word := w.word.Load()
	if wordCause(word) == causeNap {
		return
	}
	if w.same++; w.swept != word {
		w.swept, w.same = word, 0
	}
	if wordCause(word) != causeNone {
		if w.same > 0 {
			w.insist(c, word)
		}
		return
	}
	uploading := c.upload.state.Load() != uploadNone
	switch ph := wordPhase(word); {
	case ph == phaseDial:
	case now >= c.endsAt:
		w.end(c, word, causeLifetime)
	case now >= wordDeadline(word) && !(uploading && now < c.upload.deadline.Load()):
		w.end(c, word, causeTimeout)
	case ph == phaseIdle && (draining || c.listener.gone()) && !c.proxy.patient.Load():
		w.end(c, word, causeDrain)
	case ph == phaseIdle && w.same == napTicks && c.transport != nil:
		w.end(c, word, causeNap)
	case ph == phaseTarget && w.same%goneTicks == 1 && !uploading && c.transport != nil && socket.Ended(c.transport):
		w.end(c, word, causeGone)
	}
}

// sweep keeps the time, until Shutdown.
func (p *Proxy) sweep() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for turn := 1; ; turn++ {
		select {
		case now := <-ticker.C:
			p.clock.set(now)
			p.sweepConnections()
			p.makeRoom()
			if turn%int(time.Second/tick) == 0 {
				p.setDate(now)
				p.pools.Sweep(now)
				p.retryBinding()
			}
			if turn%int(failureInterval/tick) == 0 {
				p.failures.sweep(p.cfg.Log)
			}
		case <-p.crowd.full:
			p.makeRoom()
		case <-p.dialing.Done():
			return
		}
	}
}

func (p *Proxy) sweepConnections() {
	p.sweeping.Lock()
	defer p.sweeping.Unlock()
	p.mu.Lock()
	connections := slices.AppendSeq(p.swept[:0], maps.Keys(p.connections))
	p.mu.Unlock()
	now, draining := p.clock.now(), p.draining.Load()
	for i, c := range connections {
		if i%sweptAtOnce == sweptAtOnce-1 {
			runtime.Gosched()
		}
		c.watch.sweepConnection(c, now, draining)
	}
	clear(connections) // Those that end are not to be kept in memory.
	p.swept = connections
}
