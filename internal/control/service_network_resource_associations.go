package control

import (
	"context"
	"fmt"
	"slices"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// maxNetworksOfGroup is how many service networks a group can be associated with, since a new child joins all of them
// in one transaction.
const maxNetworksOfGroup = 100

// CreateServiceNetworkResourceAssociation puts a resource configuration into a service network, a group with all its
// children.
func (c *Control) CreateServiceNetworkResourceAssociation(ctx context.Context, caller api.Caller, in *shape.CreateServiceNetworkResourceAssociationRequest) (*shape.CreateServiceNetworkResourceAssociationResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	return create(ctx, c, caller, "CreateServiceNetworkResourceAssociation", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateServiceNetworkResourceAssociationResponse, error) {
		n, err := find[*lattice.ServiceNetwork](tx, caller, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
		if err != nil {
			return nil, err
		}
		r, err := find[*lattice.ResourceConfiguration](tx, caller, lattice.KindResourceConfiguration, in.ResourceConfigurationIdentifier)
		if err != nil {
			return nil, err
		}
		a := c.newResourceAssociation(n.ID, r)
		a.Tags = in.Tags
		// For an ARN, private DNS is always on (UG resource-configuration).
		a.PrivateDNSEnabled = value(in.PrivateDnsEnabled) || r.Type == shape.ResourceConfigurationTypeArn
		if err := c.checkResourceAssociation(tx, n, r, a); err != nil {
			return nil, err
		}
		existing := tx.Count(resourcesOf(n))
		if err := c.checkQuota(lattice.QuotaResourceConfigurationsPerServiceNetwork, existing+1, lattice.KindServiceNetwork, n.ID); err != nil {
			return nil, err
		}
		if err := c.putWithAddresses(tx, a); err != nil {
			return nil, err
		}
		for _, child := range slices.Collect(catalog.All[*lattice.ResourceConfiguration](tx, childrenOf(r))) {
			if err := c.associateWith(tx, a, child); err != nil {
				return nil, err
			}
		}
		return &shape.CreateServiceNetworkResourceAssociationResponse{
			Arn:               ptr(a.ARN()),
			CreatedBy:         ptr(a.Scope.Account),
			Id:                ptr(a.ID),
			PrivateDnsEnabled: ptr(a.PrivateDNSEnabled),
			Status:            shape.ServiceNetworkResourceAssociationStatusCreateInProgress,
		}, nil
	})
}

// newResourceAssociation returns an association of a resource configuration with a service network.
func (c *Control) newResourceAssociation(serviceNetworkID string, r *lattice.ResourceConfiguration) *lattice.ServiceNetworkResourceAssociation {
	caller := api.Caller{Account: r.Scope.Account, Region: r.Scope.Region}
	a := &lattice.ServiceNetworkResourceAssociation{
		Base:                    c.newBase(caller, lattice.KindServiceNetworkResourceAssociation, nil, nil),
		ResourceConfigurationID: r.ID,
		ServiceNetworkID:        serviceNetworkID,
		GroupID:                 r.GroupID,
	}
	if !r.IsGroup() {
		a.DomainName = lattice.ResourceDomainName(a.ID, r.ID, r.Scope.Region, c.Domain)
	}
	return a
}

// associateWith puts a child into the service network of its group's association, unless it is associated by itself or is
// being deleted.
func (c *Control) associateWith(tx *catalog.Tx, group *lattice.ServiceNetworkResourceAssociation, child *lattice.ResourceConfiguration) error {
	a := c.newResourceAssociation(group.ServiceNetworkID, child)
	if _, held := tx.Holder(a.PairClaim()); held || child.Lifecycle.Deleting() {
		return nil
	}
	a.GroupAssociationID, a.PrivateDNSEnabled = group.ID, group.PrivateDNSEnabled
	return c.putWithAddresses(tx, a)
}

// associateChild puts a new child into the service networks of its group.
func (c *Control) associateChild(tx *catalog.Tx, group, child *lattice.ResourceConfiguration) error {
	for _, a := range slices.Collect(catalog.All[*lattice.ServiceNetworkResourceAssociation](tx, associationsOf(group))) {
		if a.Lifecycle.Deleting() {
			continue
		}
		if err := c.associateWith(tx, a, child); err != nil {
			return err
		}
	}
	return nil
}

// checkResourceAssociation refuses a second association of a resource configuration with a service network, and one
// that the resource configuration does not admit. As with services, an association that exists comes first.
func (c *Control) checkResourceAssociation(tx *catalog.Tx, n *lattice.ServiceNetwork, r *lattice.ResourceConfiguration, a *lattice.ServiceNetworkResourceAssociation) error {
	if key, held := tx.Holder(a.PairClaim()); held {
		first, _ := catalog.Get[*lattice.ServiceNetworkResourceAssociation](tx, key)
		if err := requireActive(first, c.now()); err != nil {
			return err
		}
		return associationExists(first)
	}
	if err := requireActive(r, c.now()); err != nil {
		return err
	}
	if r.Type == shape.ResourceConfigurationTypeCidr { // API
		return api.Rejected("A resource configuration of type CIDR cannot be associated with a service network.")
	}
	shares := r
	if r.IsChild() {
		shares, _ = catalog.Get[*lattice.ResourceConfiguration](tx, lattice.ResourceConfigurationKey(r.Scope, r.GroupID))
	}
	if n.IsShareable() && !shares.AllowSharedNetworks {
		return api.Rejected(fmt.Sprintf("Service network %s can be shared. Resource configuration %s does not allow to be associated with it, unless allowAssociationToShareableServiceNetwork is true.", n.ID, r.ID))
	}
	if r.IsGroup() && tx.Count(associationsOf(r)) >= maxNetworksOfGroup {
		return api.Rejected(fmt.Sprintf("Resource configuration %s is associated with %d service networks. A group cannot be associated with more.", r.ID, maxNetworksOfGroup))
	}
	return nil
}

// GetServiceNetworkResourceAssociation returns the association of a resource configuration.
func (c *Control) GetServiceNetworkResourceAssociation(_ context.Context, caller api.Caller, in *shape.GetServiceNetworkResourceAssociationRequest) (*shape.GetServiceNetworkResourceAssociationResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetServiceNetworkResourceAssociationResponse, error) {
		a, err := find[*lattice.ServiceNetworkResourceAssociation](v, caller, lattice.KindServiceNetworkResourceAssociation, in.ServiceNetworkResourceAssociationIdentifier)
		if err != nil {
			return nil, err
		}
		return c.resourceAssociation(v, a), nil
	})
}

