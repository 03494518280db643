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
	known     atomic.Int64 // the latest revision that etcd is known to have of the records
	lag       atomic.Int64 // nanoseconds
}

// learn notes that etcd has a revision.
func (c *counts) learn(revision int64) {
	for known := c.known.Load(); revision > known && !c.known.CompareAndSwap(known, revision); known = c.known.Load() {
	}
}

// Statistics are what the catalog has counted.
type Statistics struct {
	// Revision is the one that the data plane has, Known the latest that etcd is known to have of the records.
	Revision, Known int64
	// WatchLag is how long the watch took, the last time that etcd was asked, to bring what etcd had. That is once a second.
	WatchLag time.Duration
	// Commits are the transactions of this node; Conflicts how many of them came too late, since another node was faster.
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
