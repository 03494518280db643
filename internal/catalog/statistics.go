package catalog

import (
	"sync/atomic"
	"time"

	"trellis/internal/tally"
)

// counts is what the catalog counts.
type counts struct {
	commits   tally.Durations
	conflicts atomic.Int64
	known     atomic.Int64 // the latest revision of the records that etcd is known to have
	lag       atomic.Int64 // nanoseconds
}

// learn notes that etcd has a revision.
func (c *counts) learn(revision int64) {
	for known := c.known.Load(); revision > known && !c.known.CompareAndSwap(known, revision); known = c.known.Load() {
	}
}

// Statistics are what the catalog has counted.
type Statistics struct {
	// Revision is what the data plane has. Known is the latest revision of the records that etcd is known to have.
	Revision, Known int64
	// WatchLag is how long the watch took to deliver what etcd had when it was last asked. It is asked once a second.
	WatchLag time.Duration
	// Commits are the transactions of this node; Conflicts counts those that failed because another node was faster.
	Commits   tally.Distribution
	Conflicts int64
	// Writable: changes are stored.
	Writable bool
}

// Statistics returns what the catalog has counted.
func (c *Catalog) Statistics() Statistics {
	s := Statistics{
		Revision: c.Revision(), WatchLag: time.Duration(c.counts.lag.Load()),
		Commits: c.counts.commits.Read(), Conflicts: c.counts.conflicts.Load(), Writable: c.Writable() == nil,
	}
	s.Known = max(s.Revision, c.counts.known.Load())
	return s
}
