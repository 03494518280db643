package catalog

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
)

// replica is the copy of all records in memory. Only the goroutine that calls relist and take changes it.
type replica struct {
	onChange func([]lattice.Change)
	log      *slog.Logger

	// seen is the revision that the table has reached, applied the one that the Apply function has returned from.
	seen, applied progress

	skipped map[string]bool // keys whose values could not be decoded; only the goroutine that changes the replica uses it

	mu sync.RWMutex // mu guards the fields below.
	// revision is that of the last event, whether or not seen has gone further.
	revision int64
	// head is the revision at which the head key was written last, as far as the table has come; 0 for never.
	head  int64
	table *table
}

func newReplica(apply func([]lattice.Change), log *slog.Logger) *replica {
	if apply == nil {
		apply = func([]lattice.Change) {}
	}
	return &replica{onChange: apply, log: log, skipped: make(map[string]bool), table: newTable(0)}
}

// take applies the events that follow the replica's revision, revision by revision.
func (r *replica) take(events []*clientv3.Event) {
	for len(events) > 0 {
		revision := events[0].Kv.ModRevision
		n := 1
		for n < len(events) && events[n].Kv.ModRevision == revision {
			n++
		}
		r.takeRevision(revision, events[:n])
		events = events[n:]
	}
}

// takeRevision applies the events of one revision as one step.
func (r *replica) takeRevision(revision int64, events []*clientv3.Event) {
	if revision <= r.seen.now() {
		return
	}
	head := int64(-1)
	steps := make([]step, 0, len(events))
	for _, event := range events {
		switch {
		case string(event.Kv.Key) == headKey && event.Type == clientv3.EventTypeDelete:
			head = 0
		case string(event.Kv.Key) == headKey:
			head = revision
		case isRecordKey(event.Kv.Key):
			if s, ok := r.decodeEvent(event); ok {
				steps = append(steps, s)
			}
		}
	}

	r.apply(revision, head, steps)
}

// takeStored applies a revision that this node has stored itself, so that its writers need not wait for the watch. Only the
// revision that follows the replica's can be applied this way. Any other comes by the watch, after its predecessors.
func (r *replica) takeStored(s stored) {
	if s.err != nil || s.revision != r.seen.now()+1 {
		return
	}
	for _, step := range s.steps {
		if row := step.row; row != nil {
			row.modified = s.revision
			if row.at.Revision == uncommitted {
				row.at.Revision = s.revision
			}
		}
	}
	r.apply(s.revision, s.revision, s.steps)
}

// apply carries out the steps of a revision. A head of -1 means that the revision left the head key alone.
func (r *replica) apply(revision, head int64, steps []step) {
	r.mu.Lock()
	r.revision = revision
	if head >= 0 {
		r.head = head
	}
	changes := r.change(steps)
	r.mu.Unlock()

	r.seen.advance(revision)
	if len(changes) > 0 {
		r.onChange(changes)
	}
	r.applied.advance(revision)
}

// step is what a revision does to one key: it puts a row, or deletes it.
type step struct {
	key lattice.Key
	row *row
}

// decodeEvent returns an event as a step. A value that cannot be decoded counts as no record.
func (r *replica) decodeEvent(event *clientv3.Event) (step, bool) {
	key, ok := lattice.ParseKey(string(event.Kv.Key[len(prefix):]))
	if event.Type == clientv3.EventTypeDelete {
		return step{key: key}, ok
	}
	decoded, err := decode(new(lattice.Decoder), event.Kv)
	if err != nil {
		r.skip(string(event.Kv.Key), err)
	}
	return step{key: key, row: decoded}, ok
}

// skip reports a key that is no record, the first time it is seen.
func (r *replica) skip(key string, err error) {
	if !r.skipped[key] {
		r.skipped[key] = true
		r.log.Error("skipped a key that holds no record that this version knows", "key", key, "error", err)
	}
}

// change makes the steps in the table and returns the changes. The caller holds the lock.
func (r *replica) change(steps []step) []lattice.Change {
	changes := make([]lattice.Change, 0, len(steps))
	for _, s := range steps {
		var change lattice.Change
		if old := r.table.row(s.key); old != nil {
			r.table.unclaim(old)
			r.table.remove(old)
			change.Old = old.rec
		}
		if s.row != nil {
			r.table.add(s.row)
			change.New = s.row.rec
		}
		if change != (lattice.Change{}) {
			changes = append(changes, change)
		}
	}
	for _, s := range steps {
		if s.row != nil {
			r.claim(r.table, s.row)
		}
	}
	return changes
}

func (r *replica) claim(t *table, row *row) {
	if !t.claim(row) {
		r.log.Error("two records hold the same claim; something other than Trellis has written one", "key", row.at.Key)
	}
}

// relist loads everything and applies what differs from the replica as one step.
func (r *replica) relist(ctx context.Context, kv clientv3.KV) error {
	listing, err := list(ctx, kv)
	if err != nil {
		return err
	}
	for key, err := range listing.skipped {
		r.skip(key, err)
	}
	if listing.revision < r.seen.now() {
		return &wentBackError{from: r.seen.now(), to: listing.revision}
	}
	fresh, changes := r.compare(listing.rows)

	r.mu.Lock()
	r.revision = listing.revision
	r.head = listing.head
	r.table = fresh
	r.mu.Unlock()

	r.seen.advance(listing.revision)
	if len(changes) > 0 {
		r.onChange(changes)
	}
	r.applied.advance(listing.revision)
	return nil
}

// compare returns a table of the rows, which are in order of their keys, and how it differs from the replica's:
// first what is gone, then what is new or changed in order of creation. Rows that have not changed are kept.
func (r *replica) compare(rows []*row) (*table, []lattice.Change) {
	old := r.table // No lock: only this goroutine changes it.
	for i, row := range rows {
		if before := old.rows[row.at.Key]; before != nil && before.modified == row.modified {
			rows[i] = before
		}
	}
	byCreation := slices.Clone(rows)
	slices.SortFunc(byCreation, func(a, b *row) int { return a.at.Compare(b.at) })

	// Trees grow fastest at their end, so each is filled in its own order, one on each of two processors.
	fresh := newTable(len(rows))
	var keys sync.WaitGroup
	keys.Go(func() {
		for _, row := range rows {
			fresh.rows[row.at.Key] = row
			fresh.byKey.ReplaceOrInsert(row)
		}
	})
	for _, row := range byCreation {
		fresh.lists.add(row)
		r.claim(fresh, row)
	}
	keys.Wait()

	var changes []lattice.Change
	for key, before := range old.rows {
		if fresh.rows[key] == nil {
			changes = append(changes, lattice.Change{Old: before.rec})
		}
	}
	for _, row := range byCreation {
		switch before := old.rows[row.at.Key]; {
		case before == nil:
			changes = append(changes, lattice.Change{New: row.rec})
		case before != row:
			changes = append(changes, lattice.Change{Old: before.rec, New: row.rec})
		}
	}
	return fresh, changes
}

// reach notes that there were no changes up to a revision.
func (r *replica) reach(revision int64) {
	r.seen.advance(revision)
	r.applied.advance(revision)
}