// ListServiceNetworkResourceAssociations lists the associations of a service network or of a resource configuration,
// or of both. The children of a group are listed only with includeChildren, or for the child itself.
func (c *Control) ListServiceNetworkResourceAssociations(_ context.Context, caller api.Caller, in *shape.ListServiceNetworkResourceAssociationsRequest) (*shape.ListServiceNetworkResourceAssociationsResponse, error) {
	q := newQuery("ListServiceNetworkResourceAssociations", lattice.Index{}, in.MaxResults, in.NextToken)
	suffix := ""
	if value(in.IncludeChildren) {
		suffix = withChildren
	}
	configuration := joined{"resourceConfigurationIdentifier", in.ResourceConfigurationIdentifier, lattice.KindResourceConfiguration, "resourceconfiguration" + suffix}
	if err := q.ofAssociations(caller, lattice.KindServiceNetworkResourceAssociation, in.ServiceNetworkIdentifier, "servicenetwork"+suffix, configuration); err != nil {
		return nil, err
	}
	return read(c, func(v catalog.View) (*shape.ListServiceNetworkResourceAssociationsResponse, error) {
		items, next, err := page(v, q, func(a *lattice.ServiceNetworkResourceAssociation) (shape.ServiceNetworkResourceAssociationSummary, bool) {
			if !admits(q.Filter, a.ServiceNetworkID) {
				return shape.ServiceNetworkResourceAssociationSummary{}, false
			}
			return summariseResourceAssociation(c.resourceAssociation(v, a)), true
		})
		return &shape.ListServiceNetworkResourceAssociationsResponse{Items: items, NextToken: next}, err
	})
}

// DeleteServiceNetworkResourceAssociation takes a resource configuration out of a service network. The children of a group
// leave with it at once. A child that leaves alone makes the association of the group partial.
func (c *Control) DeleteServiceNetworkResourceAssociation(ctx context.Context, caller api.Caller, in *shape.DeleteServiceNetworkResourceAssociationRequest) (*shape.DeleteServiceNetworkResourceAssociationResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteServiceNetworkResourceAssociationResponse, error) {
		a, err := find[*lattice.ServiceNetworkResourceAssociation](tx, caller, lattice.KindServiceNetworkResourceAssociation, in.ServiceNetworkResourceAssociationIdentifier)
		if err != nil {
			return nil, err
		}
		if err := requireDeletable(a, c.now()); err != nil {
			return nil, err
		}
		brought := lattice.By(lattice.KindServiceNetworkResourceAssociation, a.Scope, "groupassociation", a.ID)
		for _, child := range slices.Collect(catalog.All[*lattice.ServiceNetworkResourceAssociation](tx, brought)) {
			c.end(tx, child)
		}
		return &shape.DeleteServiceNetworkResourceAssociationResponse{
			Arn:    ptr(a.ARN()),
			Id:     ptr(a.ID),
			Status: shape.ServiceNetworkResourceAssociationStatus(c.remove(tx, a)),
		}, nil
	})
}

// withChildren ends the names of the indexes that also have the children that came with their groups.
const withChildren = "+children"

// associationsOf is the index of the associations of a resource configuration, without those of its children.
func associationsOf(r *lattice.ResourceConfiguration) lattice.Index {
	return lattice.By(lattice.KindServiceNetworkResourceAssociation, r.Scope, "resourceconfiguration", r.ID)
}

