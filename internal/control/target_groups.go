package control

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// CreateTargetGroup creates a target group. Its name is unique within the account and Region.
func (c *Control) CreateTargetGroup(ctx context.Context, caller api.Caller, in *shape.CreateTargetGroupRequest) (*shape.CreateTargetGroupResponse, error) {
	config, problems := lattice.NewTargetGroupConfig(in.Type, in.Config)
	problems = append(problems, tagProblems(in.Tags)...)
	if err := invalid(problems); err != nil {
		return nil, err
	}
	return create(ctx, c, caller, "CreateTargetGroup", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateTargetGroupResponse, error) {
		group := &lattice.TargetGroup{
			Base:   c.newBase(caller, lattice.KindTargetGroup, in.Name, in.Tags),
			Type:   in.Type,
			Config: config,
		}
		if failed, ok := c.failedNamesake(tx, group); ok {
			group.ID, group.CreatedAt = failed.ID, failed.CreatedAt
		} else if err := c.checkIndexQuota(tx, lattice.QuotaTargetGroupsPerRegion, lattice.All(lattice.KindTargetGroup, caller.Scope()), ""); err != nil {
			return nil, err
		}
		tx.Put(group)
		return &shape.CreateTargetGroupResponse{
			Arn:    ptr(group.ARN()),
			Config: group.Config,
			Id:     &group.ID,
			Name:   &group.Name,
			Status: shape.TargetGroupStatusCreateInProgress,
			Type:   group.Type,
		}, nil
	})
}

// failedNamesake returns the target group of the same name that could not be created. Only CreateTargetGroup can be retried
// then (API CreateTargetGroup): it creates the same target group.
func (c *Control) failedNamesake(tx *catalog.Tx, group *lattice.TargetGroup) (*lattice.TargetGroup, bool) {
	key, held := tx.Holder(group.NameClaim())
	if !held {
		return nil, false
	}
	first, ok := catalog.Get[*lattice.TargetGroup](tx, key)
	return first, ok && c.targetGroupStatus(first) == shape.TargetGroupStatusCreateFailed
}

// GetTargetGroup returns a target group.
func (c *Control) GetTargetGroup(_ context.Context, caller api.Caller, in *shape.GetTargetGroupRequest) (*shape.GetTargetGroupResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetTargetGroupResponse, error) {
		group, err := findTargetGroup(v, caller, in.TargetGroupIdentifier)
		if err != nil {
			return nil, err
		}
		code, message := group.Lifecycle.Failure(c.now())
		return &shape.GetTargetGroupResponse{
			Arn:            ptr(group.ARN()),
			Config:         group.Config,
			CreatedAt:      shape.NewTime(group.CreatedAt),
			FailureCode:    present(code),
			FailureMessage: present(message),
			Id:             &group.ID,
			LastUpdatedAt:  shape.NewTime(group.UpdatedAt),
			Name:           &group.Name,
			ServiceArns:    serviceARNs(v, group),
			Status:         c.targetGroupStatus(group),
			Type:           group.Type,
		}, nil
	})
}

// ListTargetGroups returns a page of the target groups, of one VPC, of one type, or of both. The reference says that
// the VPC may be given by its ARN, which the model's pattern does not admit.
func (c *Control) ListTargetGroups(_ context.Context, caller api.Caller, in *shape.ListTargetGroupsRequest) (*shape.ListTargetGroupsResponse, error) {
	index := lattice.All(lattice.KindTargetGroup, caller.Scope())
	switch {
	case in.VpcIdentifier != nil:
		index = lattice.By(lattice.KindTargetGroup, caller.Scope(), "vpc", *in.VpcIdentifier)
	case in.TargetGroupType != "":
		index = lattice.By(lattice.KindTargetGroup, caller.Scope(), "type", string(in.TargetGroupType))
	}
	q := newQuery("ListTargetGroups", index, in.MaxResults, in.NextToken)
	q.Filter = string(in.TargetGroupType)
	return read(c, func(v catalog.View) (*shape.ListTargetGroupsResponse, error) {
		items, next, err := page(v, q, func(group *lattice.TargetGroup) (shape.TargetGroupSummary, bool) {
			if in.TargetGroupType != "" && group.Type != in.TargetGroupType {
				return shape.TargetGroupSummary{}, false
			}
			return c.targetGroupSummary(v, group), true
		})
		return &shape.ListTargetGroupsResponse{Items: items, NextToken: next}, err
	})
}

func (c *Control) targetGroupSummary(v catalog.View, group *lattice.TargetGroup) shape.TargetGroupSummary {
	summary := shape.TargetGroupSummary{
		Arn:           ptr(group.ARN()),
		CreatedAt:     shape.NewTime(group.CreatedAt),
		Id:            &group.ID,
		LastUpdatedAt: shape.NewTime(group.UpdatedAt),
		Name:          &group.Name,
		ServiceArns:   serviceARNs(v, group),
		Status:        c.targetGroupStatus(group),
		Type:          group.Type,
	}
	if config := group.Config; config != nil {
		summary.IpAddressType = config.IpAddressType
		summary.LambdaEventStructureVersion = config.LambdaEventStructureVersion
		summary.Port = config.Port
		summary.Protocol = config.Protocol
		summary.VpcIdentifier = config.VpcIdentifier
	}
	return summary
}

