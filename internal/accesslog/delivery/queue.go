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
	// maxBufferBytes bounds what waits for delivery in one buffer: some 3,000 entries.
	maxBufferBytes = 4 << 20
)

// Config is what a Queue is built from.
type Config struct {
	// Spool gets the entries that subscriptions want. Nil means that they are delivered nowhere.
	Spool *Spool
	Log   *slog.Logger
}

// Queue is an accesslog.Log.
type Queue struct {
	cfg     Config
	buffers []buffer
	wake    chan struct{} // an entry has come to an empty buffer
	dropped atomic.Int64
	told    int64 // of dropped; Run's
	drops   *summary.Summary
	watchers
}

// buffer collects encoded records until they are delivered.
type buffer struct {
	mu      sync.Mutex // mu guards the fields below. The data path only tries to lock it.
	records records
	_       [64]byte // Neighbours are used by other cores.
	emptied records  // what was delivered last, to be filled again; Run's
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
		cfg: cfg, buffers: make([]buffer, runtime.GOMAXPROCS(0)), wake: make(chan struct{}, 1),
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
	first := rand.IntN(len(q.buffers))
	for i := range q.buffers {
		b := &q.buffers[(first+i)%len(q.buffers)]
		if !b.mu.TryLock() {
			continue
		}
		wasEmpty, ok := b.records.add(r, q.watched())
		b.mu.Unlock()
		if !ok {
			continue
		}
		if wasEmpty {
			select {
			case q.wake <- struct{}{}:
			default:
			}
		}
		return
	}
	q.dropped.Add(1)
}

func (b *records) add(r *accesslog.Record, watched bool) (wasEmpty, ok bool) {
	if len(b.bytes) >= maxBufferBytes {
		return false, false
	}
	e := entry{start: len(b.bytes)}
	if r.Service != nil {
		e.logs = r.Service.AccessLogs()
	}
	b.bytes = accesslog.AppendEntry(b.bytes, r)
	e.end = len(b.bytes)
	if watched {
		b.bytes = accesslog.AppendDetails(b.bytes, r)
	}
	e.watched = len(b.bytes)
	b.entries = append(b.entries, e)
	return len(b.entries) == 1, true
}

// Run delivers entries until ctx ends, and what has come until then.
func (q *Queue) Run(ctx context.Context) error {
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
			q.reportDropped()
		case <-q.wake:
			select {
			case <-time.After(interval):
			case <-ctx.Done():
			}
			q.deliver()
		}
	}
}

func (q *Queue) deliver() {
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
	if q.cfg.Spool != nil {
		q.cfg.Spool.Flush(time.Now())
	}
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

func (q *Queue) reportDropped() {
	if n := q.dropped.Load(); n > q.told {
		q.drops.Happened(n - q.told)
		q.told = n
	}
}
