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

// The codes of targets that were not registered or deregistered. UnsupportedTarget is AWS's (CLI
// register-targets), the others are ours.
const (
	unsupportedTarget   = "UnsupportedTarget"
	duplicateTarget     = "DuplicateTarget"
	tooManyTargets      = "TooManyTargets"
	targetNotRegistered = "TargetNotRegistered"
)

// RegisterTargets makes those targets members of a target group that can be. A target that is registered already stays as it
// is; one that is draining becomes a new member.
func (c *Control) RegisterTargets(ctx context.Context, caller api.Caller, in *shape.RegisterTargetsRequest) (*shape.RegisterTargetsResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.RegisterTargetsResponse, error) {
		m, err := c.membership(tx, caller, in.TargetGroupIdentifier)
		if err != nil {
			return nil, err
		}
		out := &shape.RegisterTargetsResponse{}
		out.Successful, out.Unsuccessful = m.each(in.Targets, m.add)
		m.put()
		return out, c.checkQuota(lattice.QuotaTargetsPerTargetGroup, m.registered, lattice.KindTargetGroup, m.group.ID)
	})
}

// DeregisterTargets takes targets out of a target group. They get no new requests from now on; those that may have
// requests under way are shown as DRAINING for a while.
func (c *Control) DeregisterTargets(ctx context.Context, caller api.Caller, in *shape.DeregisterTargetsRequest) (*shape.DeregisterTargetsResponse, error) {
	defer c.signalDue()
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeregisterTargetsResponse, error) {
		m, err := c.membership(tx, caller, in.TargetGroupIdentifier)
		if err != nil {
			return nil, err
		}
		out := &shape.DeregisterTargetsResponse{}
		out.Successful, out.Unsuccessful = m.each(in.Targets, m.remove)
		m.put()
		return out, nil
	})
}

// membership is a target group whose targets a transaction changes.
type membership struct {
	c     *Control
	tx    *catalog.Tx
	group *lattice.TargetGroup
	// record is a copy of the stored record. A removed member is nil in it.
	record  *lattice.Targets
	places  map[member]int // in record.Members
	changed bool
	// registered is the number of targets that are not draining.
	registered int
}

// member identifies a target in a target group.
type member struct {
	id   string
	port int32
}

func (c *Control) membership(tx *catalog.Tx, caller api.Caller, identifier *string) (*membership, error) {
	group, err := findTargetGroup(tx, caller, identifier)
	if err != nil {
		return nil, err
	}
	if err := requireActive(group, c.now()); err != nil {
		return nil, err
	}
	record := lattice.Targets{Scope: group.Scope, TargetGroupID: group.ID}
	if stored, ok := catalog.Get[*lattice.Targets](tx, record.Key()); ok {
		record = *stored
	}
	record.Members = slices.Clone(record.Members)
	m := &membership{c: c, tx: tx, group: group, record: &record, places: make(map[member]int, len(record.Members))}
	for i, target := range record.Members {
		m.places[member{target.ID, target.Port}] = i
		if !target.Draining() {
			m.registered++
		}
	}
	return m, nil
}

// each makes a change to each target of a request. It returns the targets that were changed and those that were not.
func (m *membership) each(targets []shape.Target, change func(in shape.Target, target member) *shape.TargetFailure) ([]shape.Target, []shape.TargetFailure) {
	successful, unsuccessful := []shape.Target{}, []shape.TargetFailure{}
	seen := map[member]bool{}
	for _, in := range targets {
		id, port := lattice.TargetIdentity(m.group, in)
		target := member{id, port}
		var failure *shape.TargetFailure
		if seen[target] {
			failure = targetFailure(in, duplicateTarget, "The target occurs more than once in the request")
		} else {
			failure = change(in, target)
		}
		seen[target] = true
		if failure != nil {
			unsuccessful = append(unsuccessful, *failure)
		} else {
			successful = append(successful, shownTarget(id, port))
		}
	}
	return successful, unsuccessful
}

func (m *membership) add(in shape.Target, target member) *shape.TargetFailure {
	if problem := lattice.TargetProblem(m.group, in, m.c.Addresses); problem != "" {
		return targetFailure(in, unsupportedTarget, problem)
	}
	if problem := m.c.inventory().TargetProblem(m.group, target.id); problem != "" {
		return targetFailure(in, unsupportedTarget, problem)
	}
	place, known := m.places[target]
	if known && !m.record.Members[place].Draining() {
		return nil
	}
	if m.registered > 0 && lattice.HoldsOneTarget(m.group.Type) {
		return targetFailure(in, tooManyTargets, fmt.Sprintf("A target group of type %s can have only one target", m.group.Type))
	}
	m.registered++
	if known {
		m.record.Members[place] = nil
	}
	m.changed = true
	m.places[target] = len(m.record.Members)
	m.record.Register(target.id, target.port, m.c.now())
	return nil
}

