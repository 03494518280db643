package catalog

import (
	"fmt"

	"trellis/internal/lattice"
)

// ClaimedError is returned by Commit when, after the mutation, two records would hold one claim.
type ClaimedError struct {
	Claim  lattice.Claim
	Holder lattice.Key // the record that holds it already
}

func (e *ClaimedError) Error() string {
	return fmt.Sprintf("catalog: %s %s %q in %s is held by %s", e.Claim.Kind, e.Claim.Of, e.Claim.Value, e.Claim.Scope, e.Holder)
}

// wentBackError says that etcd has lost revisions that the replica has seen: a backup was restored, or the keys were
// deleted. Nothing that this node knows is certain any more.
type wentBackError struct{ from, to int64 }

func (e *wentBackError) Error() string {
	return fmt.Sprintf("etcd went back from revision %d to %d; this node must start again", e.from, e.to)
}

// TooLargeError is returned by Commit when a mutation alone does not fit into one etcd transaction.
type TooLargeError struct {
	Operations, MaxOperations int
	Bytes, MaxBytes           int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("catalog: mutation of %d operations and %d bytes is more than the %d operations and %d bytes that fit into a transaction",
		e.Operations, e.Bytes, e.MaxOperations, e.MaxBytes)
}

// UnavailableError is returned by Commit when etcd cannot store changes. What is stored can be read meanwhile.
type UnavailableError struct {
	// Reason says why in a few words that are safe for any client.
	Reason string
	// Unknown: the mutation may have been stored, or may still be.
	Unknown bool
	// Err has the particulars, such as names of files.
	Err error
}

func (e *UnavailableError) Error() string {
	if e.Unknown {
		return "catalog: whether the change has been stored is not known: " + e.Err.Error()
	}
	return "catalog: the change cannot be stored: " + e.Err.Error()
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// after returns the error for a mutation; evaluated reports whether it has been evaluated before.
func (e *UnavailableError) after(evaluated bool) *UnavailableError {
	changed := *e
	changed.Unknown = evaluated
	return &changed
}

// NoRoomError says that a file system has too little room for a store.
type NoRoomError struct {
	Dir        string
	Need, Free int64  // in bytes or inodes
	Of         string // what is needed: "bytes" or "inodes"
}

func (e *NoRoomError) Error() string {
	if e.Of == inodes {
		return fmt.Sprintf("the file system of %s has %d free inodes, and the store needs %d", e.Dir, e.Free, e.Need)
	}
	return fmt.Sprintf("the file system of %s has %.1f MB free, and the store needs %.1f MB", e.Dir, float64(e.Free)/1e6, float64(e.Need)/1e6)
}

// StoreError says that the embedded store cannot be opened as it is.
type StoreError struct {
	Dir string // the directory of etcd's files
	Err error
}

func (e *StoreError) Error() string {
	return fmt.Sprintf("the embedded store in %s cannot be opened: %v. If the disk is sound, its files are damaged: "+
		"put a backup of %[1]s in its place, or move it away to begin with an empty store", e.Dir, e.Err)
}

func (e *StoreError) Unwrap() error { return e.Err }
