package catalog

import (
	"github.com/google/btree"

	"trellis/internal/lattice"
)

// treeDegree was the best of 8 to 64 for large indexes. Small ones allocate only what they hold.
const treeDegree = 32

// lists are the indexes: rows by the indexes that the records name, each in order of creation.
type lists struct {
	trees map[lattice.Index]*btree.BTreeG[*row]
	free  *btree.FreeListG[*row] // shared, since most trees are small
}

func newLists() lists {
	return lists{
		trees: make(map[lattice.Index]*btree.BTreeG[*row]),
		free:  btree.NewFreeListG[*row](btree.DefaultFreeListSize),
	}
}

func (l *lists) add(r *row) {
	for _, index := range r.rec.Indexes() {
		tree := l.trees[index]
		if tree == nil {
			tree = btree.NewWithFreeListG(treeDegree, func(a, b *row) bool { return a.at.Compare(b.at) < 0 }, l.free)
			l.trees[index] = tree
		}
		tree.ReplaceOrInsert(r)
	}
}

func (l *lists) remove(r *row) {
	for _, index := range r.rec.Indexes() {
		tree := l.trees[index]
		if tree == nil {
			continue // The record names an index twice.
		}
		tree.Delete(r)
		if tree.Len() == 0 {
			delete(l.trees, index)
		}
	}
}

func (l *lists) count(index lattice.Index) int {
	tree := l.trees[index]
	if tree == nil {
		return 0
	}
	return tree.Len()
}

// ascend yields the rows of an index after a cursor until yield returns false.
func (l *lists) ascend(index lattice.Index, after Cursor, yield func(*row) bool) {
	tree := l.trees[index]
	if tree == nil {
		return
	}
	tree.AscendGreaterOrEqual(&row{at: after}, func(r *row) bool {
		return r.at == after || yield(r)
	})
}
