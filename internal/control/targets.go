package control

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// The codes of targets that were not registered or deregistered. UnsupportedTarget is AWS's (CLI ex
// register-targets), the others are ours.
const (
	unsupportedTarget   = "UnsupportedTarget"
	duplicateTarget     = "DuplicateTarget"
	tooManyTargets      = "TooManyTargets"
	targetNotRegistered = "TargetNotRegistered"
)

// RegisterTargets makes targets members of a target group, those that can be. A target that is registered already
// stays as it is; one that is draining becomes a new member.
func (c *Control) RegisterTargets(ctx context.Context, caller api.Caller, in *shape.RegisterTargetsRequest) (*shape.RegisterTargetsResponse, error) {
	var out *shape.RegisterTargetsResponse
	err := c.commit(ctx, func(tx *catalog.Tx) error {
		group, err := c.findActiveTargetGroup(tx, caller, in.TargetGroupIdentifier)
		if err != nil {
			return err
		}
		r := registration{c: c, tx: tx, group: group, members: members(tx, group), seen: map[lattice.Key]bool{}}
		out = &shape.RegisterTargetsResponse{Successful: []shape.Target{}, Unsuccessful: []shape.TargetFailure{}}
		for _, target := range in.Targets {
			if failure := r.add(target); failure != nil {
				out.Unsuccessful = append(out.Unsuccessful, *failure)
			} else {
				out.Successful = append(out.Successful, shownTarget(lattice.TargetIdentity(group, target)))
			}
		}
		return c.checkQuota("targetsPerTargetGroup", r.members, lattice.KindTargetGroup, group.ID)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// registration is one RegisterTargets under way.
type registration struct {
	c     *Control
	tx    *catalog.Tx
	group *lattice.TargetGroup
	// members is how many targets the group has, without those that are draining.
	members int
	// seen are the targets of this call.
	seen map[lattice.Key]bool
}

func (r *registration) add(in shape.Target) *shape.TargetFailure {
	if problem := lattice.TargetProblem(r.group, in); problem != "" {
		return targetFailure(in.Id, in.Port, unsupportedTarget, problem)
	}
	id, port := lattice.TargetIdentity(r.group, in)
	target := &lattice.Target{
		Scope:         r.group.Scope,
		TargetGroupID: r.group.ID,
		ID:            id,
		Port:          port,
		RegisteredAt:  r.c.now(),
	}
	if r.seen[target.Key()] {
		return targetFailure(in.Id, in.Port, duplicateTarget, "The target occurs more than once in the request")
	}
	r.seen[target.Key()] = true
	if old, ok := catalog.Get[*lattice.Target](r.tx, target.Key()); ok && !old.Draining() {
		return nil
	}
	if r.members > 0 && lattice.HoldsOneTarget(r.group.Type) {
		return targetFailure(in.Id, in.Port, tooManyTargets, fmt.Sprintf("A target group of type %s can have only one target", r.group.Type))
	}
	r.members++
	r.tx.Put(target)
	return nil
}

// DeregisterTargets takes targets out of a target group. They get no new requests from now on; those that may have
// requests under way are shown as DRAINING for a while.
func (c *Control) DeregisterTargets(ctx context.Context, caller api.Caller, in *shape.DeregisterTargetsRequest) (*shape.DeregisterTargetsResponse, error) {
	var out *shape.DeregisterTargetsResponse
	err := c.commit(ctx, func(tx *catalog.Tx) error {
		group, err := c.findActiveTargetGroup(tx, caller, in.TargetGroupIdentifier)
		if err != nil {
			return err
		}
		out = &shape.DeregisterTargetsResponse{Successful: []shape.Target{}, Unsuccessful: []shape.TargetFailure{}}
		seen := map[lattice.Key]bool{}
		for _, target := range in.Targets {
			id, port := lattice.TargetIdentity(group, target)
			key := lattice.TargetKey(group.Scope, group.ID, id, port)
			member, ok := catalog.Get[*lattice.Target](tx, key)
			switch {
			case seen[key]:
				out.Unsuccessful = append(out.Unsuccessful, *targetFailure(target.Id, target.Port, duplicateTarget, "The target occurs more than once in the request"))
				continue
			case !ok:
				out.Unsuccessful = append(out.Unsuccessful, *targetFailure(target.Id, target.Port, targetNotRegistered, "The target is not registered with the target group"))
				continue
			}
			seen[key] = true
			c.deregister(tx, group, member)
			out.Successful = append(out.Successful, shownTarget(id, port))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.signalDue()
	return out, nil
}

// deregister removes a target at once if no traffic can reach it, and lets it drain otherwise (facts 1.6). One that
// is draining goes on as it is.
func (c *Control) deregister(tx *catalog.Tx, group *lattice.TargetGroup, target *lattice.Target) {
	if target.Draining() {
		return
	}
	inUse := false
	if tx.Count(usesOf(group)) > 0 {
		status, _ := c.Health.Status(target)
		inUse = status != shape.TargetStatusUnused
	}
	if !inUse || c.DeregistrationDelay == 0 {
		tx.Delete(target.Key())
		return
	}
	draining := *target
	draining.DrainingUntil = c.now().Add(c.DeregistrationDelay)
	tx.Put(&draining)
}

// ListTargets returns a page of a target group's targets and their health, all of them or those that the request
// names. One that is named without a port is listed with each of its ports, one that is not registered is
// not listed.
func (c *Control) ListTargets(_ context.Context, caller api.Caller, in *shape.ListTargetsRequest) (*shape.ListTargetsResponse, error) {
	out := &shape.ListTargetsResponse{}
	err := c.read(func(v catalog.View) error {
		group, err := findTargetGroup(v, caller, in.TargetGroupIdentifier)
		if err != nil {
			return err
		}
		filter := newTargetFilter(group, in.Targets)
		q := query{
			Operation: "ListTargets", Index: targetsOf(group), Filter: filter.String(),
			MaxResults: in.MaxResults, NextToken: in.NextToken,
		}
		out.Items, out.NextToken, err = page(v, q, func(target *lattice.Target) (shape.TargetSummary, bool) {
			if !filter.admits(target) {
				return shape.TargetSummary{}, false
			}
			return c.targetSummary(target), true
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// targetSummary shows a target. The reason code of a draining one is ours: AWS says that all states but
// HEALTHY have one.
func (c *Control) targetSummary(target *lattice.Target) shape.TargetSummary {
	status, reason := shape.TargetStatusDraining, "DeregistrationInProgress"
	if !target.Draining() {
		status, reason = c.Health.Status(target)
	}
	shown := shownTarget(target.ID, target.Port)
	return shape.TargetSummary{Id: shown.Id, Port: shown.Port, Status: status, ReasonCode: present(reason)}
}

// targetFilter is the targets that a ListTargets names, without ports where it names none. Empty, it admits all.
type targetFilter map[string]bool

func newTargetFilter(group *lattice.TargetGroup, targets []shape.Target) targetFilter {
	f := targetFilter{}
	for _, target := range targets {
		id, port := lattice.TargetIdentity(group, target)
		if target.Port == nil {
			port = 0
		}
		f[filterEntry(id, port)] = true
	}
	return f
}

func filterEntry(id string, port int32) string { return fmt.Sprintf("%s %d", id, port) }

func (f targetFilter) admits(target *lattice.Target) bool {
	return len(f) == 0 || f[filterEntry(target.ID, target.Port)] || f[filterEntry(target.ID, 0)]
}

// String is the same for all filters that admit the same.
func (f targetFilter) String() string { return strings.Join(slices.Sorted(maps.Keys(f)), "\n") }

func (c *Control) findActiveTargetGroup(v catalog.View, caller api.Caller, identifier *string) (*lattice.TargetGroup, error) {
	group, err := findTargetGroup(v, caller, identifier)
	if err != nil {
		return nil, err
	}
	return group, requireActive(group, c.now())
}

// targetsOf is the index of a target group's targets, draining ones included.
func targetsOf(group *lattice.TargetGroup) lattice.Index {
	return lattice.By(lattice.KindTarget, group.Scope, "targetgroup", group.ID)
}

// members counts the targets of a group that are not draining.
func members(v catalog.View, group *lattice.TargetGroup) int {
	n := 0
	for target := range catalog.All[*lattice.Target](v, targetsOf(group)) {
		if !target.Draining() {
			n++
		}
	}
	return n
}

// shownTarget shows a target in an answer, without a port if it has none.
func shownTarget(id string, port int32) shape.Target {
	target := shape.Target{Id: &id}
	if port != 0 {
		target.Port = &port
	}
	return target
}

func targetFailure(id *string, port *int32, code, message string) *shape.TargetFailure {
	return &shape.TargetFailure{Id: id, Port: port, FailureCode: &code, FailureMessage: &message}
}
