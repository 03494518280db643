// Package delivery takes records off the data path and brings their entries to those who want them: the destinations of
// access log subscriptions, and whoever watches. Entries for destinations go from the queue into batches on the disk, and
// from there to a sink, which is a directory or AWS (package amazon).
//
// A record is encoded on the goroutine of its connection, into one of a few buffers; nothing there waits. When all of
// them are full, because the disk is slower than traffic, entries are dropped and counted.
package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/summary"
)

const (
	// interval is how long entries are collected before they go on.
	interval = 100 * time.Millisecond
	// fullBufferBytes is how much a buffer holds before it is emptied early: so little that it stays in the processor's caches
	// on its way to the disk.
	fullBufferBytes = 64 << 10
	// maxBufferBytes bounds what waits for delivery in one buffer: some 3,000 entries.
	maxBufferBytes = 4 << 20
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
	// extra are the buffers of entries that came while all others were in use, each with one: the last one, and how many.
	extra   atomic.Pointer[buffer]
	extras  atomic.Int64
	wake    chan struct{} // an entry has come to an empty buffer
	full    chan struct{} // a buffer holds enough
	dropped atomic.Int64
	// lacking is how many entries subscriptions lack since the last delivery: *atomic.Int64 by *lattice.AccessLogSubscription.
	lacking   sync.Map
	told      int64     // of dropped; Run's
	delivered time.Time // the last time; Run's
	drops     *summary.Summary
	watchers
	memory
}

// buffer collects encoded records until they are delivered.
type buffer struct {
	mu      sync.Mutex // mu guards the fields below. The data path only tries to lock it.
	records records
	_       [64]byte // Neighbours are used by other cores.
	emptied records  // what was delivered last, to be filled again; Run's
	isExtra bool
	next    *buffer // of the extra ones
}

// records are encoded in a row.
type records struct {
	bytes   []byte
	entries []entry
}

// entry is one of records.
type entry struct {
	logs    []*lattice.AccessLogSubscription
	start   int // of the entry in the bytes
	end     int
	watched int // where the additions for those who watch end; they follow the entry
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
	return q.watched() || q.cfg.Spool != nil && service != nil && len(service.AccessLogs()) > 0
}

// Write implements accesslog.Log.
func (q *Queue) Write(r *accesslog.Record) {
	var logs []*lattice.AccessLogSubscription
	if r.Service != nil {
		logs = r.Service.AccessLogs()
	}
	q.write(logs,
		func(to []byte) []byte { return accesslog.AppendEntry(to, r) },
		func(to []byte) []byte { return accesslog.AppendDetails(to, r) })
}

// WantsResource implements accesslog.ResourceLog.
func (q *Queue) WantsResource(logs []*lattice.AccessLogSubscription) bool {
	return q.watched() || q.cfg.Spool != nil && len(logs) > 0
}

// WriteResource implements accesslog.ResourceLog.
func (q *Queue) WriteResource(r *accesslog.ResourceRecord, logs []*lattice.AccessLogSubscription) {
	q.write(logs,
		func(to []byte) []byte { return accesslog.AppendResourceEntry(to, r) },
		func(to []byte) []byte { return accesslog.AppendResourceDetails(to, r) })
}

// write adds an entry for subscriptions, with its details if somebody watches.
func (q *Queue) write(logs []*lattice.AccessLogSubscription, appendEntry, appendDetails func([]byte) []byte) {
	b := q.lock()
	if b == nil {
		q.drop(logs)
		return
	}
	e := entry{logs: logs, start: len(b.records.bytes)}
	b.records.bytes = appendEntry(b.records.bytes)
	e.end = len(b.records.bytes)
	if q.watched() {
		b.records.bytes = appendDetails(b.records.bytes)
	}
	q.unlock(b, e)
}

// lock returns a buffer that has room, or nil.
func (q *Queue) lock() *buffer {
	first, busy := rand.IntN(len(q.buffers)), false
	for i := range q.buffers {
		b := &q.buffers[(first+i)%len(q.buffers)]
		if !b.mu.TryLock() {
			busy = true
			continue
		}
		if len(b.records.bytes) < maxBufferBytes {
			return b
		}
		b.mu.Unlock()
	}
	// A goroutine that holds a buffer may have lost its processor for a while.
	if busy && q.extras.Add(1) <= maxExtras {
		b := &buffer{isExtra: true}
		b.mu.Lock()
		return b
	} else if busy {
		q.extras.Add(-1)
	}
	return nil
}

// unlock adds an entry that has been encoded.
func (q *Queue) unlock(b *buffer, e entry) {
	e.watched = len(b.records.bytes)
	b.records.entries = append(b.records.entries, e)
	wasEmpty, isFull := len(b.records.entries) == 1, e.start < fullBufferBytes && e.watched >= fullBufferBytes
	b.mu.Unlock()
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
	default: // It has been signalled already.
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

// Run delivers entries until ctx ends, and what has come until then.
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
		full := b.records
		b.records = records{b.emptied.bytes[:0], b.emptied.entries[:0]}
		b.mu.Unlock()
		q.hand(&full)
		b.emptied = full
		if cap(full.bytes) > maxBufferBytes/4 {
			b.emptied = records{} // After a burst.
		}
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
			q.lacking.Delete(to) // Nothing was dropped since the last time.
		}
		return true
	})
}

// hand gives entries to those who want them.
func (q *Queue) hand(full *records) {
	for i := range full.entries {
		e := &full.entries[i]
		if q.cfg.Spool != nil {
			for _, to := range e.logs {
				q.cfg.Spool.Append(to, full.bytes[e.start:e.end])
			}
		}
		e.logs = nil
		if e.watched > e.end {
			q.show(full.bytes[e.start:e.end-len("}")], full.bytes[e.end:e.watched])
		}
	}
}
