package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// CreateService creates a service and generates its host name.
func (c *Control) CreateService(ctx context.Context, caller api.Caller, in *shape.CreateServiceRequest) (*shape.CreateServiceResponse, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := checkCertificate(caller, in.CertificateArn); err != nil {
		return nil, err
	}
	return create(ctx, c, caller, "CreateService", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateServiceResponse, error) {
		s := &lattice.Service{
			Base:               c.newBase(caller, lattice.KindService, in.Name, in.Tags),
			AuthType:           cmp.Or(in.AuthType, shape.AuthTypeNone),
			CustomDomainName:   value(in.CustomDomainName),
			CertificateARN:     value(in.CertificateArn),
			IdleTimeoutSeconds: cmp.Or(value(in.IdleTimeoutSeconds), lattice.DefaultIdleTimeoutSeconds),
		}
		s.DomainName = lattice.GeneratedDomainName(s.Name, s.ID, s.Scope.Region, c.Domain)
		if err := checkCustomDomain(s); err != nil {
			return nil, err
		}
		if err := checkNameIsFree(tx, s); err != nil {
			return nil, err
		}
		if err := c.checkIndexQuota(tx, lattice.QuotaServicesPerRegion, lattice.All(lattice.KindService, s.Scope), ""); err != nil {
			return nil, err
		}
		tx.Put(s)
		out := c.service(s)
		return &shape.CreateServiceResponse{
			Arn:                out.Arn,
			AuthType:           out.AuthType,
			CertificateArn:     out.CertificateArn,
			CustomDomainName:   out.CustomDomainName,
			DnsEntry:           out.DnsEntry,
			Id:                 out.Id,
			IdleTimeoutSeconds: out.IdleTimeoutSeconds,
			Name:               out.Name,
			Status:             shape.ServiceStatusCreateInProgress,
		}, nil
	})
}

// GetService returns a service.
func (c *Control) GetService(_ context.Context, caller api.Caller, in *shape.GetServiceRequest) (*shape.GetServiceResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetServiceResponse, error) {
		s, err := find[*lattice.Service](v, caller, lattice.KindService, in.ServiceIdentifier)
		if err != nil {
			return nil, err
		}
		return c.service(s), nil
	})
}

// ListServices lists the caller's services.
func (c *Control) ListServices(_ context.Context, caller api.Caller, in *shape.ListServicesRequest) (*shape.ListServicesResponse, error) {
	q := newQuery("ListServices", lattice.All(lattice.KindService, caller.Scope()), in.MaxResults, in.NextToken)
	return read(c, func(v catalog.View) (*shape.ListServicesResponse, error) {
		items, next, err := page(v, q, func(s *lattice.Service) (shape.ServiceSummary, bool) {
			full := c.service(s)
			return shape.ServiceSummary{
				Arn:              full.Arn,
				CreatedAt:        full.CreatedAt,
				CustomDomainName: full.CustomDomainName,
				DnsEntry:         full.DnsEntry,
				Id:               full.Id,
				LastUpdatedAt:    full.LastUpdatedAt,
				Name:             full.Name,
				Status:           full.Status,
			}, true
		})
		return &shape.ListServicesResponse{Items: items, NextToken: next}, err
	})
}

// UpdateService changes the given members at once: there is no status for an update in progress. With no member
// given it changes nothing.
func (c *Control) UpdateService(ctx context.Context, caller api.Caller, in *shape.UpdateServiceRequest) (*shape.UpdateServiceResponse, error) {
	if err := checkCertificate(caller, in.CertificateArn); err != nil {
		return nil, err
	}
	return change(ctx, c, func(tx *catalog.Tx) (*shape.UpdateServiceResponse, error) {
		s, err := find[*lattice.Service](tx, caller, lattice.KindService, in.ServiceIdentifier)
		if err != nil {
			return nil, err
		}
		if err := requireActive(s, c.now()); err != nil {
			return nil, err
		}
		if in.AuthType != "" || in.CertificateArn != nil || in.IdleTimeoutSeconds != nil {
			s = updated(s, c.now())
			s.AuthType = cmp.Or(in.AuthType, s.AuthType)
			s.IdleTimeoutSeconds = cmp.Or(value(in.IdleTimeoutSeconds), s.IdleTimeoutSeconds)
			if in.CertificateArn != nil {
				s.CertificateARN = *in.CertificateArn
			}
			if err := checkCustomDomain(s); err != nil {
				return nil, err
			}
			tx.Put(s)
		}
		full := c.service(s)
		return &shape.UpdateServiceResponse{
			Arn:                full.Arn,
			AuthType:           full.AuthType,
			CertificateArn:     full.CertificateArn,
			CustomDomainName:   full.CustomDomainName,
			Id:                 full.Id,
			IdleTimeoutSeconds: full.IdleTimeoutSeconds,
			Name:               full.Name,
		}, nil
	})
}

