package catalog

import (
	"context"
)

// call is a mutation under way. The mutation always runs on the goroutine that called Commit, when the committer gives it
// the turn: so it never runs after Commit has returned, and a panic in it is the caller's own.
type call struct {
	turn      chan *overlay // the committer hands the batch's overlay over
	evaluated chan struct{} // the caller gives the turn back
	answer    chan answer   // holds one, so that the committer does not wait for a caller who has left
	left      chan struct{} // closed when the caller waits no more

	// The result of the last evaluation, set before the turn is given back.
	withdrawn bool // the mutation did not return: it panicked, or its goroutine ended
	err       error
}

// answer is the result of a mutation: its error, or the revision after which it has taken effect.
type answer struct {
	revision int64
	err      error
}

// Commit runs a mutation and returns once all that it wrote is stored, and the replica and Apply have taken it up.
//
// The mutation may run several times, one after another, on the goroutine of the caller; only what it writes in
// its last run counts. It must not block, and must use the catalog through tx only. An error of it is returned as it
// is, and nothing is written. It sees all mutations of this node whose Commit has returned. A mutation that writes
// nothing is answered without a transaction: like Read it may miss what another node has just committed.
//
// When ctx ends first, Commit returns its error at once, and whether the mutation was stored is not known. The same
// holds for ErrClosed. When nothing can be stored, or that turns out while Commit waits, it returns an
// *UnavailableError, whose Unknown reports whether the mutation may yet be stored.
func (c *Catalog) Commit(ctx context.Context, fn func(tx *Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.Err(); err != nil {
		return err
	}
	if err := c.condition.now(); err != nil {
		return err
	}
	failure := c.condition.next()
	call := &call{
		turn:      make(chan *overlay),
		evaluated: make(chan struct{}),
		answer:    make(chan answer, 1),
		left:      make(chan struct{}),
	}
	defer close(call.left)
	select {
	case c.calls <- call:
	case <-failure.begun:
		return failure.err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return c.Err()
	}
	evaluated := false
	for {
		select {
		case o := <-call.turn:
			evaluated = true
			call.evaluate(o, fn)
		case a := <-call.answer:
			if a.err != nil {
				return a.err
			}
			return c.replica.applied.wait(a.revision, ctx, c.ctx)
		case <-failure.begun:
			return failure.err.after(evaluated)
		case <-ctx.Done():
			return ctx.Err()
		case <-c.ctx.Done():
			return c.Err()
		}
	}
}

// evaluate runs the mutation and gives the turn back, whatever happens in it.
func (call *call) evaluate(o *overlay, fn func(tx *Tx) error) {
	call.withdrawn = true
	tx := &Tx{overlay: o}
	defer func() {
		tx.overlay = nil // so that a function that keeps the Tx fails at once
		call.evaluated <- struct{}{}
	}()
	err := fn(tx)
	if err == nil {
		err = tx.finish()
	}
	call.err, call.withdrawn = err, false
}
