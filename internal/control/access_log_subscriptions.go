package control

import (
	"cmp"
	"context"
	"fmt"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// CreateAccessLogSubscription begins to send the access logs of a service, a service network or a resource configuration
// to a destination. It cannot tell whether the destination exists.
func (c *Control) CreateAccessLogSubscription(ctx context.Context, caller api.Caller, in *shape.CreateAccessLogSubscriptionRequest) (*shape.CreateAccessLogSubscriptionResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	return create(ctx, c, caller, "CreateAccessLogSubscription", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateAccessLogSubscriptionResponse, error) {
		resource, err := findAttachable(tx, caller, in.ResourceIdentifier)
		if err != nil {
			return nil, err
		}
		s := &lattice.AccessLogSubscription{
			Base:       c.newActiveBase(caller, lattice.KindAccessLogSubscription, nil, in.Tags),
			ResourceID: resource.Meta().ID,
		}
		if err := setDestination(s, in.DestinationArn); err != nil {
			return nil, err
		}
		// Only a service network has log types. Clients name one all the same, as Terraform does.
		if resource.Key().Kind == lattice.KindServiceNetwork {
			s.LogType = cmp.Or(in.ServiceNetworkLogType, shape.ServiceNetworkLogTypeService)
		}
		if err := requireLasting(resource, c.now()); err != nil {
			return nil, err
		}
		if key, held := tx.Holder(s.DestinationClaim()); held {
			first, _ := catalog.Get[*lattice.AccessLogSubscription](tx, key)
			return nil, api.Conflict(resourceTypes[key.Kind], first.ID,
				fmt.Sprintf("The access logs of %s already have a destination of the type %s, by %s. There can be one per type.", s.ResourceID, s.DestinationType, first.ID))
		}
		tx.Put(s)
		out := accessLogSubscription(s, resource)
		return &shape.CreateAccessLogSubscriptionResponse{
			Arn:                   out.Arn,
			DestinationArn:        out.DestinationArn,
			Id:                    out.Id,
			ResourceArn:           out.ResourceArn,
			ResourceId:            out.ResourceId,
			ServiceNetworkLogType: out.ServiceNetworkLogType,
		}, nil
	})
}

// setDestination checks and sets the destination of a subscription.
func setDestination(s *lattice.AccessLogSubscription, arn *string) error {
	var ok bool
	if s.DestinationType, s.DestinationARN, ok = lattice.StoredLogDestination(*arn); !ok {
		return api.Invalid("destinationArn", fmt.Sprintf("Value '%s' at 'destinationArn' must be the ARN of a %s, of an %s or of a %s.",
			*arn, lattice.DestinationLogGroup, lattice.DestinationBucket, lattice.DestinationDeliveryStream))
	}
	return nil
}

// GetAccessLogSubscription returns an access log subscription.
func (c *Control) GetAccessLogSubscription(_ context.Context, caller api.Caller, in *shape.GetAccessLogSubscriptionRequest) (*shape.GetAccessLogSubscriptionResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetAccessLogSubscriptionResponse, error) {
		s, err := find[*lattice.AccessLogSubscription](v, caller, lattice.KindAccessLogSubscription, in.AccessLogSubscriptionIdentifier)
		if err != nil {
			return nil, err
		}
		return accessLogSubscription(s, subscribed(v, s)), nil
	})
}

// ListAccessLogSubscriptions lists the access log subscriptions of a resource. AWS returns a ResourceNotFoundException if
// there is no such resource, although the model does not list it.
func (c *Control) ListAccessLogSubscriptions(_ context.Context, caller api.Caller, in *shape.ListAccessLogSubscriptionsRequest) (*shape.ListAccessLogSubscriptionsResponse, error) {
	return read(c, func(v catalog.View) (*shape.ListAccessLogSubscriptionsResponse, error) {
		resource, err := findAttachable(v, caller, in.ResourceIdentifier)
		if err != nil {
			return nil, err
		}
		q := newQuery("ListAccessLogSubscriptions", subscriptionsOf(caller.Scope(), resource.Meta().ID), in.MaxResults, in.NextToken)
		items, next, err := page(v, q, func(s *lattice.AccessLogSubscription) (shape.AccessLogSubscriptionSummary, bool) {
			return shape.AccessLogSubscriptionSummary(*accessLogSubscription(s, resource)), true
		})
		return &shape.ListAccessLogSubscriptionsResponse{Items: items, NextToken: next}, err
	})
}

