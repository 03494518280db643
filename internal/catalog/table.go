package catalog

import (
	"github.com/google/btree"

	"trellis/internal/lattice"
)

// row is a record in its place. It is never changed.
type row struct {
	rec lattice.Record
	key lattice.Key
	at  Cursor // at.Key is key.String()
	// modified is the revision that wrote the record.
	modified int64
}

// table is a set of records with their indexes and claims. The replica's mutex guards its own.
type table struct {
	rows   map[lattice.Key]*row
	byKey  *btree.BTreeG[*row] // by at.Key, for DeleteTree
	lists  lists
	claims map[lattice.Claim]lattice.Key
}

func newTable(size int) *table {
	return &table{
		rows:   make(map[lattice.Key]*row, size),
		byKey:  btree.NewG(treeDegree, func(a, b *row) bool { return a.at.Key < b.at.Key }),
		lists:  newLists(),
		claims: make(map[lattice.Claim]lattice.Key, size),
	}
}

// add takes in a row whose key the table has not.
func (t *table) add(r *row) {
	t.rows[r.key] = r
	t.byKey.ReplaceOrInsert(r)
	t.lists.add(r)
}

// remove takes out a row.
func (t *table) remove(r *row) {
	delete(t.rows, r.key)
	t.byKey.Delete(r)
	t.lists.remove(r)
}

// claim enters the claims of a row. It returns false if one is held by another record, which only a writer other
// than a catalog can bring about; the later one has it then.
func (t *table) claim(r *row) bool {
	free := true
	for _, claim := range r.rec.Claims() {
		if holder, held := t.claims[claim]; held && holder != r.key {
			free = false
		}
		t.claims[claim] = r.key
	}
	return free
}

// unclaim removes the claims of a row. All that a revision releases is removed before what it claims is entered.
func (t *table) unclaim(r *row) {
	for _, claim := range r.rec.Claims() {
		if t.claims[claim] == r.key {
			delete(t.claims, claim)
		}
	}
}

// Get is part of View.
func (t *table) Get(key lattice.Key) (lattice.Record, bool) {
	r, ok := t.rows[key]
	if !ok {
		return nil, false
	}
	return r.rec, true
}

// List is part of View.
func (t *table) List(index lattice.Index, after Cursor, yield func(lattice.Record, Cursor) bool) {
	t.lists.ascend(index, after, func(r *row) bool { return yield(r.rec, r.at) })
}

// Count is part of View.
func (t *table) Count(index lattice.Index) int { return t.lists.count(index) }

// Holder is part of View.
func (t *table) Holder(claim lattice.Claim) (lattice.Key, bool) {
	key, ok := t.claims[claim]
	return key, ok
}

// tree yields the rows of a kind whose path is the given one or below it, in order of their keys.
func (t *table) tree(root lattice.Key, yield func(*row)) {
	if r, ok := t.rows[root]; ok {
		yield(r)
	}
	from, to := below(root.String())
	t.byKey.AscendRange(&row{at: Cursor{Key: from}}, &row{at: Cursor{Key: to}}, func(r *row) bool {
		yield(r)
		return true
	})
}

// below returns the half-open range of the keys below a key.
func below(key string) (from, to string) {
	return key + "/", key + "0" // '0' follows '/'.
}
