package clients_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

// maxRulePriority is the highest priority that the controller gives.
const maxRulePriority = 100

// reconcileRules finds each rule by its match, corrects its action, and creates what is missing under any free
// priority. What is left over is deleted. If a priority is not the one that the order of the route asks for, all
// priorities are set at once.
func (k *controller) reconcileRules(ctx context.Context, service, listener string, r route, groups map[string]string) error {
	var updates []types.RuleUpdate
	var kept []string
	inOrder := true
	for i, rule := range r.rules {
		found, err := k.upsertRule(ctx, service, listener, rule, groups)
		if err != nil {
			return err
		}
		priority := int32(i + 1)
		inOrder = inOrder && *found.Priority == priority
		updates = append(updates, types.RuleUpdate{RuleIdentifier: found.Id, Priority: &priority})
		kept = append(kept, *found.Id)
	}
	current, err := k.rules(ctx, service, listener)
	if err != nil {
		return err
	}
	for _, c := range current {
		if *c.IsDefault || slices.Contains(kept, *c.Id) {
			continue
		}
		_, err := k.client.DeleteRule(ctx, &vpclattice.DeleteRuleInput{ServiceIdentifier: &service, ListenerIdentifier: &listener, RuleIdentifier: c.Id})
		if err != nil {
			return err
		}
	}
	if inOrder {
		return nil
	}
	out, err := k.client.BatchUpdateRule(ctx, &vpclattice.BatchUpdateRuleInput{ServiceIdentifier: &service, ListenerIdentifier: &listener, Rules: updates})
	if err != nil {
		return err
	}
	if len(out.Unsuccessful) > 0 || len(out.Successful) != len(updates) {
		return fmt.Errorf("of %d priorities, %d were set: %v", len(updates), len(out.Successful), out.Unsuccessful)
	}
	return nil
}

func (k *controller) upsertRule(ctx context.Context, service, listener string, rule routeRule, groups map[string]string) (*vpclattice.GetRuleOutput, error) {
	current, err := k.rules(ctx, service, listener)
	if err != nil {
		return nil, err
	}
	action, match := ruleAction(rule, groups), &types.RuleMatchMemberHttpMatch{Value: rule.match}
	for _, c := range current {
		if !reflect.DeepEqual(withoutEmptyHeaderMatches(match), withoutEmptyHeaderMatches(c.Match)) {
			continue
		}
		if reflect.DeepEqual(action, c.Action) {
			return c, nil
		}
		_, err := k.client.UpdateRule(ctx, &vpclattice.UpdateRuleInput{
			ServiceIdentifier: &service, ListenerIdentifier: &listener, RuleIdentifier: c.Id, Action: action, Match: match, Priority: c.Priority,
		})
		return c, err
	}
	free, err := freePriority(current)
	if err != nil {
		return nil, err
	}
	created, err := k.client.CreateRule(ctx, &vpclattice.CreateRuleInput{
		ServiceIdentifier: &service, ListenerIdentifier: &listener, Name: aws.String(fmt.Sprintf("k8s-%d", time.Now().UnixNano())),
		Action: action, Match: match, Priority: &free, Tags: map[string]string{managedByKey: managedBy},
	})
	if err != nil {
		return nil, err
	}
	return &vpclattice.GetRuleOutput{Id: created.Id, Priority: created.Priority}, nil
}

// rules reads all rules of a listener, the default rule among them.
func (k *controller) rules(ctx context.Context, service, listener string) (all []*vpclattice.GetRuleOutput, err error) {
	paginator := vpclattice.NewListRulesPaginator(k.client, &vpclattice.ListRulesInput{ServiceIdentifier: &service, ListenerIdentifier: &listener})
	for paginator.HasMorePages() {
		page, err := paginator.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range page.Items {
			rule, err := k.client.GetRule(ctx, &vpclattice.GetRuleInput{ServiceIdentifier: &service, ListenerIdentifier: &listener, RuleIdentifier: s.Id})
			if err != nil {
				return nil, err
			}
			all = append(all, rule)
		}
	}
	return all, nil
}

// ruleAction is the action for a rule's backends, and a failure where there are none.
func ruleAction(rule routeRule, groups map[string]string) types.RuleAction {
	if len(rule.backends) == 0 {
		return &types.RuleActionMemberFixedResponse{Value: types.FixedResponseAction{StatusCode: aws.Int32(500)}}
	}
	forward := types.ForwardAction{}
	for _, b := range rule.backends {
		forward.TargetGroups = append(forward.TargetGroups, types.WeightedTargetGroup{TargetGroupIdentifier: aws.String(groups[b.name]), Weight: &b.weight})
	}
	return &types.RuleActionMemberForward{Value: forward}
}

