package delivery

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/accesslog"
)

// maxUnseen is how many lines wait for a watcher. One that is slower than traffic misses the rest.
const maxUnseen = 1000

// watchers are those who want to see all exchanges as they end.
type watchers struct {
	count atomic.Int32 // the data path reads it
	mu    sync.Mutex   // mu guards the fields below.
	all   map[*Watch]struct{}
	ended bool
}

// Watch is what a watcher gets: lines of JSON, each an entry with the details of AppendDetails, or what AppendOutput makes of a
// line of a function. They are shared.
type Watch struct {
	// Lines is closed when there will be no more.
	Lines  <-chan []byte
	lines  chan []byte
	wants  func(line []byte) bool
	missed atomic.Int64
}

// Missed returns how many lines have been missed since the last call.
func (w *Watch) Missed() int64 { return w.missed.Swap(0) }

// Watch begins to collect exchanges. wants says which; it is called with the whole line. stop ends it.
func (w *watchers) Watch(wants func(line []byte) bool) (watch *Watch, stop func()) {
	lines := make(chan []byte, maxUnseen)
	watch = &Watch{Lines: lines, lines: lines, wants: wants}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		close(lines)
		return watch, func() {}
	}
	if w.all == nil {
		w.all = map[*Watch]struct{}{}
	}
	w.all[watch] = struct{}{}
	w.count.Store(int32(len(w.all)))
	return watch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, watch)
		w.count.Store(int32(len(w.all)))
	}
}

// EndWatching ends all watches, also those that begin later.
func (w *watchers) EndWatching() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for watch := range w.all {
		close(watch.lines)
	}
	clear(w.all)
	w.count.Store(0)
}

func (w *watchers) watched() bool { return w.count.Load() > 0 }

func (w *watchers) show(entry, details []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		return
	}
	w.send(slices.Concat(entry, details))
}

// ShowOutput shows a line that a function has written, and the id of its event, if it has one.
func (w *watchers) ShowOutput(function, requestID, line string) {
	if !w.watched() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.send(accesslog.AppendOutput(nil, time.Now(), function, requestID, line))
}

// send gives a line to those who want it. The caller holds mu.
func (w *watchers) send(line []byte) {
	for watch := range w.all {
		if !watch.wants(line) {
			continue
		}
		select {
		case watch.lines <- line:
		default:
			watch.missed.Add(1)
		}
	}
}

// miss counts lines that were dropped before anybody could see them.
func (w *watchers) miss(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for watch := range w.all {
		watch.missed.Add(n)
	}
}