// remove removes a target at once if no traffic can reach it, and otherwise lets it drain (API TargetSummary). A target
// that is already draining stays as it is.
func (m *membership) remove(in shape.Target, target member) *shape.TargetFailure {
	place, ok := m.places[target]
	if !ok {
		return targetFailure(in, targetNotRegistered, "The target is not registered with the target group")
	}
	switch registered := m.record.Members[place]; {
	case registered.Draining():
	case m.c.DeregistrationDelay > 0 && m.isInUse(registered):
		draining := *registered
		draining.DrainingUntil = m.c.now().Add(m.c.DeregistrationDelay)
		m.record.Members[place] = &draining
		m.changed = true
	default:
		m.record.Members[place] = nil
		delete(m.places, target)
		m.changed = true
	}
	return nil
}

// put stores the changed record.
func (m *membership) put() {
	if m.changed {
		putTargets(m.tx, m.record, func(target *lattice.Target) bool { return target == nil })
	}
}

// putTargets stores a record without some of its targets, whose list it changes.
func putTargets(tx *catalog.Tx, record *lattice.Targets, gone func(*lattice.Target) bool) {
	if record.Members = slices.DeleteFunc(record.Members, gone); len(record.Members) > 0 {
		tx.Put(record)
	} else {
		tx.Delete(record.Key())
	}
}

// isInUse reports whether traffic can reach a target. The status alone does not say: functions and load balancers are
// UNAVAILABLE in target groups that are not used, too.
func (m *membership) isInUse(target *lattice.Target) bool {
	if m.tx.Count(usesOf(m.group)) == 0 {
		return false
	}
	status, _ := m.c.Health.Status(target)
	return status != shape.TargetStatusUnused
}

// ListTargets returns a page of a target group's targets and their health, all of them or those that the request
// names. One that is named without a port is listed with each of its ports, one that is not registered is
// not listed.
func (c *Control) ListTargets(_ context.Context, caller api.Caller, in *shape.ListTargetsRequest) (*shape.ListTargetsResponse, error) {
	return read(c, func(v catalog.View) (*shape.ListTargetsResponse, error) {
		group, err := findTargetGroup(v, caller, in.TargetGroupIdentifier)
		if err != nil {
			return nil, err
		}
		filter := newTargetFilter(group, in.Targets)
		q := newQuery("ListTargets", lattice.By(lattice.KindTarget, group.Scope, "targetgroup", group.ID), in.MaxResults, in.NextToken)
		q.Filter = filter.String()
		list := func(after catalog.Cursor, yield func(*lattice.Target, catalog.Cursor) bool) {
			for _, target := range targetsOf(v, group) {
				if target.Number > after.Revision && !yield(target, catalog.Cursor{Revision: target.Number}) {
					return
				}
			}
		}
		items, next, err := pageOf(q, list, func(target *lattice.Target) (shape.TargetSummary, bool) {
			if !filter.admits(target) {
				return shape.TargetSummary{}, false
			}
			return c.targetSummary(target), true
		})
		return &shape.ListTargetsResponse{Items: items, NextToken: next}, err
	})
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

// targetFilter is the targets that a ListTargets names, without ports where it names none. An empty filter admits all.
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

// String returns the same text for all filters that admit the same targets.
func (f targetFilter) String() string { return strings.Join(slices.Sorted(maps.Keys(f)), "\n") }

// targetsOf returns a target group's targets in order of registration, draining ones included.
func targetsOf(v catalog.View, group *lattice.TargetGroup) []*lattice.Target {
	record, ok := catalog.Get[*lattice.Targets](v, lattice.TargetsKey(group.Scope, group.ID))
	if !ok {
		return nil
	}
	return record.Members
}

// shownTarget shows a target in a response, without a port if it has none.
func shownTarget(id string, port int32) shape.Target {
	target := shape.Target{Id: &id}
	if port != 0 {
		target.Port = &port
	}
	return target
}

func targetFailure(in shape.Target, code, message string) *shape.TargetFailure {
	return &shape.TargetFailure{Id: in.Id, Port: in.Port, FailureCode: &code, FailureMessage: &message}
}
