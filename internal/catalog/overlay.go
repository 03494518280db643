package catalog

import (
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
)

// limits are what fits into one etcd transaction.
type limits struct{ operations, bytes int }

// overlay is what the mutations of a batch do to the replica's table, which it covers but never changes: the
// records that are put, and the rows of the table that these and the deletions mask. The mutation under way can be rolled back
// without the mutations before it.
type overlay struct {
	base    *table
	entries map[lattice.Key]*entry
	order   []lattice.Key // the keys of entries, in order of their first write
	trees   []*tree       // the ranges deleted
	lists   lists         // the rows of entries
	masked  map[lattice.Index]int
	claims  map[lattice.Claim][]lattice.Key // the holders among the rows of entries

	operations, bytes int // the size of the transaction so far

	// undo holds the entries as they were before the mutation under way changed them. The lengths are those of order and trees
	// then.
	undo                    []undo
	orderBefore, treeBefore int
}

// entry is what a batch does to one key. It is never changed.
type entry struct {
	base      *row // the masked row of the table, if there is one
	row       *row // the record that is put; nil if the key is deleted
	value     []byte
	retention time.Duration
	tree      *tree // the range whose deletion deletes this key
}

// tree is the range of the keys below a root, deleted by one operation.
type tree struct {
	from, to string
	keys     []lattice.Key
	live     int // entries that rely on the range
}

type undo struct {
	key    lattice.Key
	before *entry
}

func newOverlay(base *table) *overlay {
	return &overlay{
		base:    base,
		entries: make(map[lattice.Key]*entry),
		lists:   newLists(),
		masked:  make(map[lattice.Index]int),
		claims:  make(map[lattice.Claim][]lattice.Key),
	}
}

// write makes an entry, and remembers the one that it replaces.
func (o *overlay) write(key lattice.Key, e *entry) {
	before, written := o.entries[key]
	if !written {
		o.order = append(o.order, key)
	}
	o.undo = append(o.undo, undo{key, before})
	o.set(key, before, e)
}

// set replaces an entry, nil for none, by another.
func (o *overlay) set(key lattice.Key, before, after *entry) {
	if before != nil {
		o.cost(key, before, -1)
		if before.row != nil {
			o.lists.remove(before.row)
			for _, claim := range before.row.rec.Claims() {
				o.release(claim, key)
			}
		}
		if before.base != nil {
			o.mask(before.base, -1)
		}
		delete(o.entries, key)
	}
	if after != nil {
		o.entries[key] = after
		o.cost(key, after, +1)
		if after.row != nil {
			o.lists.add(after.row)
			for _, claim := range after.row.rec.Claims() {
				o.claims[claim] = append(o.claims[claim], key)
			}
		}
		if after.base != nil {
			o.mask(after.base, +1)
		}
	}
}

// cost counts, or with -1 discounts, what an entry adds to the transaction.
func (o *overlay) cost(key lattice.Key, e *entry, sign int) {
	operations := 0
	switch {
	case e.tree != nil:
		if e.tree.live == 0 || e.tree.live == 1 && sign < 0 {
			operations = 1 // for the range itself
		}
		e.tree.live += sign
	case e.row != nil || e.base != nil:
		operations = 1
		o.bytes += sign * (len(prefix) + len(key.String()) + len(e.value))
	}
	o.operations += sign * operations
}

func (o *overlay) mask(r *row, sign int) {
	for _, index := range r.rec.Indexes() {
		if o.masked[index] += sign; o.masked[index] == 0 {
			delete(o.masked, index)
		}
	}
}

func (o *overlay) release(claim lattice.Claim, key lattice.Key) {
	holders := o.claims[claim]
	for i, holder := range holders {
		if holder == key {
			holders = append(holders[:i:i], holders[i+1:]...)
			break
		}
	}
	if len(holders) == 0 {
		delete(o.claims, claim)
	} else {
		o.claims[claim] = holders
	}
}

// keep makes what the mutation under way did part of the batch.
func (o *overlay) keep() {
	o.undo = o.undo[:0]
	o.orderBefore, o.treeBefore = len(o.order), len(o.trees)
}

// rollback forgets what the mutation under way did.
func (o *overlay) rollback() {
	for len(o.undo) > 0 {
		last := o.undo[len(o.undo)-1]
		o.undo = o.undo[:len(o.undo)-1]
		o.set(last.key, o.entries[last.key], last.before)
	}
	o.order = o.order[:o.orderBefore]
	o.trees = o.trees[:o.treeBefore]
}

// put creates or replaces a record.
func (o *overlay) put(rec lattice.Record, value []byte, retention time.Duration) {
	key := rec.Key()
	name := key.String()
	for _, t := range o.trees {
		if strings.HasPrefix(name, t.from) {
			o.split(t) // etcd refuses a put within a deleted range
		}
	}
	r := &row{rec: rec, at: Cursor{Revision: uncommitted, Key: name}}
	e := &entry{base: o.base.row(key), row: r, value: value, retention: retention}
	if e.base != nil {
		r.at = e.base.at
	}
	o.write(key, e)
}

// delete deletes a record if there is one.
func (o *overlay) delete(key lattice.Key) {
	e, written := o.entries[key]
	switch {
	case written && e.row != nil:
		o.write(key, &entry{base: e.base})
	case !written:
		if base := o.base.row(key); base != nil {
			o.write(key, &entry{base: base})
		}
	}
}

