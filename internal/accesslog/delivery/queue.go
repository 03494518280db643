// Package delivery takes records off the data path and brings their entries to those who want them: the destinations of
// access log subscriptions, and those who watch. Entries for destinations go from the queue into batches on the disk, and
// from there to a sink, which is a directory or AWS (package amazon).
//
// What an entry needs of a record is copied on the goroutine of its connection, into one of a few buffers; nothing there waits.
// When all of them are full, because the disk is slower than traffic, entries are dropped and counted. One goroutine makes text
// of entries, many of them at once.
package delivery

import (
	"bytes"
	"context"
	"log/slog"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/summary"
)

const (
	// interval is how long entries are collected before they go on.
	interval = 100 * time.Millisecond
	// fullBufferBytes is how much a buffer holds before it is emptied early. What empties it takes the processor's caches from the
	// data path, which should not happen often; but a large buffer does not stay in these caches itself. With 64 KB or 1 MB, a
	// request takes 2 % longer.
	fullBufferBytes = 256 << 10
	// maxBufferBytes bounds what waits for delivery in one buffer: some 14,000 entries.
	maxBufferBytes = 4 << 20
	// spread times a number has the last digits of the number in its first ones. It is 2^64 divided by the golden ratio.
	spread = 0x9e3779b97f4a7c15
	// maxExtras bounds the entries that have a buffer of their own.
	maxExtras = 1000
)

// Config is what a Queue is built from.
type Config struct {
	// Spool gets the entries that subscriptions want. Nil means that they are delivered nowhere.
	Spool *Spool
	Log   *slog.Logger
}

// Queue is an accesslog.Log and an accesslog.ResourceLog.
type Queue struct {
	cfg     Config
	buffers []buffer
	// extra is the list of buffers for entries that came while all others were in use, one entry each: the last buffer, and
	// how many there are.
	extra   atomic.Pointer[buffer]
	extras  atomic.Int64
	wake    chan struct{} // an entry has come to an empty buffer
	full    chan struct{} // a buffer holds enough
	dropped atomic.Int64
	// lacking counts the entries that each subscription lacks since the last delivery: *atomic.Int64 by
	// *lattice.AccessLogSubscription.
	lacking   sync.Map
	told      int64     // of dropped; Run's
	delivered time.Time // the last time; Run's
	drops     *summary.Summary
	watchers
	memory
}

// buffer collects entries until they are delivered.
type buffer struct {
	mu      sync.Mutex // mu guards the fields below. The data path only tries to lock it.
	records records
	_       [64]byte // Other cores use the neighbouring buffers.
	emptied records  // what was delivered last, to be filled again; Run's
	isExtra bool
	next    *buffer // of the extra ones
}

// records are entries, and what they refer to.
type records struct {
	room    accesslog.Room
	entries []entry
	extras  []extra
}

// entry is one of records.
type entry struct {
	exchange accesslog.Entry
	extra    *extra // what most entries lack, or nil
}

// extra is what an entry has if it is that of a connection to a resource, or if somebody watches.
type extra struct {
	// text is the entry of a connection to a resource, and logs are the subscriptions to it.
	text    []byte
	logs    []*lattice.AccessLogSubscription
	details []byte // for those who watch
}

// logs returns the subscriptions that get the entry.
func (e *entry) logs() []*lattice.AccessLogSubscription {
	if e.isExchange() {
		return e.exchange.AccessLogs()
	}
	return e.extra.logs
}

func (e *entry) isExchange() bool { return e.extra == nil || e.extra.text == nil }

// size returns how many bytes the records take.
func (r *records) size() int {
	return len(r.room.Text) + len(r.entries)*int(unsafe.Sizeof(entry{})) + len(r.extras)*int(unsafe.Sizeof(extra{})) +
		len(r.room.Callers)*int(unsafe.Sizeof(accesslog.Caller{}))
}

// add appends text to the room, and returns it as it is there.
func (r *records) add(appendText func([]byte) []byte) []byte {
	from := len(r.room.Text)
	r.room.Text = appendText(r.room.Text)
	return r.room.Text[from:]
}

// next adds an entry.
func (r *records) next() *entry {
	n := len(r.entries)
	if n == cap(r.entries) {
		r.grow()
	}
	r.entries = r.entries[:n+1] // reset has left it empty.
	return &r.entries[n]
}

