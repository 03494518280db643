package control

import (
	"context"
	"errors"
	"fmt"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// CreateRule creates a rule of a listener.
func (c *Control) CreateRule(ctx context.Context, caller api.Caller, in *shape.CreateRuleRequest) (*shape.CreateRuleResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	return create(ctx, c, caller, "CreateRule", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateRuleResponse, error) {
		l, err := c.findListenerToChange(tx, caller, in.ServiceIdentifier, in.ListenerIdentifier)
		if err != nil {
			return nil, err
		}
		if lattice.PassesThrough(l.Protocol) {
			return nil, api.Rejected(fmt.Sprintf("A %s listener has no rules beside its default rule.", l.Protocol))
		}
		r := &lattice.Rule{
			Base:       c.newActiveBase(caller, lattice.KindRule, in.Name, in.Tags),
			ServiceID:  l.ServiceID,
			ListenerID: l.ID,
			Priority:   *in.Priority,
		}
		if r.Match, err = ruleMatch(in.Match, "match"); err != nil {
			return nil, err
		}
		if err := c.setAction(tx, caller, l, r, in.Action, "action"); err != nil {
			return nil, err
		}
		// The default rule is among the existing ones, but does not count.
		existing := tx.Count(lattice.By(lattice.KindRule, l.Scope, "listener", l.ID)) - 1
		if err := c.checkQuota(lattice.QuotaRulesPerListener, existing+1, lattice.KindListener, l.ID); err != nil {
			return nil, err
		}
		tx.Put(r)
		out := rule(r)
		return &shape.CreateRuleResponse{Action: out.Action, Arn: out.Arn, Id: out.Id, Match: out.Match, Name: out.Name, Priority: out.Priority}, nil
	})
}

// GetRule returns a rule, which may be the default rule.
func (c *Control) GetRule(_ context.Context, caller api.Caller, in *shape.GetRuleRequest) (*shape.GetRuleResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetRuleResponse, error) {
		r, err := findRule(v, caller, in.ServiceIdentifier, in.ListenerIdentifier, in.RuleIdentifier)
		if err != nil {
			return nil, err
		}
		return rule(r), nil
	})
}

// ListRules lists the rules of a listener, the default rule among them.
func (c *Control) ListRules(_ context.Context, caller api.Caller, in *shape.ListRulesRequest) (*shape.ListRulesResponse, error) {
	return read(c, func(v catalog.View) (*shape.ListRulesResponse, error) {
		l, err := findListener(v, caller, in.ServiceIdentifier, in.ListenerIdentifier)
		if err != nil {
			return nil, err
		}
		q := newQuery("ListRules", lattice.By(lattice.KindRule, l.Scope, "listener", l.ID), in.MaxResults, in.NextToken)
		items, next, err := page(v, q, func(r *lattice.Rule) (shape.RuleSummary, bool) {
			full := rule(r)
			return shape.RuleSummary{
				Arn:           full.Arn,
				CreatedAt:     full.CreatedAt,
				Id:            full.Id,
				IsDefault:     full.IsDefault,
				LastUpdatedAt: full.LastUpdatedAt,
				Name:          full.Name,
				Priority:      full.Priority,
			}, true
		})
		return &shape.ListRulesResponse{Items: items, NextToken: next}, err
	})
}

// UpdateRule replaces each given member as a whole. With none given it changes nothing.
func (c *Control) UpdateRule(ctx context.Context, caller api.Caller, in *shape.UpdateRuleRequest) (*shape.UpdateRuleResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.UpdateRuleResponse, error) {
		l, err := c.findListenerToChange(tx, caller, in.ServiceIdentifier, in.ListenerIdentifier)
		if err != nil {
			return nil, err
		}
		update := shape.RuleUpdate{RuleIdentifier: in.RuleIdentifier, Match: in.Match, Priority: in.Priority, Action: in.Action}
		r, err := c.updateRule(tx, caller, l, update, "")
		if err != nil {
			return nil, err
		}
		return (*shape.UpdateRuleResponse)(ruleUpdateSuccess(r)), nil
	})
}

// BatchUpdateRule updates up to ten rules of a listener in one transaction. Priorities are compared when all updates have
// been made, so that rules can swap theirs; the Gateway API controller reorders its rules this way. A rule that cannot be
// updated is reported and does not prevent the other updates. If priorities collide after all updates, no single rule is at
// fault, and all updates are refused.
func (c *Control) BatchUpdateRule(ctx context.Context, caller api.Caller, in *shape.BatchUpdateRuleRequest) (*shape.BatchUpdateRuleResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.BatchUpdateRuleResponse, error) {
		out := &shape.BatchUpdateRuleResponse{Successful: []shape.RuleUpdateSuccess{}, Unsuccessful: []shape.RuleUpdateFailure{}}
		l, err := c.findListenerToChange(tx, caller, in.ServiceIdentifier, in.ListenerIdentifier)
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for i, update := range in.Rules {
			at := fmt.Sprintf("rules[%d].", i)
			r, err := c.updateRule(tx, caller, l, update, at)
			if failure, ok := ruleUpdateFailure(update, err); ok {
				out.Unsuccessful = append(out.Unsuccessful, failure)
				continue
			}
			if err != nil {
				return nil, err
			}
			if seen[r.ID] {
				return nil, api.Invalid(at+"ruleIdentifier", fmt.Sprintf("The rule at '%sruleIdentifier' is named twice.", at))
			}
			seen[r.ID] = true
			out.Successful = append(out.Successful, *ruleUpdateSuccess(r))
		}
		return out, nil
	})
}