// DeleteService deletes a service with its listeners and rules. It is refused while the service is associated with
// a service network, even if that association is being deleted (API DeleteService).
func (c *Control) DeleteService(ctx context.Context, caller api.Caller, in *shape.DeleteServiceRequest) (*shape.DeleteServiceResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteServiceResponse, error) {
		s, err := find[*lattice.Service](tx, caller, lattice.KindService, in.ServiceIdentifier)
		if err != nil {
			return nil, err
		}
		if err := requireDeletable(s, c.now()); err != nil {
			return nil, err
		}
		if tx.Count(lattice.By(lattice.KindServiceNetworkServiceAssociation, s.Scope, "service", s.ID)) > 0 {
			return nil, api.Conflict(resourceTypes[lattice.KindService], s.ID, fmt.Sprintf("Service %s has service network(s) associated", s.ID))
		}
		status := c.remove(tx, s)
		return &shape.DeleteServiceResponse{Arn: ptr(s.ARN()), Id: ptr(s.ID), Name: ptr(s.Name), Status: shape.ServiceStatus(status)}, nil
	})
}

// checkCustomDomain checks what belongs to a custom domain name: its form, and that there is one when there
// is a certificate, which is for it alone.
func checkCustomDomain(s *lattice.Service) error {
	if s.CustomDomainName == "" {
		if s.CertificateARN != "" {
			return api.Rejected("A certificate is for the custom domain name of a service, but the service has none.")
		}
		return nil
	}
	if problem := lattice.DomainNameProblem(s.CustomDomainName); problem != "" {
		return api.Invalid("customDomainName", fmt.Sprintf("The value at 'customDomainName' must be the name of a host. %s", problem))
	}
	return nil
}

// checkCertificate refuses a certificate of another account: otherwise anybody who knew its ARN could serve its names
//
func checkCertificate(caller api.Caller, arn *string) error {
	if value(arn) == "" {
		return nil
	}
	// The model's pattern makes the account the fifth part, which may be empty.
	if account := strings.Split(*arn, ":")[4]; account != caller.Account {
		return api.Invalid("certificateArn", fmt.Sprintf("Value '%s' at 'certificateArn' must be the ARN of a certificate of account %s.", *arn, caller.Account))
	}
	return nil
}

// checkNameIsFree refuses a custom domain name that belongs to another account. It does not tell the caller which
// account or service that is.
func checkNameIsFree(v catalog.View, s *lattice.Service) error {
	if s.CustomDomainName == "" {
		return nil
	}
	name := lattice.CanonicalDomainName(s.CustomDomainName)
	domain, verified := lattice.VerifiedBy(name, func(domain string) (accounts []string) {
		for d := range catalog.All[*lattice.DomainVerification](v, lattice.VerificationsOf(domain)) {
			accounts = append(accounts, d.Scope.Account)
		}
		return accounts
	})
	if len(verified) > 0 && !slices.Contains(verified, s.Scope.Account) {
		return api.Conflict(resourceTypeDomainName, s.CustomDomainName, fmt.Sprintf(
			"The custom domain name %s lies within the domain %s, which another account has verified. Verify a domain that covers the name with StartDomainVerification first.", s.CustomDomainName, domain))
	}
	var claimants []string
	for other := range catalog.All[*lattice.Service](v, lattice.ServicesNamed(name)) {
		claimants = append(claimants, other.Scope.Account)
	}
	if lattice.DomainNameOwner(append(claimants, s.Scope.Account), verified) == s.Scope.Account {
		return nil
	}
	message := fmt.Sprintf("The custom domain name %s is already in use by a service of another account", s.CustomDomainName)
	if len(verified) > 0 {
		message += ", which has verified the domain too."
	} else {
		message += ". If the domain is yours, verify it with StartDomainVerification first."
	}
	return api.Conflict(resourceTypeDomainName, s.CustomDomainName, message)
}

// service returns all that the API shows of a service.
func (c *Control) service(s *lattice.Service) *shape.GetServiceResponse {
	failureCode, failureMessage := s.Lifecycle.Failure(c.now())
	return &shape.GetServiceResponse{
		Arn:                ptr(s.ARN()),
		AuthType:           s.AuthType,
		CertificateArn:     present(s.CertificateARN),
		CreatedAt:          shape.NewTime(s.CreatedAt),
		CustomDomainName:   present(s.CustomDomainName),
		DnsEntry:           dnsEntry(s),
		FailureCode:        present(failureCode),
		FailureMessage:     present(failureMessage),
		Id:                 ptr(s.ID),
		IdleTimeoutSeconds: ptr(s.IdleTimeoutSeconds),
		LastUpdatedAt:      shape.NewTime(s.UpdatedAt),
		Name:               ptr(s.Name),
		Status:             shape.ServiceStatus(s.Lifecycle.Status(c.now())),
	}
}

func dnsEntry(s *lattice.Service) *shape.DnsEntry {
	return &shape.DnsEntry{DomainName: ptr(s.DomainName), HostedZoneId: ptr(lattice.HostedZoneID)}
}