func (r *records) grow() { r.entries = slices.Grow(r.entries, 1) }

// extend adds what most entries lack.
func (r *records) extend(e *entry, more extra) {
	r.extras = append(r.extras, more)
	e.extra = &r.extras[len(r.extras)-1]
}

// addDetails adds to the entry of an exchange what those who watch want.
func (r *records) addDetails(e *entry, of *accesslog.Record) {
	r.extend(e, extra{details: r.add(func(to []byte) []byte { return accesslog.AppendDetails(to, of) })})
}

// reset makes room again.
func (r *records) reset() {
	clear(r.entries) // The entries refer to services that may be gone by now.
	clear(r.extras)
	r.entries, r.extras = r.entries[:0], r.extras[:0]
	r.room.Reset()
}

// NewQueue returns a queue. Run delivers what comes.
func NewQueue(cfg Config) *Queue {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Queue{
		cfg: cfg, buffers: make([]buffer, runtime.GOMAXPROCS(0)), wake: make(chan struct{}, 1), full: make(chan struct{}, 1),
		drops: summary.New(summary.Config{Log: cfg.Log, First: "access log entries are dropped: they come faster than they can be delivered",
			Again: "more access log entries were dropped"}),
	}
}

// Wants implements accesslog.Log.
func (q *Queue) Wants(service *routing.Service) bool {
	return q.watched() || q.cfg.Spool != nil && len(service.AccessLogs()) > 0
}

// Write implements accesslog.Log.
func (q *Queue) Write(r *accesslog.Record) {
	b, before := q.lock(r.Duration)
	if b == nil {
		q.drop(r.Service.AccessLogs())
		return
	}
	e := b.records.next()
	e.exchange.Take(r, &b.records.room)
	if q.watched() {
		b.records.addDetails(e, r)
	}
	q.unlock(b, before)
}

// WantsResource implements accesslog.ResourceLog.
func (q *Queue) WantsResource(logs []*lattice.AccessLogSubscription) bool {
	return q.watched() || q.cfg.Spool != nil && len(logs) > 0
}

// WriteResource implements accesslog.ResourceLog.
func (q *Queue) WriteResource(r *accesslog.ResourceRecord, logs []*lattice.AccessLogSubscription) {
	b, before := q.lock(time.Duration(r.Start.Nanosecond()))
	if b == nil {
		q.drop(logs)
		return
	}
	more := extra{logs: logs, text: b.records.add(func(to []byte) []byte { return accesslog.AppendResourceEntry(to, r) })}
	if q.watched() {
		more.details = b.records.add(func(to []byte) []byte { return accesslog.AppendResourceDetails(to, r) })
	}
	b.records.extend(b.records.next(), more)
	q.unlock(b, before)
}

// lock returns a buffer that has room, or nil, and how much it holds. Measured is a time by the clock, whose last digits choose the
// buffer to try first: they are as good as random, and cost nothing.
func (q *Queue) lock(measured time.Duration) (b *buffer, size int) {
	first, _ := bits.Mul64(uint64(measured)*spread, uint64(len(q.buffers)))
	b = &q.buffers[first]
	if b.mu.TryLock() {
		if size := b.records.size(); size < maxBufferBytes {
			return b, size
		}
		b.mu.Unlock()
	}
	return q.lockAny(int(first))
}

// lockAny is lock for when the first buffer to be tried was in use, or full.
func (q *Queue) lockAny(first int) (b *buffer, size int) {
	busy := false
	for i := range q.buffers {
		b := &q.buffers[(first+i)%len(q.buffers)]
		if !b.mu.TryLock() {
			busy = true
			continue
		}
		if size := b.records.size(); size < maxBufferBytes {
			return b, size
		}
		b.mu.Unlock()
	}
	// A goroutine that holds a buffer may have lost its processor for a while.
	if busy && q.extras.Add(1) <= maxExtras {
		b := &buffer{isExtra: true}
		b.mu.Lock()
		return b, 0
	} else if busy {
		q.extras.Add(-1)
	}
	return nil, 0
}

