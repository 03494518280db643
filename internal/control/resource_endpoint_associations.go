package control

import (
	"context"
	"fmt"
	"slices"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// ListResourceEndpointAssociations lists the associations of a resource configuration with VPC endpoints, as long as
// the inventory has the endpoints.
func (c *Control) ListResourceEndpointAssociations(ctx context.Context, caller api.Caller, in *shape.ListResourceEndpointAssociationsRequest) (*shape.ListResourceEndpointAssociationsResponse, error) {
	configurationID, err := filterID(caller, lattice.KindResourceConfiguration, in.ResourceConfigurationIdentifier)
	if err != nil {
		return nil, err
	}
	associationID, err := filterID(caller, lattice.KindResourceEndpointAssociation, in.ResourceEndpointAssociationIdentifier)
	if err != nil {
		return nil, err
	}
	key := lattice.ResourceConfigurationKey(caller.Scope(), configurationID)
	if err := c.attachEndpoints(ctx, key); err != nil {
		return nil, err
	}
	q := newQuery("ListResourceEndpointAssociations", endpointAssociationsOf(key), in.MaxResults, in.NextToken)
	q.Filter = fmt.Sprintf("%s %s %s", associationID, value(in.VpcEndpointId), value(in.VpcEndpointOwner))
	return read(c, func(v catalog.View) (*shape.ListResourceEndpointAssociationsResponse, error) {
		present := map[string]inventory.VPCEndpoint{}
		if r, ok := catalog.Get[*lattice.ResourceConfiguration](v, key); ok {
			for _, e := range c.inventory().EndpointsTo(r) {
				present[e.ID] = e
			}
		}
		items, next, err := page(v, q, func(a *lattice.ResourceEndpointAssociation) (shape.ResourceEndpointAssociationSummary, bool) {
			_, ok := present[a.VpcEndpointID]
			if !ok || !admits(associationID, a.ID) || !admits(value(in.VpcEndpointId), a.VpcEndpointID) || !admits(value(in.VpcEndpointOwner), a.VpcEndpointOwner) {
				return shape.ResourceEndpointAssociationSummary{}, false
			}
			r, _ := catalog.Get[*lattice.ResourceConfiguration](v, key)
			return shape.ResourceEndpointAssociationSummary{
				Arn:                       ptr(a.ARN()),
				CreatedAt:                 shape.NewTime(a.CreatedAt),
				CreatedBy:                 ptr(a.VpcEndpointOwner),
				Id:                        ptr(a.ID),
				PayerResponsibility:       payers(),
				ResourceConfigurationArn:  ptr(r.ARN()),
				ResourceConfigurationId:   ptr(r.ID),
				ResourceConfigurationName: ptr(r.Name),
				VpcEndpointId:             ptr(a.VpcEndpointID),
				VpcEndpointOwner:          ptr(a.VpcEndpointOwner),
			}, true
		})
		return &shape.ListResourceEndpointAssociationsResponse{Items: items, NextToken: next}, err
	})
}

// payers returns who pays for what: the owner of a resource gateway pays for it.
func payers() []shape.PayerResponsibilityEntry {
	return []shape.PayerResponsibilityEntry{{
		PayerResponsibilityType: shape.PayerResponsibilityPayerResourceGatewayAccount, Scope: shape.PayerResponsibilityScopeResourceGatewayCharges}}
}

// admits reports whether a filter admits a value. An empty filter admits all.
func admits(filter, value string) bool { return filter == "" || filter == value }

// DeleteResourceEndpointAssociation detaches a VPC endpoint from a resource configuration. The endpoint stays in the
// inventory, so a record keeps the two apart.
func (c *Control) DeleteResourceEndpointAssociation(ctx context.Context, caller api.Caller, in *shape.DeleteResourceEndpointAssociationRequest) (*shape.DeleteResourceEndpointAssociationResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteResourceEndpointAssociationResponse, error) {
		a, err := find[*lattice.ResourceEndpointAssociation](tx, caller, lattice.KindResourceEndpointAssociation, in.ResourceEndpointAssociationIdentifier)
		if err != nil {
			return nil, err
		}
		tx.Put(&lattice.DetachedEndpoint{Scope: a.Scope, ResourceConfigurationID: a.ResourceConfigurationID, VpcEndpointID: a.VpcEndpointID})
		c.end(tx, a)
		r, _ := catalog.Get[*lattice.ResourceConfiguration](tx, lattice.ResourceConfigurationKey(a.Scope, a.ResourceConfigurationID))
		// What is detached from a group is detached from its children.
		for _, child := range slices.Collect(catalog.All[*lattice.ResourceConfiguration](tx, childrenOf(r))) {
			for _, of := range slices.Collect(catalog.All[*lattice.ResourceEndpointAssociation](tx, endpointAssociationsOf(child.Key()))) {
				if of.VpcEndpointID == a.VpcEndpointID {
					c.end(tx, of)
				}
			}
		}
		return &shape.DeleteResourceEndpointAssociationResponse{
			Arn:                      ptr(a.ARN()),
			Id:                       ptr(a.ID),
			ResourceConfigurationArn: ptr(r.ARN()),
			ResourceConfigurationId:  ptr(r.ID),
			VpcEndpointId:            ptr(a.VpcEndpointID),
		}, nil
	})
}
