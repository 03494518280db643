// Package amazon reads what an account of AWS has in VPC Lattice, and writes it as a document that trellis import takes. It calls
// nothing but Get and List operations, one after another, with the credentials, profiles and endpoints that AWS's tools find in
// the environment: any service that speaks the API will do.
//
// The document lacks what the API does not say (keys of certificates, the code of functions, where instances are), and what belongs
// to other accounts. Notes say so.
package amazon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/internal/awserror"
	"trellis/internal/lattice"
)

// Config says what to read.
type Config struct {
	// Region may be empty, for the one that AWS's tools would use.
	Region string
	// Mapping says where AWS's targets are in the new network.
	Mapping Mapping
	// Progress is called with the name of what is being read.
	Progress func(format string, args ...any)
}

// Network is what has been read.
type Network struct {
	Document []byte
	// Notes are what the document lacks.
	Notes []string
}

// ErrNoRegion is the error when nothing names a Region.
var ErrNoRegion = errors.New("no Region is given: give --region, AWS_REGION or a profile that has one")

// Read reads the network of the caller's account in a Region.
func Read(ctx context.Context, cfg Config) (*Network, error) {
	// Adaptive: it slows down before the account's other callers are throttled.
	options := []func(*config.LoadOptions) error{config.WithRetryMode(aws.RetryModeAdaptive)}
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	}
	shared, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of AWS's tools: %w", err)
	}
	if shared.Region == "" {
		return nil, ErrNoRegion
	}
	r := &reader{
		client: vpclattice.NewFromConfig(shared), region: shared.Region, mapping: cfg.Mapping, progress: cfg.Progress,
		used: map[string]bool{}, renamed: map[string]string{}, lacking: map[string]bool{},
	}
	if credentials, err := shared.Credentials.Retrieve(ctx); err == nil {
		r.account = credentials.AccountID // Some sources of credentials know it. An error shows at the first call.
	}
	if err := r.read(ctx); err != nil {
		return nil, awserror.Plain(err)
	}
	document, err := r.document()
	if err != nil {
		return nil, err
	}
	return &Network{document, r.notes()}, nil
}

// reader reads one account in one Region.
type reader struct {
	client   *vpclattice.Client
	region   string
	account  string
	mapping  Mapping
	progress func(format string, args ...any)

	sections     []section
	used         map[string]bool   // the entries of mapping that were used
	renamed      map[string]string // ids that do not have AWS's form
	lacking      map[string]bool   // operations that the service does not have
	foreign      []string          // ARNs of what others share, and names of what refers to it
	certificates []string
	functions    []string
	hosts        []string // instances and load balancers
	vpcs         []string
}

// read reads everything, lists first: their ARNs tell whose the account is.
func (r *reader) read(ctx context.Context) error {
	found := found{}
	for _, kind := range []struct {
		name string
		into *[]object
		list func() ([]object, error)
	}{
		{"target groups", &found.targetGroups, func() ([]object, error) {
			in := &vpclattice.ListTargetGroupsInput{}
			return list(ctx, r, r.client.ListTargetGroups, in, &in.NextToken)
		}},
		{"resource gateways", &found.gateways, func() ([]object, error) {
			in := &vpclattice.ListResourceGatewaysInput{}
			return list(ctx, r, r.client.ListResourceGateways, in, &in.NextToken)
		}},
		{"domain verifications", &found.verifications, func() ([]object, error) {
			in := &vpclattice.ListDomainVerificationsInput{}
			return list(ctx, r, r.client.ListDomainVerifications, in, &in.NextToken)
		}},
		{"services", &found.services, func() ([]object, error) {
			in := &vpclattice.ListServicesInput{}
			return list(ctx, r, r.client.ListServices, in, &in.NextToken)
		}},
		{"service networks", &found.networks, func() ([]object, error) {
			in := &vpclattice.ListServiceNetworksInput{}
			return list(ctx, r, r.client.ListServiceNetworks, in, &in.NextToken)
		}},
		{"resource configurations", &found.configurations, func() ([]object, error) {
			in := &vpclattice.ListResourceConfigurationsInput{}
			return list(ctx, r, r.client.ListResourceConfigurations, in, &in.NextToken)
		}},
	} {
		r.progress("reading %s", kind.name)
		var err error
		if *kind.into, err = kind.list(); err != nil {
			return err
		}
	}
	if err := r.own(&found); err != nil {
		return err
	}
	for _, part := range []struct {
		name  string
		items []object
		read  func(context.Context, object) error
	}{
		{"target group", found.targetGroups, r.targetGroup},
		{"domain verification", found.verifications, r.domainVerification},
		{"resource gateway", found.gateways, r.resourceGateway},
		{"resource configuration", found.configurations, r.resourceConfiguration},
		{"service", found.services, r.service},
		{"service network", found.networks, r.serviceNetwork},
	} {
		for i, item := range part.items {
			r.progress("reading %s %d of %d", part.name, i+1, len(part.items))
			if err := part.read(ctx, item); err != nil {
				return err
			}
		}
	}
	return nil
}

// found is what lists of whole accounts have.
type found struct {
	targetGroups, gateways, verifications, services, networks, configurations []object
}

// own finds out whose the account is, and leaves out what others share with it. Target groups, resource gateways and domain
// verifications cannot be shared.
func (r *reader) own(f *found) error {
	owners := func(lists ...[]object) (accounts []string) {
		for _, item := range slices.Concat(lists...) {
			if arn, ok := lattice.ParseARN(item.text("arn")); ok && !slices.Contains(accounts, arn.Scope.Account) {
				accounts = append(accounts, arn.Scope.Account)
			}
		}
		return accounts
	}
	if r.account == "" {
		candidates := owners(f.targetGroups, f.gateways, f.verifications)
		if len(candidates) == 0 {
			candidates = owners(f.services, f.networks, f.configurations)
		}
		switch len(candidates) {
		case 0:
			return fmt.Errorf("the account has nothing in VPC Lattice in %s", r.region)
		case 1:
			r.account = candidates[0]
		default:
			return fmt.Errorf("there are resources of the accounts %v, and nothing tells which of them is the caller's: give AWS_ACCOUNT_ID", candidates)
		}
	}
	for _, items := range []*[]object{&f.services, &f.networks, &f.configurations} {
		*items = slices.DeleteFunc(*items, func(item object) bool {
			arn, ok := lattice.ParseARN(item.text("arn"))
			if ok && arn.Scope.Account != r.account {
				r.foreign = append(r.foreign, item.text("arn"))
				return true
			}
			return false
		})
	}
	return nil
}
