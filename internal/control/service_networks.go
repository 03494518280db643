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

// CreateServiceNetwork creates a service network. It can be used at once: service networks have no status.
func (c *Control) CreateServiceNetwork(ctx context.Context, caller api.Caller, in *shape.CreateServiceNetworkRequest) (*shape.CreateServiceNetworkResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	return create(ctx, c, caller, "CreateServiceNetwork", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateServiceNetworkResponse, error) {
		n := &lattice.ServiceNetwork{
			Base:          c.newActiveBase(caller, lattice.KindServiceNetwork, in.Name, in.Tags),
			AuthType:      cmp.Or(in.AuthType, shape.AuthTypeNone),
			SharingConfig: in.SharingConfig,
		}
		if err := c.checkIndexQuota(tx, lattice.QuotaServiceNetworksPerRegion, lattice.All(lattice.KindServiceNetwork, n.Scope), ""); err != nil {
			return nil, err
		}
		tx.Put(n)
		return &shape.CreateServiceNetworkResponse{
			Arn: ptr(n.ARN()), AuthType: n.AuthType, Id: ptr(n.ID), Name: ptr(n.Name), SharingConfig: n.SharingConfig,
		}, nil
	})
}

// GetServiceNetwork returns a service network.
func (c *Control) GetServiceNetwork(_ context.Context, caller api.Caller, in *shape.GetServiceNetworkRequest) (*shape.GetServiceNetworkResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetServiceNetworkResponse, error) {
		n, err := find[*lattice.ServiceNetwork](v, caller, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
		if err != nil {
			return nil, err
		}
		count := countAssociations(v, n)
		return &shape.GetServiceNetworkResponse{
			Arn:                        ptr(n.ARN()),
			AuthType:                   n.AuthType,
			CreatedAt:                  shape.NewTime(n.CreatedAt),
			Id:                         ptr(n.ID),
			LastUpdatedAt:              shape.NewTime(n.UpdatedAt),
			Name:                       ptr(n.Name),
			NumberOfAssociatedServices: ptr(count.services),
			NumberOfAssociatedVPCs:     ptr(count.vpcs),
			SharingConfig:              &shape.SharingConfig{Enabled: ptr(n.IsShareable())},
		}, nil
	})
}

// ListServiceNetworks lists the caller's service networks.
func (c *Control) ListServiceNetworks(_ context.Context, caller api.Caller, in *shape.ListServiceNetworksRequest) (*shape.ListServiceNetworksResponse, error) {
	q := newQuery("ListServiceNetworks", lattice.All(lattice.KindServiceNetwork, caller.Scope()), in.MaxResults, in.NextToken)
	return read(c, func(v catalog.View) (*shape.ListServiceNetworksResponse, error) {
		items, next, err := page(v, q, func(n *lattice.ServiceNetwork) (shape.ServiceNetworkSummary, bool) {
			count := countAssociations(v, n)
			return shape.ServiceNetworkSummary{
				Arn:                                      ptr(n.ARN()),
				CreatedAt:                                shape.NewTime(n.CreatedAt),
				Id:                                       ptr(n.ID),
				LastUpdatedAt:                            shape.NewTime(n.UpdatedAt),
				Name:                                     ptr(n.Name),
				NumberOfAssociatedResourceConfigurations: ptr(count.resources),
				NumberOfAssociatedServices:               ptr(count.services),
				NumberOfAssociatedVPCs:                   ptr(count.vpcs),
			}, true
		})
		return &shape.ListServiceNetworksResponse{Items: items, NextToken: next}, err
	})
}

// UpdateServiceNetwork changes the auth type.
func (c *Control) UpdateServiceNetwork(ctx context.Context, caller api.Caller, in *shape.UpdateServiceNetworkRequest) (*shape.UpdateServiceNetworkResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.UpdateServiceNetworkResponse, error) {
		n, err := find[*lattice.ServiceNetwork](tx, caller, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
		if err != nil {
			return nil, err
		}
		n = updated(n, c.now())
		n.AuthType = in.AuthType
		tx.Put(n)
		return &shape.UpdateServiceNetworkResponse{Arn: ptr(n.ARN()), AuthType: n.AuthType, Id: ptr(n.ID), Name: ptr(n.Name)}, nil
	})
}

// DeleteServiceNetwork deletes a service network that nothing is associated with (API DeleteServiceNetwork). It is gone at once.
func (c *Control) DeleteServiceNetwork(ctx context.Context, caller api.Caller, in *shape.DeleteServiceNetworkRequest) (*shape.DeleteServiceNetworkResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteServiceNetworkResponse, error) {
		n, err := find[*lattice.ServiceNetwork](tx, caller, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
		if err != nil {
			return nil, err
		}
		if what := countAssociations(tx, n).what(); what != "" {
			// AWS's words for VPCs and resources (github.com/gruntwork-io/cloud-nuke/pull/1158), and the same for services.
			return nil, api.Conflict(resourceTypes[lattice.KindServiceNetwork], n.ID, fmt.Sprintf("ServiceNetwork %s has %s associated", n.ID, what))
		}
		if len(c.inventory().ServiceNetworkEndpoints(n.Key())) > 0 { // UG; A-252
			return nil, api.Conflict(resourceTypes[lattice.KindServiceNetwork], n.ID, fmt.Sprintf("ServiceNetwork %s has VPC endpoint(s) associated", n.ID))
		}
		c.end(tx, n)
		return &shape.DeleteServiceNetworkResponse{}, nil
	})
}

// associationCount is how much is associated with a service network, in whatever state the associations are.
type associationCount struct{ services, vpcs, resources int64 }

func countAssociations(v catalog.View, n *lattice.ServiceNetwork) associationCount {
	count := func(kind lattice.Kind) int64 {
		return int64(v.Count(lattice.By(kind, n.Scope, "servicenetwork", n.ID)))
	}
	return associationCount{
		services:  count(lattice.KindServiceNetworkServiceAssociation),
		vpcs:      count(lattice.KindServiceNetworkVpcAssociation),
		resources: count(lattice.KindServiceNetworkResourceAssociation),
	}
}

// what returns what is associated, in AWS's words, or "" if nothing is.
func (a associationCount) what() string {
	switch {
	case a.vpcs > 0:
		return "VPC(s)"
	case a.services > 0:
		return "service(s)"
	case a.resources > 0:
		return "resource(s)"
	}
	return ""
}
