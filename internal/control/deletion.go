package control

import (
	"context"
	"errors"
	"time"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// dueInterval is how often Run looks for what other nodes have begun and not ended.
const dueInterval = 5 * time.Second

// remove deletes a resource, or begins its deletion when deletions take time here. A resource that is being
// deleted stays so. What has to be refused has been refused before. It returns the resource's status from now on.
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

// end removes a resource's record, and those that go with it.
func (c *Control) end(tx *catalog.Tx, rec lattice.Resource) {
	tx.Delete(rec.Key())
	meta := rec.Meta()
	switch rec := rec.(type) {
	case *lattice.Service:
		tx.DeleteTree(lattice.KindListener, meta.Scope, meta.ID)
		tx.DeleteTree(lattice.KindRule, meta.Scope, meta.ID)
	case *lattice.Listener:
		tx.DeleteTree(lattice.KindRule, meta.Scope, rec.ServiceID+"/"+meta.ID)
	}
}

// signalDue makes Run look at what is due. It is called once what is due is in the catalog, or Run could miss it.
func (c *Control) signalDue() {
	select {
	case c.due <- struct{}{}:
	default:
	}
}

// Run ends the deletions and drains that are due, until ctx ends. Every node may run it: whoever comes first ends
// them, and the others find nothing left to do.
func (c *Control) Run(ctx context.Context) error {
	for {
		next, err := c.endDue(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.Log.Error("ending deletions and drains", "error", err)
			next = dueInterval
		}
		select {
		case <-ctx.Done():
			return nil
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
	for _, key := range due {
		err := c.Catalog.Commit(ctx, func(tx *catalog.Tx) error {
			rec, ok := tx.Get(key)
			if !ok || endOf(rec).IsZero() || endOf(rec).After(now) {
				return nil
			}
			if resource, ok := rec.(lattice.Resource); ok {
				c.end(tx, resource)
			} else {
				tx.Delete(key)
			}
			return nil
		})
		failed = errors.Join(failed, err)
	}
	return next, failed
}

// endOf is when a record's deletion or drain ends, or zero when it has neither.
func endOf(rec lattice.Record) time.Time {
	switch rec := rec.(type) {
	case *lattice.Target:
		return rec.DrainingUntil
	case lattice.Resource:
		if lifecycle := rec.Meta().Lifecycle; lifecycle.Deleting() {
			return lifecycle.Until
		}
	}
	return time.Time{}
}
