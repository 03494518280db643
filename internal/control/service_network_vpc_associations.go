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

// CreateServiceNetworkVpcAssociation lets the clients in a VPC reach a service network.
func (c *Control) CreateServiceNetworkVpcAssociation(ctx context.Context, caller api.Caller, in *shape.CreateServiceNetworkVpcAssociationRequest) (*shape.CreateServiceNetworkVpcAssociationResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	return create(ctx, c, caller, "CreateServiceNetworkVpcAssociation", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateServiceNetworkVpcAssociationResponse, error) {
		n, err := find[*lattice.ServiceNetwork](tx, caller, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
		if err != nil {
			return nil, err
		}
		a := &lattice.ServiceNetworkVpcAssociation{
			Base:              c.newBase(caller, lattice.KindServiceNetworkVpcAssociation, nil, in.Tags),
			ServiceNetworkID:  n.ID,
			VpcID:             *in.VpcIdentifier,
			SecurityGroupIDs:  in.SecurityGroupIds,
			PrivateDNSEnabled: in.PrivateDnsEnabled,
			DNSOptions:        in.DnsOptions,
		}
		if err := checkDNSOptions(a); err != nil {
			return nil, err
		}
		if err := c.checkVpcIsFree(tx, a); err != nil {
			return nil, err
		}
		existing := tx.Count(lattice.By(lattice.KindServiceNetworkVpcAssociation, n.Scope, "servicenetwork", n.ID))
		if err := c.checkQuota(lattice.QuotaVpcAssociationsPerServiceNetwork, existing+1, lattice.KindServiceNetwork, n.ID); err != nil {
			return nil, err
		}
		tx.Put(a)
		out := c.vpcAssociation(tx, a)
		return &shape.CreateServiceNetworkVpcAssociationResponse{
			Arn:               out.Arn,
			CreatedBy:         out.CreatedBy,
			DnsOptions:        out.DnsOptions,
			Id:                out.Id,
			PrivateDnsEnabled: out.PrivateDnsEnabled,
			SecurityGroupIds:  out.SecurityGroupIds,
			Status:            shape.ServiceNetworkVpcAssociationStatusCreateInProgress,
		}, nil
	})
}

// checkVpcIsFree refuses a VPC that is associated already, with whichever service network (UG quotas).
func (c *Control) checkVpcIsFree(tx *catalog.Tx, a *lattice.ServiceNetworkVpcAssociation) error {
	key, held := tx.Holder(a.VpcClaim())
	if !held {
		return nil
	}
	first, _ := catalog.Get[*lattice.ServiceNetworkVpcAssociation](tx, key)
	if err := requireActive(first, c.now()); err != nil {
		return err
	}
	return api.Conflict(resourceTypes[key.Kind], first.ID, fmt.Sprintf(
		"VPC %s is already associated with service network %s, by %s. A VPC can be associated with one service network only.", a.VpcID, first.ServiceNetworkID, first.ID))
}

// everyDomain is what is shown as the specified domains of a preference that takes none.
const everyDomain = "*"

// checkDNSOptions checks that the DNS options belong together (API DnsOptions; A-051).
func checkDNSOptions(a *lattice.ServiceNetworkVpcAssociation) error {
	options := a.DNSOptions
	if options == nil {
		return nil
	}
	if !value(a.PrivateDNSEnabled) {
		return api.Rejected("dnsOptions are supported only if privateDnsEnabled is true.")
	}
	wants := options.PrivateDnsPreference == shape.PrivateDnsPreferenceVerifiedDomainsAndSpecifiedDomains ||
		options.PrivateDnsPreference == shape.PrivateDnsPreferenceSpecifiedDomainsOnly
	has := len(options.PrivateDnsSpecifiedDomains) > 0
	if !wants && options.PrivateDnsPreference != "" && slices.Equal(options.PrivateDnsSpecifiedDomains, []string{everyDomain}) {
		has = false // A client may send back what it was shown.
	}
	switch {
	case has && !wants:
		return api.Rejected("privateDnsSpecifiedDomains are supported only if privateDnsPreference is VERIFIED_DOMAINS_AND_SPECIFIED_DOMAINS or SPECIFIED_DOMAINS_ONLY.")
	case wants && !has:
		return api.Rejected(fmt.Sprintf("The privateDnsPreference %s needs privateDnsSpecifiedDomains.", options.PrivateDnsPreference))
	}
	return nil
}

