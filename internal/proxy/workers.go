package proxy

import (
	"sync"
	"sync/atomic"
)

// maxIdleWorkers bounds how many workers wait for a connection. Each keeps a stack of some 8 KB.
const maxIdleWorkers = 256

// workers are goroutines that carry connections, one after another. The small stack of a new goroutine grows several times
// while it carries its first request. For requests on connections of their own, that was a tenth of the cost.
type workers struct {
	// next takes work for a connection to a worker that waits. Nil ends one.
	next    chan func()
	idle    atomic.Int64
	running sync.WaitGroup
	closing sync.Once
}

func newWorkers() *workers { return &workers{next: make(chan func())} }

// take gives a connection to a worker that waits, or to a new one. carry carries it.
func (w *workers) take(carry func()) {
	select {
	case w.next <- carry:
	default:
		w.running.Add(1)
		go w.work(carry)
	}
}

func (w *workers) work(carry func()) {
	defer w.running.Done()
	for carry != nil {
		carry()
		carry = nil
		if w.idle.Add(1) <= maxIdleWorkers {
			carry = <-w.next
		}
		w.idle.Add(-1)
	}
}

// retire ends a worker that waits. It is called a few times a second: the workers of a burst are gone after a minute, and under
// load it makes no difference.
func (w *workers) retire() {
	select {
	case w.next <- nil:
	default:
	}
}

// close ends the workers. No connection may be left or come. It may be called again, as Shutdown may.
func (w *workers) close() {
	w.closing.Do(func() { close(w.next) })
	w.running.Wait()
}
