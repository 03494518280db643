package catalog

import (
	"cmp"
	"iter"

	"trellis/internal/lattice"
)

// View is what can be read: of the replica, or of a transaction.
type View interface {
	// Get returns the record of a key.
	Get(key lattice.Key) (lattice.Record, bool)
	// List yields the members of an index after a cursor, in order of creation, until yield returns false. A record
	// that is replaced keeps its place.
	List(index lattice.Index, after Cursor, yield func(rec lattice.Record, at Cursor) bool)
	// Count returns the number of members of an index. What it costs does not depend on that number.
	Count(index lattice.Index) int
	// Holder returns the key of the record that holds a claim.
	Holder(claim lattice.Claim) (lattice.Key, bool)
}

// Cursor is a place in an index: the record's create revision and key. It stays valid when the record it was taken
// from is gone. The zero Cursor is before all records.
type Cursor struct {
	Revision int64
	Key      string
}

// Compare orders cursors as the records are listed.
func (c Cursor) Compare(other Cursor) int {
	if n := cmp.Compare(c.Revision, other.Revision); n != 0 {
		return n
	}
	return cmp.Compare(c.Key, other.Key)
}

// Get returns the record of a key, as the type that is stored under keys of its kind.
func Get[R lattice.Record](v View, key lattice.Key) (R, bool) {
	rec, _ := v.Get(key)
	r, ok := rec.(R)
	return r, ok
}

// All returns the members of an index that are of type R, in order of creation.
func All[R lattice.Record](v View, index lattice.Index) iter.Seq[R] {
	return func(yield func(R) bool) {
		v.List(index, Cursor{}, func(rec lattice.Record, _ Cursor) bool {
			r, ok := rec.(R)
			return !ok || yield(r)
		})
	}
}
