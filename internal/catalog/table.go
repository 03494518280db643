package catalog

import (
	"github.com/google/btree"

	"trellis/internal/lattice"
)

// row is a record in its place. It is never changed.
type row struct {
	rec lattice.Record
	at  Cursor // at.Key is what the record's key is as a string
	// modified is the revision that wrote the record.
	modified int64
}

func (r *row) key() lattice.Key {
	key, _ := lattice.ParseKey(r.at.Key)
	return key
}

// table is a set of records with their indexes and claims. The replica's mutex guards its own.
type table struct {
	rows   map[string]*row     // by at.Key
	byKey  *btree.BTreeG[*row] // by at.Key, for DeleteTree
	lists  lists
	claims map[lattice.Claim]*row // the row that holds each claim
}

func newTable(size int) *table {
	return &table{
		rows:   make(map[string]*row, size),
		byKey:  btree.NewG(treeDegree, func(a, b *row) bool { return a.at.Key < b.at.Key }),
		lists:  newLists(),
		claims: make(map[lattice.Claim]*row),
	}
}

// row returns the row of a key, or nil.
func (t *table) row(key lattice.Key) *row {
	var name [256]byte // Longer keys need an allocation.
	return t.rows[string(key.Append(name[:0]))]
}

// add adds a row whose key the table does not have.
func (t *table) add(r *row) {
	t.rows[r.at.Key] = r
	t.byKey.ReplaceOrInsert(r)
	t.lists.add(r)
}

// remove removes a row.
func (t *table) remove(r *row) {
	delete(t.rows, r.at.Key)
	t.byKey.Delete(r)
	t.lists.remove(r)
}

// claim adds the claims of a row. It returns false if another record holds one of them: only a writer other than a catalog can
// cause that. The later record then has the claim.
func (t *table) claim(r *row) bool {
	free := true
	for _, claim := range r.rec.Claims() {
		if holder, held := t.claims[claim]; held && holder.at.Key != r.at.Key {
			free = false
		}
		t.claims[claim] = r
	}
	return free
}

// unclaim removes the claims of a row. A revision first releases all that it releases, then claims all that it claims.
func (t *table) unclaim(r *row) {
	for _, claim := range r.rec.Claims() {
		if holder := t.claims[claim]; holder != nil && holder.at.Key == r.at.Key {
			delete(t.claims, claim)
		}
	}
}

// Get is part of View.
func (t *table) Get(key lattice.Key) (lattice.Record, bool) {
	r := t.row(key)
	if r == nil {
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
	r := t.claims[claim]
	if r == nil {
		return lattice.Key{}, false
	}
	return r.key(), true
}

// tree yields the rows of a kind whose path is the given one or below it, in order of their keys.
func (t *table) tree(root lattice.Key, yield func(*row)) {
	if r := t.row(root); r != nil {
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