// GetServiceNetworkVpcAssociation returns the association of a VPC.
func (c *Control) GetServiceNetworkVpcAssociation(_ context.Context, caller api.Caller, in *shape.GetServiceNetworkVpcAssociationRequest) (*shape.GetServiceNetworkVpcAssociationResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetServiceNetworkVpcAssociationResponse, error) {
		a, err := find[*lattice.ServiceNetworkVpcAssociation](v, caller, lattice.KindServiceNetworkVpcAssociation, in.ServiceNetworkVpcAssociationIdentifier)
		if err != nil {
			return nil, err
		}
		return c.vpcAssociation(v, a), nil
	})
}

// ListServiceNetworkVpcAssociations lists the associations of a service network or of a VPC, or of both: that is at
// most one.
func (c *Control) ListServiceNetworkVpcAssociations(_ context.Context, caller api.Caller, in *shape.ListServiceNetworkVpcAssociationsRequest) (*shape.ListServiceNetworkVpcAssociationsResponse, error) {
	q := newQuery("ListServiceNetworkVpcAssociations", lattice.Index{}, in.MaxResults, in.NextToken)
	vpc := joined{member: "vpcIdentifier", identifier: in.VpcIdentifier, property: "vpc"}
	if err := q.ofAssociations(caller, lattice.KindServiceNetworkVpcAssociation, in.ServiceNetworkIdentifier, "servicenetwork", vpc); err != nil {
		return nil, err
	}
	return read(c, func(v catalog.View) (*shape.ListServiceNetworkVpcAssociationsResponse, error) {
		items, next, err := page(v, q, func(a *lattice.ServiceNetworkVpcAssociation) (shape.ServiceNetworkVpcAssociationSummary, bool) {
			if !admits(q.Filter, a.ServiceNetworkID) {
				return shape.ServiceNetworkVpcAssociationSummary{}, false
			}
			return summariseVpcAssociation(c.vpcAssociation(v, a)), true
		})
		return &shape.ListServiceNetworkVpcAssociationsResponse{Items: items, NextToken: next}, err
	})
}

// UpdateServiceNetworkVpcAssociation replaces the given members. With none given it changes nothing.
func (c *Control) UpdateServiceNetworkVpcAssociation(ctx context.Context, caller api.Caller, in *shape.UpdateServiceNetworkVpcAssociationRequest) (*shape.UpdateServiceNetworkVpcAssociationResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.UpdateServiceNetworkVpcAssociationResponse, error) {
		a, err := find[*lattice.ServiceNetworkVpcAssociation](tx, caller, lattice.KindServiceNetworkVpcAssociation, in.ServiceNetworkVpcAssociationIdentifier)
		if err != nil {
			return nil, err
		}
		if err := requireUpdatable(a, c.now()); err != nil {
			return nil, err
		}
		status := shape.ServiceNetworkVpcAssociationStatus(a.Lifecycle.Status(c.now()))
		if in.SecurityGroupIds != nil || in.PrivateDnsEnabled != nil || in.DnsOptions != nil {
			a, status = c.updateVpcAssociation(a, in), shape.ServiceNetworkVpcAssociationStatusUpdateInProgress
			if err := checkDNSOptions(a); err != nil {
				return nil, err
			}
			tx.Put(a)
		}
		full := c.vpcAssociation(tx, a)
		return &shape.UpdateServiceNetworkVpcAssociationResponse{
			Arn:               full.Arn,
			CreatedBy:         full.CreatedBy,
			DnsOptions:        full.DnsOptions,
			Id:                full.Id,
			PrivateDnsEnabled: full.PrivateDnsEnabled,
			SecurityGroupIds:  full.SecurityGroupIds,
			Status:            status,
		}, nil
	})
}

// updateVpcAssociation returns the association as an update leaves it. The list of security groups never becomes
// empty again, since the model wants at least one in an update. Disabling private DNS drops the options that only
// it has, unless the update names some, which is refused.
func (c *Control) updateVpcAssociation(a *lattice.ServiceNetworkVpcAssociation, in *shape.UpdateServiceNetworkVpcAssociationRequest) *lattice.ServiceNetworkVpcAssociation {
	now := c.now()
	a = updated(a, now)
	a.Lifecycle = lattice.Lifecycle{Phase: lattice.PhaseUpdate, Until: now.Add(c.LifecycleDelay)}
	if in.SecurityGroupIds != nil {
		a.SecurityGroupIDs = in.SecurityGroupIds
	}
	if in.PrivateDnsEnabled != nil {
		a.PrivateDNSEnabled = in.PrivateDnsEnabled
	}
	if in.DnsOptions != nil || !value(a.PrivateDNSEnabled) {
		a.DNSOptions = in.DnsOptions
	}
	return a
}

