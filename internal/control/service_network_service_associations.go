package control

import (
	"context"
	"fmt"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// CreateServiceNetworkServiceAssociation puts a service into a service network.
func (c *Control) CreateServiceNetworkServiceAssociation(ctx context.Context, caller api.Caller, in *shape.CreateServiceNetworkServiceAssociationRequest) (*shape.CreateServiceNetworkServiceAssociationResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	return create(ctx, c, caller, "CreateServiceNetworkServiceAssociation", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateServiceNetworkServiceAssociationResponse, error) {
		n, err := find[*lattice.ServiceNetwork](tx, caller, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
		if err != nil {
			return nil, err
		}
		s, err := find[*lattice.Service](tx, caller, lattice.KindService, in.ServiceIdentifier)
		if err != nil {
			return nil, err
		}
		a := &lattice.ServiceNetworkServiceAssociation{
			Base:             c.newBase(caller, lattice.KindServiceNetworkServiceAssociation, nil, in.Tags),
			ServiceID:        s.ID,
			ServiceNetworkID: n.ID,
			CustomDomainName: s.CustomDomainName,
		}
		// An existing association is reported before anything else: a client that repeats its call wants to know its state.
		if err := c.checkServiceAssociation(tx, a); err != nil {
			return nil, err
		}
		if err := requireActive(s, c.now()); err != nil {
			return nil, err
		}
		existing := tx.Count(lattice.By(lattice.KindServiceNetworkServiceAssociation, n.Scope, "servicenetwork", n.ID))
		if err := c.checkQuota(lattice.QuotaServiceAssociationsPerServiceNetwork, existing+1, lattice.KindServiceNetwork, n.ID); err != nil {
			return nil, err
		}
		tx.Put(a)
		out := c.serviceAssociation(tx, a)
		return &shape.CreateServiceNetworkServiceAssociationResponse{
			Arn:              out.Arn,
			CreatedBy:        out.CreatedBy,
			CustomDomainName: out.CustomDomainName,
			DnsEntry:         out.DnsEntry,
			Id:               out.Id,
			Status:           shape.ServiceNetworkServiceAssociationStatusCreateInProgress,
		}, nil
	})
}

// checkServiceAssociation refuses a second association of a service with a service network, and a second service with the
// same custom domain name in it. While the first association is being created or deleted, the message names its status: the
// Gateway API controller retries when it finds CREATE_IN_PROGRESS there (github.com/aws/aws-application-networking-k8s,
// pkg/deploy/lattice/service_manager.go).
func (c *Control) checkServiceAssociation(tx *catalog.Tx, a *lattice.ServiceNetworkServiceAssociation) error {
	if key, held := tx.Holder(a.PairClaim()); held {
		first, _ := catalog.Get[*lattice.ServiceNetworkServiceAssociation](tx, key)
		if err := requireActive(first, c.now()); err != nil {
			return err
		}
		return associationExists(first)
	}
	claim, ok := a.DomainClaim()
	if !ok {
		return nil
	}
	if key, held := tx.Holder(claim); held {
		first, _ := catalog.Get[*lattice.ServiceNetworkServiceAssociation](tx, key)
		return api.Conflict(resourceTypes[key.Kind], first.ID,
			fmt.Sprintf("Service network %s already has a service with the custom domain name %s: %s, by %s.", a.ServiceNetworkID, a.CustomDomainName, first.ServiceID, first.ID))
	}
	return nil
}

// GetServiceNetworkServiceAssociation returns the association of a service.
func (c *Control) GetServiceNetworkServiceAssociation(_ context.Context, caller api.Caller, in *shape.GetServiceNetworkServiceAssociationRequest) (*shape.GetServiceNetworkServiceAssociationResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetServiceNetworkServiceAssociationResponse, error) {
		a, err := find[*lattice.ServiceNetworkServiceAssociation](v, caller, lattice.KindServiceNetworkServiceAssociation, in.ServiceNetworkServiceAssociationIdentifier)
		if err != nil {
			return nil, err
		}
		return c.serviceAssociation(v, a), nil
	})
}

