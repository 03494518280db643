package catalog

import (
	"errors"
	"fmt"
	"testing"

	"trellis/internal/lattice"
)

func TestATreeOfAnySizeIsDeletedInOneMutation(t *testing.T) {
	followed := newFollower(t)
	c := start(t, Config{Apply: followed.apply})
	g, other := group("a"), group("b")
	put(t, c, g, other)
	for i := range 5 {
		commit(t, c, func(tx *Tx) {
			for j := range 100 {
				tx.Put(target(g, fmt.Sprintf("10.0.%d.%d", i, j)))
			}
			tx.Put(target(other, fmt.Sprintf("10.0.0.%d", i)))
		})
	}
	err := c.Commit(t.Context(), func(tx *Tx) error {
		tx.Delete(g.Key())
		for target := range All[*lattice.Target](tx, lattice.By(lattice.KindTarget, scope, "targetgroup", g.ID)) {
			tx.Delete(target.Key())
		}
		return nil
	})
	if _, ok := errors.AsType[*TooLargeError](err); !ok {
		t.Errorf("deleted one by one: %v", err)
	}
	commit(t, c, func(tx *Tx) {
		tx.Delete(g.Key())
		tx.DeleteTree(lattice.KindTarget, scope, g.ID)
		if n := tx.Count(lattice.By(lattice.KindTarget, scope, "targetgroup", g.ID)); n != 0 {
			t.Errorf("the mutation still sees %d", n)
		}
	})
	c.Read(func(v View) {
		if n := len(v.(*table).rows); n != 1+5 {
			t.Errorf("%d records remain, want 6", n)
		}
	})
	followed.compare(c)
}

func TestARecordPutBelowADeletedTreeStays(t *testing.T) {
	c := start(t, Config{})
	g := group("a")
	kept, gone := target(g, "10.0.0.1"), target(g, "10.0.0.2")
	put(t, c, g, kept, gone)
	commit(t, c, func(tx *Tx) {
		tx.DeleteTree(lattice.KindTarget, scope, g.ID)
		tx.Put(kept)
		tx.Put(target(g, "10.0.0.3"))
	})
	c.Read(func(v View) {
		if n := v.Count(lattice.By(lattice.KindTarget, scope, "targetgroup", g.ID)); n != 2 {
			t.Errorf("%d targets, want 2", n)
		}
		if _, ok := v.Get(gone.Key()); ok {
			t.Error("the deleted one is there")
		}
	})
}
