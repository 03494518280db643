package catalog

import (
	"context"
	"log/slog"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// committer commits the mutations of this node, one batch after the other, in order of arrival.
//
//  1. It takes what waits, up to what fits into one transaction, and has each mutation evaluated against the
//     replica plus what the mutations before it in the batch wrote. A mutation that fails is rolled back.
//  2. One etcd transaction stores the batch, on condition that the head key is as the replica knew it.
//  3. If it is not, another node was faster: the replica catches up, and all mutations are evaluated again.
//  4. Otherwise, as soon as the table has the revision, the next batch begins. The goroutine that applies the revision
//     answers the callers.
//
// The answer to a mutation that failed or wrote nothing rests on the writes before it in the batch, and so waits
// for their transaction like theirs.
type committer struct {
	kv      clientv3.KV
	replica *replica
	calls   <-chan *call
	stored  chan<- stored // to the watch; holds one
	limits  limits
	leases  leases
	node    string       // the name of this node, new at every start
	batches uint64       // how many transactions were tried
	room    func() error // why there is no time for another transaction, if known
	storing stopwatch    // a transaction
	counts  *counts
	fail    func(error)
	log     *slog.Logger
}

// run commits until the context ends.
func (m *committer) run(ctx context.Context) {
	var waiting []*call
	for {
		if len(waiting) == 0 {
			select {
			case c := <-m.calls:
				waiting = append(waiting, c)
			case <-ctx.Done():
				return
			}
		}
		waiting = m.collect(waiting)
		var err error
		if waiting, err = m.commit(ctx, waiting); err != nil {
			return // The context has ended, and the callers know.
		}
	}
}

// collect adds calls that wait, not many more than fit into one batch.
func (m *committer) collect(waiting []*call) []*call {
	for len(waiting) < m.limits.operations {
		select {
		case c := <-m.calls:
			waiting = append(waiting, c)
		default:
			return waiting
		}
	}
	return waiting
}

// commit commits a batch of the calls, and returns those that must be tried again. After an error the catalog has failed.
func (m *committer) commit(ctx context.Context, calls []*call) ([]*call, error) {
	b := &batch{}
	rest, current := m.evaluate(b, calls)
	if !current {
		return append(b.calls, rest...), nil
	}
	if len(b.calls) == 0 {
		return rest, nil
	}
	if m.room != nil {
		if err := m.room(); err != nil {
			b.answer(0, unavailable(err))
			return rest, nil
		}
	}
	var s stored
	var decoding sync.WaitGroup
	decoding.Go(func() { s.steps, s.err = b.overlay.steps() }) // this runs while etcd waits for the disk
	m.storing.start()
	result, err := m.store(ctx, b)
	m.counts.commits.Add(m.storing.stop())
	decoding.Wait()
	if err != nil {
		return nil, err
	}
	switch {
	case result.refused != nil:
		b.answer(0, result.refused)
		return rest, nil
	case !result.stored:
		m.counts.conflicts.Add(1)
		rest = append(b.calls, rest...)
	default:
		s.batch, s.revision = b, result.revision
		select {
		case m.stored <- s:
		default: // the watch is down; it will see the revision when it is back
			b.answer(result.revision, nil)
		}
	}
	m.counts.learn(result.revision)
	return rest, m.replica.seen.wait(result.revision, ctx, ctx)
}

// stored is a batch that has been stored as a revision, with its effect on the table.
type stored struct {
	batch    *batch // its calls are answered once the table has the revision
	revision int64
	steps    []step
	err      error // why there are no steps
}

// batch is the mutations of one transaction.
type batch struct {
	revision int64 // the revision that they were evaluated at, and that of the head key then
	head     int64
	overlay  *overlay // nil before the first
	calls    []*call  // the calls whose answers wait for the transaction
}

// answer answers the calls of a batch: with the error if there is one, else with their own.
func (b *batch) answer(revision int64, err error) {
	for _, c := range b.calls {
		if err != nil {
			c.answer <- answer{err: err}
		} else {
			c.answer <- answer{revision: revision, err: c.err}
		}
	}
	b.calls = nil
}

// evaluate has calls evaluated until the batch is full, and returns the rest. current is false if the replica moved
// on meanwhile, so that the batch is useless.
func (m *committer) evaluate(b *batch, calls []*call) (rest []*call, current bool) {
	for i, c := range calls {
		if b.overlay != nil && b.overlay.operations >= m.limits.operations {
			return calls[i:], true
		}
		if !m.lock(b) {
			return calls[i:], false
		}
		o := b.overlay
		select {
		case c.turn <- o:
			<-c.evaluated
		case <-c.left:
			c.withdrawn = true
		}
		m.replica.mu.RUnlock()

		switch tooLarge := o.operations > m.limits.operations || o.bytes > m.limits.bytes; {
		case c.withdrawn:
			o.rollback()
			continue
		case c.err != nil:
			o.rollback()
		case tooLarge && len(b.calls) > 0:
			o.rollback()
			return calls[i:], true // Alone, it may fit into the next batch.
		case tooLarge:
			c.err = &TooLargeError{o.operations, m.limits.operations, o.bytes, m.limits.bytes}
			o.rollback()
		default:
			o.keep()
		}
		b.calls = append(b.calls, c)
		if o.operations == 0 {
			b.answer(0, nil) // This answer depends on the replica alone.
		}
	}
	return nil, true
}

// lock locks the replica for reading if it has not moved since the batch began.
func (m *committer) lock(b *batch) bool {
	r := m.replica
	r.mu.RLock()
	switch {
	case b.overlay == nil:
		b.revision, b.head, b.overlay = r.revision, r.head, newOverlay(r.table)
	case b.revision != r.revision:
		r.mu.RUnlock()
		return false
	}
	return true
}
