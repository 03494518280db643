package lattice

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Targets is the members of a target group, draining ones included. They are one record, which exists while there are
// any: with a record for each, a start with 100,000 target groups and 500,000 targets spent most of its time on keys.
type Targets struct {
	Scope         Scope  `json:"scope"`
	TargetGroupID string `json:"targetGroupId"`
	// Registrations counts the targets that were ever registered. It starts again after the record was deleted.
	Registrations int64 `json:"registrations"`
	// Members are in order of registration.
	Members []*Target `json:"members"`
}

// Target is a member of a target group. A target is identified by its id and port together.
type Target struct {
	Scope         Scope  `json:"-"` // copied from the record, like the next field
	TargetGroupID string `json:"-"`
	// Number says which of the target group's registrations this one was.
	Number int64 `json:"number"`
	// ID is an address, an instance id or an ARN, according to the type of the target group.
	ID string `json:"id"`
	// Port is 0 for a Lambda function.
	Port         int32     `json:"port,omitempty"`
	RegisteredAt time.Time `json:"registeredAt"`
	// DrainingUntil is set once the target is deregistered: it gets no new requests, and is removed at that time.
	DrainingUntil time.Time `json:"drainingUntil,omitzero"`
}

// TargetsKey returns the key of the record that holds a target group's targets.
func TargetsKey(scope Scope, targetGroupID string) Key { return Key{KindTarget, scope, targetGroupID} }

func (t *Targets) Key() Key { return TargetsKey(t.Scope, t.TargetGroupID) }

// Indexes returns DrainingTargets if a target is draining.
func (t *Targets) Indexes() []Index {
	if slices.ContainsFunc(t.Members, (*Target).Draining) {
		return []Index{DrainingTargets}
	}
	return nil
}

// Register appends a target to a record that nobody else has yet, as its latest registration.
func (t *Targets) Register(id string, port int32, now time.Time) {
	t.Registrations++
	t.Members = append(t.Members, &Target{
		Scope: t.Scope, TargetGroupID: t.TargetGroupID, Number: t.Registrations, ID: id, Port: port, RegisteredAt: now,
	})
}

// Claims returns nothing: the key itself is unique for each target group.
func (t *Targets) Claims() []Claim { return nil }

// DrainingTargets is the index of the records, in all scopes, that have a draining target.
var DrainingTargets = Index{Kind: KindTarget, By: "draining"}

// Key identifies a target. It is below the key of the record. The id is escaped, since an ARN contains slashes.
func (t *Target) Key() Key {
	return Key{KindTarget, t.Scope, t.TargetGroupID + "/" + url.PathEscape(t.ID) + ":" + strconv.Itoa(int(t.Port))}
}

// Compare orders targets by id and port, which identify a target within its target group.
func (t *Target) Compare(other *Target) int {
	return cmp.Or(strings.Compare(t.ID, other.ID), cmp.Compare(t.Port, other.Port))
}

// Draining reports whether the target has been deregistered.
func (t *Target) Draining() bool { return !t.DrainingUntil.IsZero() }
