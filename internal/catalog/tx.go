package catalog

import (
	"math"
	"time"

	"trellis/internal/lattice"
)

// uncommitted is the revision in the cursors of records that the batch creates: they come last, in order of their
// keys, as they will when they are stored.
const uncommitted = math.MaxInt64

// Tx is a mutation's view of the records: the replica, with what it and the mutations before it have written. It is valid
// until the mutation returns.
type Tx struct {
	*overlay
	err error // the first record that could not be encoded
}

var (
	_ View = (*Tx)(nil)
	_ View = (*table)(nil)
)

// Put creates or replaces a record. Deleting a record and putting one with its key, in one mutation or in two that
// are committed together, replaces it.
func (tx *Tx) Put(rec lattice.Record) { tx.write(rec, 0) }

// PutExpiring is Put of a record that is deleted some time after its retention has passed.
func (tx *Tx) PutExpiring(rec lattice.Expiring) { tx.write(rec, rec.Retention()) }

func (tx *Tx) write(rec lattice.Record, retention time.Duration) {
	value, err := encode(rec)
	if err != nil {
		if tx.err == nil {
			tx.err = err
		}
		return
	}
	tx.overlay.put(rec, value, retention)
}

// Delete deletes a record if it exists.
func (tx *Tx) Delete(key lattice.Key) { tx.overlay.delete(key) }

// DeleteTree deletes every record of the kind whose path is the given one or below it. That takes two operations of the
// transaction, however many records there are.
func (tx *Tx) DeleteTree(kind lattice.Kind, scope lattice.Scope, path string) {
	tx.overlay.deleteTree(lattice.Key{Kind: kind, Scope: scope, Path: path})
}

// finish checks what the mutation has done.
func (tx *Tx) finish() error {
	if tx.err != nil {
		return tx.err
	}
	return tx.overlay.claimed()
}