// resourcesOf is the index of the associations of a service network with resource configurations, without children that came
// with their groups.
func resourcesOf(n *lattice.ServiceNetwork) lattice.Index {
	return lattice.By(lattice.KindServiceNetworkResourceAssociation, n.Scope, "servicenetwork", n.ID)
}

// resourceAssociation returns all that the API shows of the association of a resource configuration. The resource
// configuration and the network cannot have been deleted. No association is managed by a service here.
func (c *Control) resourceAssociation(v catalog.View, a *lattice.ServiceNetworkResourceAssociation) *shape.GetServiceNetworkResourceAssociationResponse {
	r, _ := catalog.Get[*lattice.ResourceConfiguration](v, lattice.ResourceConfigurationKey(a.Scope, a.ResourceConfigurationID))
	n, _ := catalog.Get[*lattice.ServiceNetwork](v, lattice.ServiceNetworkKey(a.Scope, a.ServiceNetworkID))
	failureCode, failureReason := a.Lifecycle.Failure(c.now())
	out := &shape.GetServiceNetworkResourceAssociationResponse{
		Arn:                       ptr(a.ARN()),
		CreatedAt:                 shape.NewTime(a.CreatedAt),
		CreatedBy:                 ptr(a.Scope.Account),
		FailureCode:               present(failureCode),
		FailureReason:             present(failureReason),
		Id:                        ptr(a.ID),
		IsManagedAssociation:      ptr(false),
		LastUpdatedAt:             shape.NewTime(a.UpdatedAt),
		PrivateDnsEnabled:         ptr(a.PrivateDNSEnabled),
		ResourceConfigurationArn:  ptr(r.ARN()),
		ResourceConfigurationId:   ptr(r.ID),
		ResourceConfigurationName: ptr(r.Name),
		ServiceNetworkArn:         ptr(n.ARN()),
		ServiceNetworkId:          ptr(n.ID),
		ServiceNetworkName:        ptr(n.Name),
		Status:                    c.resourceAssociationStatus(v, r, a),
	}
	if a.DomainName != "" {
		out.DnsEntry = &shape.DnsEntry{DomainName: ptr(a.DomainName), HostedZoneId: ptr(lattice.HostedZoneID)}
	}
	if a.PrivateDNSEnabled && r.CustomDomainName != "" {
		out.PrivateDnsEntry = &shape.DnsEntry{DomainName: ptr(r.CustomDomainName)} // only the name (API GetServiceNetworkResourceAssociation)
	}
	if d, ok := catalog.Get[*lattice.DomainVerification](v, lattice.DomainVerificationKey(r.Scope, r.DomainVerificationID)); ok {
		out.DomainVerificationStatus = d.Status(c.now())
	}
	return out
}

// resourceAssociationStatus returns the status of an association. That of a group is PARTIAL as long as one of its
// children is not in the service network.
func (c *Control) resourceAssociationStatus(v catalog.View, r *lattice.ResourceConfiguration, a *lattice.ServiceNetworkResourceAssociation) shape.ServiceNetworkResourceAssociationStatus {
	now := c.now()
	status := a.Lifecycle.Status(now)
	if status != lattice.StatusActive || !r.IsGroup() {
		return shape.ServiceNetworkResourceAssociationStatus(status)
	}
	for child := range catalog.All[*lattice.ResourceConfiguration](v, childrenOf(r)) {
		key, held := v.Holder(lattice.ResourceAssociationClaim(a.Scope, a.ServiceNetworkID, child.ID))
		if !held {
			return shape.ServiceNetworkResourceAssociationStatusPartial
		}
		if own, _ := catalog.Get[*lattice.ServiceNetworkResourceAssociation](v, key); own.Lifecycle.Status(now) != lattice.StatusActive {
			return shape.ServiceNetworkResourceAssociationStatusPartial
		}
	}
	return shape.ServiceNetworkResourceAssociationStatusActive
}

func summariseResourceAssociation(a *shape.GetServiceNetworkResourceAssociationResponse) shape.ServiceNetworkResourceAssociationSummary {
	return shape.ServiceNetworkResourceAssociationSummary{
		Arn:                       a.Arn,
		CreatedAt:                 a.CreatedAt,
		CreatedBy:                 a.CreatedBy,
		DnsEntry:                  a.DnsEntry,
		FailureCode:               a.FailureCode,
		Id:                        a.Id,
		IsManagedAssociation:      a.IsManagedAssociation,
		PrivateDnsEnabled:         a.PrivateDnsEnabled,
		PrivateDnsEntry:           a.PrivateDnsEntry,
		ResourceConfigurationArn:  a.ResourceConfigurationArn,
		ResourceConfigurationId:   a.ResourceConfigurationId,
		ResourceConfigurationName: a.ResourceConfigurationName,
		ServiceNetworkArn:         a.ServiceNetworkArn,
		ServiceNetworkId:          a.ServiceNetworkId,
		ServiceNetworkName:        a.ServiceNetworkName,
		Status:                    a.Status,
	}
}