// UpdateAccessLogSubscription moves a subscription to another destination of the same type: for another
// type the Gateway API controller expects a conflict, and creates a new one (github.com/aws/aws-application-networking-k8s,
// pkg/deploy/lattice/access_log_subscription_manager.go).
func (c *Control) UpdateAccessLogSubscription(ctx context.Context, caller api.Caller, in *shape.UpdateAccessLogSubscriptionRequest) (*shape.UpdateAccessLogSubscriptionResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.UpdateAccessLogSubscriptionResponse, error) {
		s, err := find[*lattice.AccessLogSubscription](tx, caller, lattice.KindAccessLogSubscription, in.AccessLogSubscriptionIdentifier)
		if err != nil {
			return nil, err
		}
		moved := updated(s, c.now())
		if err := setDestination(moved, in.DestinationArn); err != nil {
			return nil, err
		}
		if moved.DestinationType != s.DestinationType {
			return nil, api.Conflict(resourceTypes[lattice.KindAccessLogSubscription], s.ID,
				fmt.Sprintf("The destination of %s is of the type %s. It can be replaced by one of the same type only, not by a %s.", s.ID, s.DestinationType, moved.DestinationType))
		}
		tx.Put(moved)
		full := accessLogSubscription(moved, subscribed(tx, moved))
		return &shape.UpdateAccessLogSubscriptionResponse{
			Arn: full.Arn, DestinationArn: full.DestinationArn, Id: full.Id, ResourceArn: full.ResourceArn, ResourceId: full.ResourceId,
		}, nil
	})
}

// DeleteAccessLogSubscription stops sending access logs to a destination.
func (c *Control) DeleteAccessLogSubscription(ctx context.Context, caller api.Caller, in *shape.DeleteAccessLogSubscriptionRequest) (*shape.DeleteAccessLogSubscriptionResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteAccessLogSubscriptionResponse, error) {
		s, err := find[*lattice.AccessLogSubscription](tx, caller, lattice.KindAccessLogSubscription, in.AccessLogSubscriptionIdentifier)
		if err != nil {
			return nil, err
		}
		c.end(tx, s)
		return &shape.DeleteAccessLogSubscriptionResponse{}, nil
	})
}

// subscriptionsOf is the index of the access log subscriptions of a resource.
func subscriptionsOf(scope lattice.Scope, resourceID string) lattice.Index {
	return lattice.By(lattice.KindAccessLogSubscription, scope, "resource", resourceID)
}

// subscribed returns the resource whose traffic is logged. It exists: a subscription is deleted with it.
func subscribed(v catalog.View, s *lattice.AccessLogSubscription) lattice.Resource {
	kind, _ := lattice.KindOfID(s.ResourceID)
	rec, _ := catalog.Get[lattice.Resource](v, lattice.Key{Kind: kind, Scope: s.Scope, Path: s.ResourceID})
	return rec
}

// accessLogSubscription returns all that the API shows of an access log subscription.
func accessLogSubscription(s *lattice.AccessLogSubscription, resource lattice.Resource) *shape.GetAccessLogSubscriptionResponse {
	return &shape.GetAccessLogSubscriptionResponse{
		Arn:                   ptr(s.ARN()),
		CreatedAt:             shape.NewTime(s.CreatedAt),
		DestinationArn:        ptr(s.DestinationARN),
		Id:                    ptr(s.ID),
		LastUpdatedAt:         shape.NewTime(s.UpdatedAt),
		ResourceArn:           ptr(resource.ARN()),
		ResourceId:            ptr(s.ResourceID),
		ServiceNetworkLogType: s.LogType,
	}
}
