package control

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// unavailableRetrySeconds is how long a client should wait before it tries again to change something.
const unavailableRetrySeconds = 5

// commitError turns the catalog's error about a transaction into the client's: nothing can be stored, or another record
// holds a claim. Other errors pass unchanged.
func commitError(err error) error {
	unavailable, ok := errors.AsType[*catalog.UnavailableError](err)
	switch {
	case ok && unavailable.Unknown:
		return errors.Join(api.Unavailable(unavailableRetrySeconds, "Whether the change has been stored is not known: "+unavailable.Reason+". Traffic goes on."), err)
	case ok:
		return errors.Join(api.Unavailable(unavailableRetrySeconds, "The change cannot be stored: "+unavailable.Reason+". Traffic goes on."), err)
	}
	return claimConflict(err)
}

// claimConflict turns the catalog's refusal of a claim into the ConflictException that names who holds it.
// Other errors pass unchanged.
func claimConflict(err error) error {
	claimed, ok := errors.AsType[*catalog.ClaimedError](err)
	if !ok {
		return err
	}
	resourceType := resourceTypes[claimed.Claim.Kind]
	holder := claimed.Holder.Path[strings.LastIndexByte(claimed.Holder.Path, '/')+1:]
	what := claimed.Claim.Value[strings.LastIndexByte(claimed.Claim.Value, '/')+1:]
	noun := strings.ToLower(strings.ReplaceAll(resourceType, "_", " "))
	return api.Conflict(resourceType, holder, fmt.Sprintf("The %s %s is already in use by %s %s.", claimed.Claim.Of, what, noun, holder))
}

// associationExists refuses a second association of the same pair. The text is AWS's for a resource configuration and a
// service network, as seen in 2025; that of a service is taken to be the same.
func associationExists(first lattice.Resource) error {
	return api.Conflict(resourceTypes[first.Key().Kind], first.Meta().ID, "Association already exists")
}

// requireActive refuses an operation on a resource that is being created, changed or deleted, in AWS's words
// (github.com/aws/aws-application-networking-k8s/issues/781).
func requireActive(rec lattice.Resource, now time.Time) error {
	status := rec.Meta().Lifecycle.Status(now)
	if status == lattice.StatusActive {
		return nil
	}
	id := rec.Meta().ID
	return api.Conflict(resourceTypes[rec.Key().Kind], id,
		fmt.Sprintf("Invalid resource status for this operation, resource id %s, status: %s.", id, status))
}

// requireLasting refuses to attach something to a resource that is being deleted. A resource that is still being created is
// fine: the AWS Gateway API Controller takes a conflict for another subscription, and does not try again.
func requireLasting(rec lattice.Resource, now time.Time) error {
	if rec.Meta().Lifecycle.Deleting() {
		return requireActive(rec, now)
	}
	return nil
}

// requireDeletable refuses to delete a resource whose creation or update has not ended (API DeleteTargetGroup; A-044).
// It is no error to delete a resource again that is being deleted or could not be deleted.
func requireDeletable(rec lattice.Resource, now time.Time) error {
	if rec.Meta().Lifecycle.Deleting() || !strings.HasSuffix(rec.Meta().Lifecycle.Status(now), "_IN_PROGRESS") {
		return nil
	}
	return requireActive(rec, now)
}

// requireUpdatable refuses an update while a resource is being created, updated or deleted, or when its creation or
// deletion has failed. One whose last update failed can be updated again.
func requireUpdatable(rec lattice.Resource, now time.Time) error {
	if rec.Meta().Lifecycle.Phase == lattice.PhaseUpdate && !strings.HasSuffix(rec.Meta().Lifecycle.Status(now), "_IN_PROGRESS") {
		return nil
	}
	return requireActive(rec, now)
}