// UpdateTargetGroup changes the health check settings, the only part of a target group that can be changed. The update is
// complete when the operation returns: the API has no status for a target group that is being updated.
func (c *Control) UpdateTargetGroup(ctx context.Context, caller api.Caller, in *shape.UpdateTargetGroupRequest) (*shape.UpdateTargetGroupResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.UpdateTargetGroupResponse, error) {
		group, err := findTargetGroup(tx, caller, in.TargetGroupIdentifier)
		if err != nil {
			return nil, err
		}
		config, problems := lattice.UpdatedTargetGroupConfig(group, in.HealthCheck)
		if err := invalid(problems); err != nil {
			return nil, err
		}
		if err := requireActive(group, c.now()); err != nil {
			return nil, err
		}
		changed := updated(group, c.now())
		changed.Config = config
		tx.Put(changed)
		return &shape.UpdateTargetGroupResponse{
			Arn:    ptr(group.ARN()),
			Config: config,
			Id:     &group.ID,
			Name:   &group.Name,
			Status: c.targetGroupStatus(changed),
			Type:   group.Type,
		}, nil
	})
}

// DeleteTargetGroup deletes a target group that no rule uses and that has no targets. One of another account is not found:
// for this operation alone, the model has no AccessDeniedException.
func (c *Control) DeleteTargetGroup(ctx context.Context, caller api.Caller, in *shape.DeleteTargetGroupRequest) (*shape.DeleteTargetGroupResponse, error) {
	out, err := change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteTargetGroupResponse, error) {
		group, err := findTargetGroup(tx, caller, in.TargetGroupIdentifier)
		if err != nil {
			return nil, err
		}
		if err := c.checkTargetGroupDeletable(tx, group); err != nil {
			return nil, err
		}
		status := c.remove(tx, group)
		return &shape.DeleteTargetGroupResponse{Arn: ptr(group.ARN()), Id: &group.ID, Status: shape.TargetGroupStatus(status)}, nil
	})
	if _, denied := errors.AsType[*shape.AccessDeniedException](err); denied {
		return nil, api.NotFound(resourceTypes[lattice.KindTargetGroup], *in.TargetGroupIdentifier)
	}
	return out, err
}

// checkTargetGroupDeletable refuses to delete a target group that is being created, that a rule or a default action
// uses, or that has targets, draining ones included. The text about targets is AWS's; the other is Trellis's.
func (c *Control) checkTargetGroupDeletable(v catalog.View, group *lattice.TargetGroup) error {
	conflict := func(reason string) error {
		return api.Conflict(resourceTypes[lattice.KindTargetGroup], group.ID, fmt.Sprintf("TargetGroup %s %s", group.ID, reason))
	}
	if group.Lifecycle.Deleting() {
		return nil
	}
	if err := requireDeletable(group, c.now()); err != nil {
		return err
	}
	for rule := range catalog.All[*lattice.Rule](v, usesOf(group)) {
		user := "rule " + rule.ID
		if rule.IsDefault {
			user = "the default action"
		}
		return conflict(fmt.Sprintf("is used by %s of listener %s of service %s.", user, rule.ListenerID, rule.ServiceID))
	}
	if len(targetsOf(v, group)) > 0 {
		return conflict("has targets registered with it")
	}
	return nil
}

func findTargetGroup(v catalog.View, caller api.Caller, identifier *string) (*lattice.TargetGroup, error) {
	return find[*lattice.TargetGroup](v, caller, lattice.KindTargetGroup, identifier)
}

func (c *Control) targetGroupStatus(group *lattice.TargetGroup) shape.TargetGroupStatus {
	return shape.TargetGroupStatus(group.Lifecycle.Status(c.now()))
}

// usesOf is the index of the rules, default rules included, that forward to a target group.
func usesOf(group *lattice.TargetGroup) lattice.Index {
	return lattice.By(lattice.KindRule, group.Scope, "targetgroup", group.ID)
}

// serviceARNs returns the services whose rules forward to a target group, an empty list when there are none
// (CLI get-target-group).
func serviceARNs(v catalog.View, group *lattice.TargetGroup) []string {
	arns := []string{}
	for rule := range catalog.All[*lattice.Rule](v, usesOf(group)) {
		service := lattice.Service{Base: lattice.Base{ID: rule.ServiceID, Scope: rule.Scope}}
		if arn := service.ARN(); !slices.Contains(arns, arn) {
			arns = append(arns, arn)
		}
	}
	return arns
}
