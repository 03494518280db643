package catalog

import (
	"errors"
	"testing"

	"trellis/internal/lattice"
)

func TestATreeOfAnySizeIsDeletedInOneMutation(t *testing.T) {
	followed := newFollower(t)
	c := start(t, Config{Apply: followed.apply})
	s, other := service(), service()
	put(t, c, s, other)
	for i := range 5 {
		commit(t, c, func(tx *Tx) {
			for j := range 100 {
				tx.Put(rule(s, 100*i+j))
			}
			tx.Put(rule(other, i))
		})
	}
	err := c.Commit(t.Context(), func(tx *Tx) error {
		tx.Delete(s.Key())
		for rule := range All[*lattice.Rule](tx, rulesOf(s)) {
			tx.Delete(rule.Key())
		}
		return nil
	})
	if _, ok := errors.AsType[*TooLargeError](err); !ok {
		t.Errorf("deleted one by one: %v", err)
	}
	commit(t, c, func(tx *Tx) {
		tx.Delete(s.Key())
		tx.DeleteTree(lattice.KindRule, scope, s.ID)
		if n := tx.Count(rulesOf(s)); n != 0 {
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
	s := service()
	kept, gone := rule(s, 1), rule(s, 2)
	put(t, c, s, kept, gone)
	commit(t, c, func(tx *Tx) {
		tx.DeleteTree(lattice.KindRule, scope, s.ID)
		tx.Put(kept)
		tx.Put(rule(s, 3))
	})
	c.Read(func(v View) {
		if n := v.Count(rulesOf(s)); n != 2 {
			t.Errorf("%d rules, want 2", n)
		}
		if _, ok := v.Get(gone.Key()); ok {
			t.Error("the deleted one is there")
		}
	})
}