// DeleteServiceNetworkVpcAssociation takes a VPC from a service network.
func (c *Control) DeleteServiceNetworkVpcAssociation(ctx context.Context, caller api.Caller, in *shape.DeleteServiceNetworkVpcAssociationRequest) (*shape.DeleteServiceNetworkVpcAssociationResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteServiceNetworkVpcAssociationResponse, error) {
		a, err := find[*lattice.ServiceNetworkVpcAssociation](tx, caller, lattice.KindServiceNetworkVpcAssociation, in.ServiceNetworkVpcAssociationIdentifier)
		if err != nil {
			return nil, err
		}
		if err := requireDeletable(a, c.now()); err != nil {
			return nil, err
		}
		return &shape.DeleteServiceNetworkVpcAssociationResponse{
			Arn:    ptr(a.ARN()),
			Id:     ptr(a.ID),
			Status: shape.ServiceNetworkVpcAssociationStatus(c.remove(tx, a)),
		}, nil
	})
}

// vpcAssociation returns all that the API shows of the association of a VPC. The service network cannot have been
// deleted, since the association refers to it.
func (c *Control) vpcAssociation(v catalog.View, a *lattice.ServiceNetworkVpcAssociation) *shape.GetServiceNetworkVpcAssociationResponse {
	n, _ := catalog.Get[*lattice.ServiceNetwork](v, lattice.ServiceNetworkKey(a.Scope, a.ServiceNetworkID))
	failureCode, failureMessage := a.Lifecycle.Failure(c.now())
	return &shape.GetServiceNetworkVpcAssociationResponse{
		Arn:                ptr(a.ARN()),
		CreatedAt:          shape.NewTime(a.CreatedAt),
		CreatedBy:          ptr(a.Scope.Account),
		DnsOptions:         shownDNSOptions(a.DNSOptions),
		FailureCode:        present(failureCode),
		FailureMessage:     present(failureMessage),
		Id:                 ptr(a.ID),
		LastUpdatedAt:      shape.NewTime(a.UpdatedAt),
		PrivateDnsEnabled:  ptr(value(a.PrivateDNSEnabled)),
		SecurityGroupIds:   append([]string{}, a.SecurityGroupIDs...), // an empty list is shown
		ServiceNetworkArn:  ptr(n.ARN()),
		ServiceNetworkId:   ptr(n.ID),
		ServiceNetworkName: ptr(n.Name),
		Status:             shape.ServiceNetworkVpcAssociationStatus(a.Lifecycle.Status(c.now())),
		VpcId:              ptr(a.VpcID),
	}
}

// shownDNSOptions returns DNS options as AWS shows them: an empty structure if there are none, and a star for the
// preferences that are about all names (hashicorp/terraform-provider-aws pull request 45619).
func shownDNSOptions(stored *shape.DnsOptions) *shape.DnsOptions {
	var options shape.DnsOptions
	if stored != nil {
		options = *stored
	}
	switch options.PrivateDnsPreference {
	case shape.PrivateDnsPreferenceVerifiedDomainsOnly, shape.PrivateDnsPreferenceAllDomains:
		options.PrivateDnsSpecifiedDomains = []string{everyDomain}
	}
	return &options
}

func summariseVpcAssociation(a *shape.GetServiceNetworkVpcAssociationResponse) shape.ServiceNetworkVpcAssociationSummary {
	return shape.ServiceNetworkVpcAssociationSummary{
		Arn:                a.Arn,
		CreatedAt:          a.CreatedAt,
		CreatedBy:          a.CreatedBy,
		DnsOptions:         a.DnsOptions,
		Id:                 a.Id,
		LastUpdatedAt:      a.LastUpdatedAt,
		PrivateDnsEnabled:  a.PrivateDnsEnabled,
		ServiceNetworkArn:  a.ServiceNetworkArn,
		ServiceNetworkId:   a.ServiceNetworkId,
		ServiceNetworkName: a.ServiceNetworkName,
		Status:             a.Status,
		VpcId:              a.VpcId,
	}
}
