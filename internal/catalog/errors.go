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
// deleted. Nothing that this node knows can be trusted any more.
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