// DeleteRule deletes a rule, in whatever state the service is.
func (c *Control) DeleteRule(ctx context.Context, caller api.Caller, in *shape.DeleteRuleRequest) (*shape.DeleteRuleResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteRuleResponse, error) {
		r, err := findRule(tx, caller, in.ServiceIdentifier, in.ListenerIdentifier, in.RuleIdentifier)
		if err != nil {
			return nil, err
		}
		if r.IsDefault { // API, DeleteRule; A-050
			return nil, api.Rejected(fmt.Sprintf("Rule %s is the default rule of its listener, which cannot be deleted.", r.ID))
		}
		c.end(tx, r)
		return &shape.DeleteRuleResponse{}, nil
	})
}

// updateRule makes one update and returns the rule after it. prefix leads to the update in the input.
func (c *Control) updateRule(tx *catalog.Tx, caller api.Caller, l *lattice.Listener, update shape.RuleUpdate, prefix string) (*lattice.Rule, error) {
	r, err := find[*lattice.Rule](tx, caller, lattice.KindRule, update.RuleIdentifier, ptr(l.ServiceID), ptr(l.ID))
	if err != nil {
		return nil, err
	}
	if r.IsDefault { // API, UpdateRule; A-050
		return nil, api.Rejected(fmt.Sprintf("Rule %s is the default rule of its listener. UpdateListener changes its action; it has nothing else that can be changed.", r.ID))
	}
	if update.Match == nil && update.Priority == nil && update.Action == nil {
		return r, nil
	}
	r = updated(r, c.now())
	if update.Match != nil {
		if r.Match, err = ruleMatch(update.Match, prefix+"match"); err != nil {
			return nil, err
		}
	}
	if update.Priority != nil {
		r.Priority = *update.Priority
	}
	if update.Action != nil {
		if err := c.setAction(tx, caller, l, r, update.Action, prefix+"action"); err != nil {
			return nil, err
		}
	}
	tx.Put(r)
	return r, nil
}

// ruleUpdateFailure reports an error that is about one rule of a batch. The code is the name of the exception that
// UpdateRule would have answered with.
func ruleUpdateFailure(update shape.RuleUpdate, err error) (shape.RuleUpdateFailure, bool) {
	failure := func(code string, message *string) (shape.RuleUpdateFailure, bool) {
		return shape.RuleUpdateFailure{RuleIdentifier: update.RuleIdentifier, FailureCode: &code, FailureMessage: message}, true
	}
	if e, ok := errors.AsType[*shape.ResourceNotFoundException](err); ok {
		return failure("ResourceNotFoundException", e.Message)
	}
	if e, ok := errors.AsType[*shape.AccessDeniedException](err); ok {
		return failure("AccessDeniedException", e.Message)
	}
	if e, ok := errors.AsType[*shape.ConflictException](err); ok {
		return failure("ConflictException", e.Message)
	}
	if e, ok := errors.AsType[*shape.ValidationException](err); ok {
		return failure("ValidationException", e.Message)
	}
	if e, ok := errors.AsType[*shape.ServiceQuotaExceededException](err); ok {
		return failure("ServiceQuotaExceededException", e.Message)
	}
	return shape.RuleUpdateFailure{}, false
}

// findRule finds a rule after its service and its listener, so that the error names the one that does not exist.
func findRule(v catalog.View, caller api.Caller, service, listener, identifier *string) (*lattice.Rule, error) {
	if _, err := findListener(v, caller, service, listener); err != nil {
		return nil, err
	}
	return find[*lattice.Rule](v, caller, lattice.KindRule, identifier, service, listener)
}

// rule returns all that the API shows of a rule. The default rule has no match.
func rule(r *lattice.Rule) *shape.GetRuleResponse {
	return &shape.GetRuleResponse{
		Action:        r.Action,
		Arn:           ptr(r.ARN()),
		CreatedAt:     shape.NewTime(r.CreatedAt),
		Id:            ptr(r.ID),
		IsDefault:     ptr(r.IsDefault),
		LastUpdatedAt: shape.NewTime(r.UpdatedAt),
		Match:         r.Match,
		Name:          ptr(r.Name),
		Priority:      ptr(r.Priority),
	}
}

// ruleUpdateSuccess is what the responses to updates show of a rule.
func ruleUpdateSuccess(r *lattice.Rule) *shape.RuleUpdateSuccess {
	full := rule(r)
	return &shape.RuleUpdateSuccess{
		Action:    full.Action,
		Arn:       full.Arn,
		Id:        full.Id,
		IsDefault: full.IsDefault,
		Match:     full.Match,
		Name:      full.Name,
		Priority:  full.Priority,
	}
}
