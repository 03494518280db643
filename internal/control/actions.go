package control

import (
	"fmt"
	"slices"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// defaultWeight is the weight of the only target group of an action (API WeightedTargetGroup).
const defaultWeight = 100

// setAction gives a rule of a listener its action, once everything that concerns the listener and the target groups
// has been checked. field is the member of the input that holds the action. Identifiers stay as the client sent
// them, ids or ARNs, since clients compare what they get with what they sent.
func (c *Control) setAction(v catalog.View, caller api.Caller, l *lattice.Listener, r *lattice.Rule, action *shape.RuleAction, field string) error {
	if action.FixedResponse != nil {
		r.Action, r.TargetGroupIDs = action, nil
		return checkFixedResponse(l, action.FixedResponse, field)
	}
	groups := slices.Clone(action.Forward.TargetGroups)
	ids := make([]string, 0, len(groups))
	for i := range groups {
		at := fmt.Sprintf("%s.forward.targetGroups[%d]", field, i)
		if groups[i].Weight == nil {
			if len(groups) > 1 { // UG listeners
				return api.Invalid(at+".weight", fmt.Sprintf("A value at '%s.weight' is required, since the action names more than one target group.", at))
			}
			groups[i].Weight = ptr[int32](defaultWeight)
		}
		g, err := c.forwardTarget(v, caller, l, groups[i].TargetGroupIdentifier)
		if err != nil {
			return err
		}
		if slices.Contains(ids, g.ID) {
			return api.Invalid(at+".targetGroupIdentifier", fmt.Sprintf("The target group at '%s.targetGroupIdentifier' is named twice. Give it the sum of the weights.", at))
		}
		ids = append(ids, g.ID)
	}
	r.Action, r.TargetGroupIDs = &shape.RuleAction{Forward: &shape.ForwardAction{TargetGroups: groups}}, ids
	return c.checkTargetGroupsOfService(v, r)
}

func checkFixedResponse(l *lattice.Listener, response *shape.FixedResponseAction, field string) error {
	if lattice.PassesThrough(l.Protocol) {
		return api.Rejected(fmt.Sprintf("A fixed response is not supported by a %s listener. Its action must be forward.", l.Protocol))
	}
	if status := *response.StatusCode; status != 404 && status != 500 { // API, FixedResponseAction
		at := field + ".fixedResponse.statusCode"
		return api.Invalid(at, fmt.Sprintf("Value '%d' at '%s' is not supported. The status code of a fixed response must be 404 or 500.", status, at))
	}
	return nil
}

// forwardTarget returns a target group that an action names, if the listener can forward to it.
func (c *Control) forwardTarget(v catalog.View, caller api.Caller, l *lattice.Listener, identifier *string) (*lattice.TargetGroup, error) {
	g, err := find[*lattice.TargetGroup](v, caller, lattice.KindTargetGroup, identifier)
	if err != nil {
		return nil, err
	}
	if err := requireActive(g, c.now()); err != nil {
		return nil, err
	}
	if problem := g.ForwardProblem(l.Protocol); problem != "" {
		return nil, api.Rejected(problem)
	}
	// A target group serves one service (API CreateTargetGroup). All rules that refer to it belong to one, so the first
	// rule is enough.
	for r := range catalog.All[*lattice.Rule](v, lattice.By(lattice.KindRule, g.Scope, "targetgroup", g.ID)) {
		if r.ServiceID != l.ServiceID {
			return nil, api.Conflict(resourceTypes[lattice.KindTargetGroup], g.ID, fmt.Sprintf("TargetGroup %s has been associated with other services", g.ID))
		}
		break
	}
	return g, nil
}

// checkTargetGroupsOfService refuses more target groups than the quota allows a service, where each counts once
// (UG quotas).
func (c *Control) checkTargetGroupsOfService(v catalog.View, r *lattice.Rule) error {
	used := map[string]bool{}
	add := func(ids []string) {
		for _, id := range ids {
			used[id] = true
		}
	}
	add(r.TargetGroupIDs)
	for other := range catalog.All[*lattice.Rule](v, lattice.By(lattice.KindRule, r.Scope, "service", r.ServiceID)) {
		if other.ID != r.ID {
			add(other.TargetGroupIDs)
		}
	}
	return c.checkQuota(lattice.QuotaTargetGroupsPerService, len(used), lattice.KindService, r.ServiceID)
}