// unlock unlocks a buffer to which an entry was added, and signals what Run waits for. before is the buffer's size without
// that entry.
func (q *Queue) unlock(b *buffer, before int) {
	wasEmpty, isFull := len(b.records.entries) == 1, before < fullBufferBytes && b.records.size() >= fullBufferBytes
	b.mu.Unlock()
	if wasEmpty || isFull {
		q.tell(b, wasEmpty, isFull)
	}
}

// tell signals that a buffer was empty before its last entry, or holds enough with it.
func (q *Queue) tell(b *buffer, wasEmpty, isFull bool) {
	if isFull {
		signal(q.full)
	}
	if b.isExtra {
		for b.next = q.extra.Load(); !q.extra.CompareAndSwap(b.next, b); b.next = q.extra.Load() {
		}
	}
	if wasEmpty {
		signal(q.wake)
	}
}

func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default: // Run has been told already.
	}
}

// drop counts an entry for which there was no room.
func (q *Queue) drop(logs []*lattice.AccessLogSubscription) {
	q.dropped.Add(1)
	for _, to := range logs {
		n, ok := q.lacking.Load(to)
		if !ok {
			n, _ = q.lacking.LoadOrStore(to, new(atomic.Int64))
		}
		n.(*atomic.Int64).Add(1)
	}
	signal(q.wake)
}

// Run delivers entries until ctx ends, and at the end those that have come.
func (q *Queue) Run(ctx context.Context) error {
	q.delivered = time.Now()
	flush := time.NewTicker(time.Second)
	defer flush.Stop()
	if q.cfg.Spool != nil {
		defer q.cfg.Spool.Close()
	}
	defer q.drops.Close()
	defer q.deliver()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-flush.C:
			if q.cfg.Spool != nil {
				q.cfg.Spool.Flush(now)
			}
		case <-q.wake:
			q.collect(ctx)
			q.deliver()
		}
	}
}

// collect waits for an interval, during which it empties buffers that are full.
func (q *Queue) collect(ctx context.Context) {
	over := time.After(interval)
	for {
		select {
		case <-over:
			return
		case <-q.full:
			q.empty()
		case <-ctx.Done():
			return
		}
	}
}

// empty gives the entries of all buffers to those who want them.
func (q *Queue) empty() {
	for i := range q.buffers {
		b := &q.buffers[i]
		b.mu.Lock()
		b.records, b.emptied = b.emptied, b.records
		b.mu.Unlock()
		q.hand(&b.emptied)
		if size := b.emptied.size(); size > maxBufferBytes/4 {
			b.emptied = records{} // After a burst.
		}
		b.emptied.reset()
	}
	for b := q.extra.Swap(nil); b != nil; b = b.next {
		q.extras.Add(-1)
		q.hand(&b.records)
	}
}

// deliver empties the buffers, and makes the spool write what came to the disk.
func (q *Queue) deliver() {
	q.empty()
	now := time.Now()
	if n := q.dropped.Load() - q.told; n > 0 {
		q.told += n
		q.drops.Happened(n)
		q.miss(n)
	}
	if q.cfg.Spool != nil {
		q.tellLacking(now)
		q.cfg.Spool.Flush(now)
	}
	q.delivered = now
}

// tellLacking tells the spool how many entries subscriptions lack.
func (q *Queue) tellLacking(now time.Time) {
	q.lacking.Range(func(to, n any) bool {
		if lost := n.(*atomic.Int64).Swap(0); lost > 0 {
			q.cfg.Spool.Lack(to.(*lattice.AccessLogSubscription), lost, q.delivered, now)
		} else {
			q.lacking.Delete(to) // Nothing was dropped since the last delivery.
		}
		return true
	})
}

// hand gives entries to the spool and to those who watch.
func (q *Queue) hand(full *records) {
	if q.cfg.Spool != nil {
		q.cfg.Spool.Append(full.entries)
	}
	if len(full.extras) == 0 {
		return
	}
	for i := range full.entries {
		if e := &full.entries[i]; e.extra != nil && e.extra.details != nil {
			q.show(bytes.TrimSuffix(e.append(nil), []byte("}")), e.extra.details)
		}
	}
}

// append appends the entry as text.
func (e *entry) append(to []byte) []byte {
	if e.isExchange() {
		return e.exchange.Append(to)
	}
	return append(to, e.extra.text...)
}
