package control

import (
	"context"
	"fmt"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// StartDomainVerification names the TXT record by which the caller can prove that a domain is theirs, and begins to
// look for it.
func (c *Control) StartDomainVerification(ctx context.Context, caller api.Caller, in *shape.StartDomainVerificationRequest) (*shape.StartDomainVerificationResponse, error) {
	problems := tagProblems(in.Tags)
	if problem := lattice.DomainNameProblem(*in.DomainName); problem != "" {
		problems = append(problems, lattice.FieldProblem{Field: "domainName", Message: fmt.Sprintf("The value at 'domainName' must be a domain name. %s", problem)})
	}
	if err := invalid(problems); err != nil {
		return nil, err
	}
	out, err := create(ctx, c, caller, "StartDomainVerification", in.ClientToken, in, func(tx *catalog.Tx) (*shape.StartDomainVerificationResponse, error) {
		d := &lattice.DomainVerification{
			Base:       c.newActiveBase(caller, lattice.KindDomainVerification, nil, in.Tags),
			DomainName: *in.DomainName,
		}
		d.TXTName, d.TXTValue = lattice.NewTXTRecord()
		if err := c.checkIndexQuota(tx, lattice.QuotaDomainVerificationsPerRegion, lattice.All(lattice.KindDomainVerification, d.Scope), ""); err != nil {
			return nil, err
		}
		tx.Put(d)
		full := c.domainVerification(d)
		return &shape.StartDomainVerificationResponse{
			Arn: full.Arn, DomainName: full.DomainName, Id: full.Id, Status: full.Status, TxtMethodConfig: full.TxtMethodConfig,
		}, nil
	})
	if err == nil {
		c.verifier.signal()
	}
	return out, err
}

// GetDomainVerification returns a domain verification.
func (c *Control) GetDomainVerification(_ context.Context, caller api.Caller, in *shape.GetDomainVerificationRequest) (*shape.GetDomainVerificationResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetDomainVerificationResponse, error) {
		d, err := find[*lattice.DomainVerification](v, caller, lattice.KindDomainVerification, in.DomainVerificationIdentifier)
		if err != nil {
			return nil, err
		}
		return c.domainVerification(d), nil
	})
}

// ListDomainVerifications lists the caller's domain verifications.
func (c *Control) ListDomainVerifications(_ context.Context, caller api.Caller, in *shape.ListDomainVerificationsRequest) (*shape.ListDomainVerificationsResponse, error) {
	q := newQuery("ListDomainVerifications", lattice.All(lattice.KindDomainVerification, caller.Scope()), in.MaxResults, in.NextToken)
	return read(c, func(v catalog.View) (*shape.ListDomainVerificationsResponse, error) {
		items, next, err := page(v, q, func(d *lattice.DomainVerification) (shape.DomainVerificationSummary, bool) {
			return shape.DomainVerificationSummary(*c.domainVerification(d)), true
		})
		return &shape.ListDomainVerificationsResponse{Items: items, NextToken: next}, err
	})
}

// DeleteDomainVerification deletes a domain verification that no resource configuration refers to. The model gives it
// no ConflictException.
func (c *Control) DeleteDomainVerification(ctx context.Context, caller api.Caller, in *shape.DeleteDomainVerificationRequest) (*shape.DeleteDomainVerificationResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteDomainVerificationResponse, error) {
		d, err := find[*lattice.DomainVerification](tx, caller, lattice.KindDomainVerification, in.DomainVerificationIdentifier)
		if err != nil {
			return nil, err
		}
		if tx.Count(lattice.By(lattice.KindResourceConfiguration, d.Scope, "domainverification", d.ID)) > 0 {
			return nil, api.Rejected(fmt.Sprintf("DomainVerification %s has existing association with resource configurations", d.ID))
		}
		c.end(tx, d)
		return &shape.DeleteDomainVerificationResponse{}, nil
	})
}

// domainVerification returns all that the API shows of a domain verification.
func (c *Control) domainVerification(d *lattice.DomainVerification) *shape.GetDomainVerificationResponse {
	out := &shape.GetDomainVerificationResponse{
		Arn:             ptr(d.ARN()),
		CreatedAt:       shape.NewTime(d.CreatedAt),
		DomainName:      ptr(d.DomainName),
		Id:              ptr(d.ID),
		Status:          d.Status(c.now()),
		Tags:            d.Tags,
		TxtMethodConfig: &shape.TxtMethodConfig{Name: ptr(d.TXTName), Value: ptr(d.TXTValue)},
	}
	if !d.VerifiedAt.IsZero() {
		out.LastVerifiedTime = shape.NewTime(d.VerifiedAt)
	}
	return out
}