// withoutEmptyHeaderMatches makes an empty list of header matches equal to an absent one: the only difference that the
// controller tolerates.
func withoutEmptyHeaderMatches(m types.RuleMatch) types.RuleMatch {
	if http, ok := m.(*types.RuleMatchMemberHttpMatch); ok && len(http.Value.HeaderMatches) == 0 {
		value := http.Value
		value.HeaderMatches = nil
		return &types.RuleMatchMemberHttpMatch{Value: value}
	}
	return m
}

func freePriority(rules []*vpclattice.GetRuleOutput) (int32, error) {
	for priority := int32(1); priority <= maxRulePriority; priority++ {
		if !slices.ContainsFunc(rules, func(r *vpclattice.GetRuleOutput) bool { return *r.Priority == priority }) {
			return priority, nil
		}
	}
	return 0, fmt.Errorf("no priority is free")
}

// collectGarbage deletes the route's target groups that are no longer wanted, as soon as no service uses them.
func (k *controller) collectGarbage(ctx context.Context, r route, wanted []string) error {
	groups, err := k.targetGroups(ctx)
	if err != nil {
		return err
	}
	for _, g := range groups {
		tags, err := k.client.ListTagsForResource(ctx, &vpclattice.ListTagsForResourceInput{ResourceArn: g.Arn})
		if err != nil {
			return err
		}
		if tags.Tags["application-networking.k8s.aws/RouteName"] != r.name || slices.Contains(wanted, *g.Id) || len(g.ServiceArns) > 0 {
			continue
		}
		if g.Status == types.TargetGroupStatusDeleteInProgress {
			return errLater
		}
		if err := k.deleteTargetGroup(ctx, *g.Id); err != nil {
			return err
		}
		return errLater // until the list shows that it is gone
	}
	return nil
}

// deleteTargetGroup deregisters all targets and deletes the group at once, and waits when targets are draining.
func (k *controller) deleteTargetGroup(ctx context.Context, id string) error {
	registered, err := k.targets(ctx, id)
	if err != nil {
		return err
	}
	var targets []types.Target
	for _, t := range registered {
		if t.Status == types.TargetStatusDraining {
			return errLater
		}
		targets = append(targets, types.Target{Id: t.Id, Port: t.Port})
	}
	for chunk := range slices.Chunk(targets, 100) {
		out, err := k.client.DeregisterTargets(ctx, &vpclattice.DeregisterTargetsInput{TargetGroupIdentifier: &id, Targets: chunk})
		if err != nil || len(out.Unsuccessful) > 0 {
			return fmt.Errorf("deregistering %v: %w", chunk, err)
		}
	}
	_, err = k.client.DeleteTargetGroup(ctx, &vpclattice.DeleteTargetGroupInput{TargetGroupIdentifier: &id})
	if isNotFound(err) {
		return nil
	}
	return later(err)
}

// later makes a conflict a reason to try again, as the controller does when it deletes.
func later(err error) error {
	if _, conflict := errors.AsType[*types.ConflictException](err); conflict {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	return err
}

// remove deletes what belongs to a route: associations, listeners and the service without a wait in between, then the
// target groups.
func (k *controller) remove(ctx context.Context, r route) error {
	service, err := k.findService(ctx, r.name)
	if err != nil {
		return err
	}
	if service != nil {
		if err := k.removeService(ctx, service.Id); err != nil {
			return err
		}
	}
	return k.collectGarbage(ctx, r, nil)
}

func (k *controller) removeService(ctx context.Context, id *string) error {
	associations, err := k.client.ListServiceNetworkServiceAssociations(ctx, &vpclattice.ListServiceNetworkServiceAssociationsInput{ServiceIdentifier: id})
	if err != nil {
		return err
	}
	for _, a := range associations.Items {
		_, err := k.client.DeleteServiceNetworkServiceAssociation(ctx, &vpclattice.DeleteServiceNetworkServiceAssociationInput{
			ServiceNetworkServiceAssociationIdentifier: a.Arn,
		})
		if err != nil {
			return later(err)
		}
	}
	listeners, err := k.client.ListListeners(ctx, &vpclattice.ListListenersInput{ServiceIdentifier: id})
	if err != nil {
		return err
	}
	for _, l := range listeners.Items {
		_, err := k.client.DeleteListener(ctx, &vpclattice.DeleteListenerInput{ServiceIdentifier: id, ListenerIdentifier: l.Id})
		if err != nil {
			return err
		}
	}
	_, err = k.client.DeleteService(ctx, &vpclattice.DeleteServiceInput{ServiceIdentifier: id})
	return later(err)
}
