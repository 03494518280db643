package control

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// dueInterval is how often Run looks for what other nodes have begun and not ended.
const dueInterval = 5 * time.Second

// endsAtOnce is how many records one transaction ends: a resource takes up to a dozen of the operations that fit in one.
const endsAtOnce = 10

// remove deletes a resource, or begins its deletion when deletions take time here. A resource that is already being deleted
// is left as it is. The caller has checked that the resource can be deleted. remove returns its status from now on.
func (c *Control) remove(tx *catalog.Tx, rec lattice.Resource) string {
	if lifecycle := rec.Meta().Lifecycle; lifecycle.Deleting() {
		return lifecycle.Status(c.now())
	}
	now := c.now()
	gone := rec.Clone()
	gone.Meta().Lifecycle = lattice.Lifecycle{Phase: lattice.PhaseDelete, Until: now.Add(c.LifecycleDelay)}
	if c.LifecycleDelay == 0 {
		c.end(tx, gone)
	} else {
		tx.Put(gone)
	}
	return gone.Meta().Lifecycle.Status(now)
}

// end removes a resource's record, and the records that are deleted with it.
func (c *Control) end(tx *catalog.Tx, rec lattice.Resource) {
	tx.Delete(rec.Key())
	meta := rec.Meta()
	switch rec := rec.(type) {
	case *lattice.Service:
		tx.DeleteTree(lattice.KindListener, meta.Scope, meta.ID)
		tx.DeleteTree(lattice.KindRule, meta.Scope, meta.ID)
		dropAttachments(tx, rec)
	case *lattice.ServiceNetwork:
		dropAttachments(tx, rec)
	case *lattice.ResourceConfiguration:
		tx.DeleteTree(lattice.KindDetachedEndpoint, meta.Scope, meta.ID)
		dropAttachments(tx, rec)
	case *lattice.Listener:
		tx.DeleteTree(lattice.KindRule, meta.Scope, rec.ServiceID+"/"+meta.ID)
	}
}

// signalDue makes Run look at what is due. Call it after the change is in the catalog, or Run could miss it.
func (c *Control) signalDue() {
	select {
	case c.due <- struct{}{}:
	default:
	}
}

// Wake makes Run look at what is due, and at domains to be verified, after records have been stored that no operation has
// made.
func (c *Control) Wake() {
	c.signalDue()
	c.verifier.signal()
}

// Run ends the deletions and drains that are due, looks for the records that verify domains, and gives addresses to what VPC
// endpoints lead to, until ctx ends. Every node may run it: the first one ends them, and the others find nothing left to do.
func (c *Control) Run(ctx context.Context) error {
	var others sync.WaitGroup
	others.Go(func() { c.verifyDomains(ctx) })
	others.Go(func() { c.numberEndpoints(ctx) })
	c.endAllDue(ctx)
	others.Wait()
	return nil
}

// endAllDue ends deletions and drains as they become due, until ctx ends.
func (c *Control) endAllDue(ctx context.Context) {
	for {
		next, err := c.endDue(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.As(err, new(*catalog.UnavailableError)): // The catalog has logged this error.
			next = dueInterval
		case err != nil:
			c.Log.Error("ending deletions and drains", "error", err)
			next = dueInterval
		}
		select {
		case <-ctx.Done():
			return
		case <-c.due:
		case <-time.After(next):
		}
	}
}

// endDue ends what is due, and returns how long it is until something else will be.
func (c *Control) endDue(ctx context.Context) (time.Duration, error) {
	now := c.Now()
	next := dueInterval
	var due []lattice.Key
	collect := func(rec lattice.Record) {
		if until := endOf(rec); until.After(now) {
			next = min(next, until.Sub(now))
		} else {
			due = append(due, rec.Key())
		}
	}
	c.Catalog.Read(func(v catalog.View) {
		for rec := range catalog.All[lattice.Record](v, lattice.Deleting) {
			collect(rec)
		}
		for rec := range catalog.All[lattice.Record](v, lattice.DrainingTargets) {
			collect(rec)
		}
	})
	var failed error
	for keys := range slices.Chunk(due, endsAtOnce) {
		failed = errors.Join(failed, c.Catalog.Commit(ctx, func(tx *catalog.Tx) error {
			for _, key := range keys {
				c.endRecord(tx, key, now)
			}
			return nil
		}))
	}
	return next, failed
}

// endRecord ends what was due at a time, unless another node was faster or the record has been replaced.
func (c *Control) endRecord(tx *catalog.Tx, key lattice.Key, now time.Time) {
	rec, ok := tx.Get(key)
	if !ok || endOf(rec).IsZero() || endOf(rec).After(now) {
		return
	}
	switch rec := rec.(type) {
	case *lattice.Targets:
		rest := *rec
		rest.Members = slices.Clone(rec.Members)
		putTargets(tx, &rest, func(target *lattice.Target) bool { return target.Draining() && !target.DrainingUntil.After(now) })
	case lattice.Resource:
		c.end(tx, rec)
	}
}

// endOf is when a record's deletion, or the first drain of its targets, ends; zero if it has neither.
func endOf(rec lattice.Record) time.Time {
	switch rec := rec.(type) {
	case *lattice.Targets:
		var first time.Time
		for _, target := range rec.Members {
			if target.Draining() && (first.IsZero() || target.DrainingUntil.Before(first)) {
				first = target.DrainingUntil
			}
		}
		return first
	case lattice.Resource:
		if lifecycle := rec.Meta().Lifecycle; lifecycle.Deleting() {
			return lifecycle.Until
		}
	}
	return time.Time{}
}