// ListServiceNetworkServiceAssociations lists the associations of a service network or of a service, or of both:
// that is at most one.
func (c *Control) ListServiceNetworkServiceAssociations(_ context.Context, caller api.Caller, in *shape.ListServiceNetworkServiceAssociationsRequest) (*shape.ListServiceNetworkServiceAssociationsResponse, error) {
	q := newQuery("ListServiceNetworkServiceAssociations", lattice.Index{}, in.MaxResults, in.NextToken)
	service := joined{"serviceIdentifier", in.ServiceIdentifier, lattice.KindService, "service"}
	if err := q.ofAssociations(caller, lattice.KindServiceNetworkServiceAssociation, in.ServiceNetworkIdentifier, "servicenetwork", service); err != nil {
		return nil, err
	}
	return read(c, func(v catalog.View) (*shape.ListServiceNetworkServiceAssociationsResponse, error) {
		items, next, err := page(v, q, func(a *lattice.ServiceNetworkServiceAssociation) (shape.ServiceNetworkServiceAssociationSummary, bool) {
			if !admits(q.Filter, a.ServiceNetworkID) {
				return shape.ServiceNetworkServiceAssociationSummary{}, false
			}
			return summariseServiceAssociation(c.serviceAssociation(v, a)), true
		})
		return &shape.ListServiceNetworkServiceAssociationsResponse{Items: items, NextToken: next}, err
	})
}

// DeleteServiceNetworkServiceAssociation takes a service out of a service network.
func (c *Control) DeleteServiceNetworkServiceAssociation(ctx context.Context, caller api.Caller, in *shape.DeleteServiceNetworkServiceAssociationRequest) (*shape.DeleteServiceNetworkServiceAssociationResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteServiceNetworkServiceAssociationResponse, error) {
		a, err := find[*lattice.ServiceNetworkServiceAssociation](tx, caller, lattice.KindServiceNetworkServiceAssociation, in.ServiceNetworkServiceAssociationIdentifier)
		if err != nil {
			return nil, err
		}
		if err := requireDeletable(a, c.now()); err != nil {
			return nil, err
		}
		return &shape.DeleteServiceNetworkServiceAssociationResponse{
			Arn:    ptr(a.ARN()),
			Id:     ptr(a.ID),
			Status: shape.ServiceNetworkServiceAssociationStatus(c.remove(tx, a)),
		}, nil
	})
}

// serviceAssociation returns all that the API shows of the association of a service. Neither the service nor the
// service network can have been deleted, since the association refers to them.
func (c *Control) serviceAssociation(v catalog.View, a *lattice.ServiceNetworkServiceAssociation) *shape.GetServiceNetworkServiceAssociationResponse {
	s, _ := catalog.Get[*lattice.Service](v, lattice.ServiceKey(a.Scope, a.ServiceID))
	n, _ := catalog.Get[*lattice.ServiceNetwork](v, lattice.ServiceNetworkKey(a.Scope, a.ServiceNetworkID))
	failureCode, failureMessage := a.Lifecycle.Failure(c.now())
	return &shape.GetServiceNetworkServiceAssociationResponse{
		Arn:                ptr(a.ARN()),
		CreatedAt:          shape.NewTime(a.CreatedAt),
		CreatedBy:          ptr(a.Scope.Account),
		CustomDomainName:   present(a.CustomDomainName),
		DnsEntry:           dnsEntry(s),
		FailureCode:        present(failureCode),
		FailureMessage:     present(failureMessage),
		Id:                 ptr(a.ID),
		ServiceArn:         ptr(s.ARN()),
		ServiceId:          ptr(s.ID),
		ServiceName:        ptr(s.Name),
		ServiceNetworkArn:  ptr(n.ARN()),
		ServiceNetworkId:   ptr(n.ID),
		ServiceNetworkName: ptr(n.Name),
		Status:             shape.ServiceNetworkServiceAssociationStatus(a.Lifecycle.Status(c.now())),
	}
}

func summariseServiceAssociation(a *shape.GetServiceNetworkServiceAssociationResponse) shape.ServiceNetworkServiceAssociationSummary {
	return shape.ServiceNetworkServiceAssociationSummary{
		Arn:                a.Arn,
		CreatedAt:          a.CreatedAt,
		CreatedBy:          a.CreatedBy,
		CustomDomainName:   a.CustomDomainName,
		DnsEntry:           a.DnsEntry,
		Id:                 a.Id,
		ServiceArn:         a.ServiceArn,
		ServiceId:          a.ServiceId,
		ServiceName:        a.ServiceName,
		ServiceNetworkArn:  a.ServiceNetworkArn,
		ServiceNetworkId:   a.ServiceNetworkId,
		ServiceNetworkName: a.ServiceNetworkName,
		Status:             a.Status,
	}
}