// deleteTree deletes the record of a key and all records below it, these with one operation.
func (o *overlay) deleteTree(root lattice.Key) {
	t := &tree{}
	t.from, t.to = below(root.String())
	drop := func(key lattice.Key, base *row) {
		if key == root {
			o.delete(root)
			return
		}
		e := &entry{base: base}
		if base != nil {
			e.tree = t
			t.keys = append(t.keys, key)
		}
		o.write(key, e)
	}
	o.base.tree(root, func(r *row) {
		key := r.key()
		if e, written := o.entries[key]; !written || e.row != nil {
			drop(key, r)
		}
	})
	for _, key := range o.order {
		if e := o.entries[key]; e.row != nil && e.base == nil && key.Kind == root.Kind && key.Scope == root.Scope &&
			(key.Path == root.Path || strings.HasPrefix(key.Path, root.Path+"/")) {
			drop(key, nil)
		}
	}
	o.trees = append(o.trees, t)
}

// split replaces the deletion of a range by a deletion of each key.
func (o *overlay) split(t *tree) {
	for _, key := range t.keys {
		if e := o.entries[key]; e.tree == t {
			o.write(key, &entry{base: e.base})
		}
	}
}

// claimed returns an error if a record of the mutation under way holds a claim together with another record.
func (o *overlay) claimed() error {
	for _, u := range o.undo {
		e := o.entries[u.key]
		if e == nil || e.row == nil {
			continue
		}
		for _, claim := range e.row.rec.Claims() {
			if holder, ok := o.holder(claim, u.key); ok {
				return &ClaimedError{Claim: claim, Holder: holder}
			}
		}
	}
	return nil
}

// holder returns the holder of a claim other than a given key.
func (o *overlay) holder(claim lattice.Claim, besides lattice.Key) (lattice.Key, bool) {
	if key, ok := o.base.Holder(claim); ok && key != besides && o.entries[key] == nil {
		return key, true
	}
	for _, key := range o.claims[claim] {
		if key != besides {
			return key, true
		}
	}
	return lattice.Key{}, false
}

// Get is part of View.
func (o *overlay) Get(key lattice.Key) (lattice.Record, bool) {
	if e, written := o.entries[key]; written {
		if e.row == nil {
			return nil, false
		}
		return e.row.rec, true
	}
	return o.base.Get(key)
}

// Holder is part of View. While two records of the mutation hold a claim, it returns one of them.
func (o *overlay) Holder(claim lattice.Claim) (lattice.Key, bool) {
	return o.holder(claim, lattice.Key{})
}

// Count is part of View.
func (o *overlay) Count(index lattice.Index) int {
	return o.base.lists.count(index) - o.masked[index] + o.lists.count(index)
}

// List is part of View. What yield writes meanwhile may or may not be listed.
func (o *overlay) List(index lattice.Index, after Cursor, yield func(lattice.Record, Cursor) bool) {
	var puts []*row
	o.lists.ascend(index, after, func(r *row) bool {
		puts = append(puts, r)
		return true
	})
	more := true
	// flush yields the puts before a place in the list.
	flush := func(before Cursor) {
		for more && len(puts) > 0 && puts[0].at.Compare(before) < 0 {
			r := puts[0]
			puts = puts[1:]
			if e := o.entries[r.key()]; e != nil && e.row == r {
				more = yield(r.rec, r.at)
			}
		}
	}
	o.base.lists.ascend(index, after, func(r *row) bool {
		flush(r.at)
		if more && o.entries[r.key()] == nil {
			more = yield(r.rec, r.at)
		}
		return more
	})
	flush(Cursor{Revision: uncommitted, Key: "\xff"})
}

// steps returns what the overlay does to a table, except for the revision that stores it. The records are decoded from what is
// stored: otherwise an empty list that a client sent would be an empty list here and nil on other nodes.
func (o *overlay) steps() ([]step, error) {
	steps := make([]step, 0, len(o.order))
	var decoder lattice.Decoder
	for _, key := range o.order {
		e := o.entries[key]
		switch {
		case e.row != nil:
			rec, err := decoder.Decode(key, e.value)
			if err != nil {
				return nil, err
			}
			steps = append(steps, step{key: key, row: &row{rec: rec, at: e.row.at}})
		case e.base != nil:
			steps = append(steps, step{key: key})
		}
	}
	return steps, nil
}

// retention returns how long the records that are to expire must be kept at least: the longest of theirs, since a
// transaction has one lease. It is 0 if there are none.
func (o *overlay) retention() time.Duration {
	longest := time.Duration(0)
	for _, e := range o.entries {
		if e.row != nil {
			longest = max(longest, e.retention)
		}
	}
	return longest
}

// ops returns the operations that store the overlay.
func (o *overlay) ops(lease clientv3.LeaseID) []clientv3.Op {
	ops := make([]clientv3.Op, 0, o.operations)
	deleted := make(map[*tree]bool)
	for _, key := range o.order {
		e := o.entries[key]
		switch name := prefix + key.String(); {
		case e.row != nil && e.retention > 0:
			ops = append(ops, clientv3.OpPut(name, string(e.value), clientv3.WithLease(lease)))
		case e.row != nil:
			ops = append(ops, clientv3.OpPut(name, string(e.value)))
		case e.tree != nil:
			if !deleted[e.tree] {
				deleted[e.tree] = true
				ops = append(ops, clientv3.OpDelete(prefix+e.tree.from, clientv3.WithRange(prefix+e.tree.to)))
			}
		case e.base != nil:
			ops = append(ops, clientv3.OpDelete(name))
		}
	}
	return ops
}
