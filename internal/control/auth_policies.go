package control

import (
	"context"
	"fmt"
	"strings"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/shape"
)

// maxAuthPolicyBytes is the quota of an auth policy (UG quotas), which cannot be raised. The model admits more. All
// bytes count, white space too.
const maxAuthPolicyBytes = 10 * 1024

// PutAuthPolicy attaches an auth policy to a service or service network, and replaces an existing one. It may have line
// breaks: API PutAuthPolicy forbids them, but the guide sends files that have them (UG auth-policies).
func (c *Control) PutAuthPolicy(ctx context.Context, caller api.Caller, in *shape.PutAuthPolicyRequest) (*shape.PutAuthPolicyResponse, error) {
	if size := len(*in.Policy); size > maxAuthPolicyBytes {
		return nil, api.Invalid("policy", fmt.Sprintf("An auth policy must have at most %d bytes; this one has %d.", maxAuthPolicyBytes, size))
	}
	if err := checkPolicy(*in.Policy, policy.AuthPolicyRequirements()); err != nil {
		return nil, err
	}
	return change(ctx, c, func(tx *catalog.Tx) (*shape.PutAuthPolicyResponse, error) {
		resource, err := findAttachable(tx, caller, in.ResourceIdentifier)
		if err != nil {
			return nil, err
		}
		if resource.Key().Kind == lattice.KindResourceConfiguration { // UG: auth policies are not for them.
			return nil, api.Rejected("Resource configurations are not subject to auth policies. Access to them is a matter of security groups and sharing.")
		}
		p := &lattice.AuthPolicy{AttachedPolicy: c.newAttachedPolicy(resource, *in.Policy)}
		if first, ok := catalog.Get[*lattice.AuthPolicy](tx, p.Key()); ok {
			p.CreatedAt = first.CreatedAt
		}
		tx.Put(p)
		return &shape.PutAuthPolicyResponse{Policy: in.Policy, State: authPolicyState(resource)}, nil
	})
}

// GetAuthPolicy returns the auth policy of a service or service network. Without one, all members are absent: Terraform
// takes that for a policy that is gone (github.com/hashicorp/terraform-provider-aws, internal/service/vpclattice/auth_policy.go).
func (c *Control) GetAuthPolicy(_ context.Context, caller api.Caller, in *shape.GetAuthPolicyRequest) (*shape.GetAuthPolicyResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetAuthPolicyResponse, error) {
		resource, err := findAttachable(v, caller, in.ResourceIdentifier)
		if err != nil {
			return nil, err
		}
		p, ok := catalog.Get[*lattice.AuthPolicy](v, lattice.AuthPolicyKey(caller.Scope(), resource.Meta().ID))
		if !ok {
			return &shape.GetAuthPolicyResponse{}, nil
		}
		return &shape.GetAuthPolicyResponse{
			CreatedAt:     shape.NewTime(p.CreatedAt),
			LastUpdatedAt: shape.NewTime(p.UpdatedAt),
			Policy:        &p.Policy,
			State:         authPolicyState(resource),
		}, nil
	})
}

// DeleteAuthPolicy deletes the auth policy of a service or service network, if there is one. With the
// authorization type AWS_IAM, everything is denied from then on (API DeleteAuthPolicy).
func (c *Control) DeleteAuthPolicy(ctx context.Context, caller api.Caller, in *shape.DeleteAuthPolicyRequest) (*shape.DeleteAuthPolicyResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteAuthPolicyResponse, error) {
		resource, err := findAttachable(tx, caller, in.ResourceIdentifier)
		if err != nil {
			return nil, err
		}
		tx.Delete(lattice.AuthPolicyKey(caller.Scope(), resource.Meta().ID))
		return &shape.DeleteAuthPolicyResponse{}, nil
	})
}

// authPolicyState returns whether a resource's policy is in force, which its authorization type decides (API PutAuthPolicy).
func authPolicyState(resource lattice.Resource) shape.AuthPolicyState {
	var authType shape.AuthType
	switch r := resource.(type) {
	case *lattice.Service:
		authType = r.AuthType
	case *lattice.ServiceNetwork:
		authType = r.AuthType
	}
	if authType == shape.AuthTypeAwsIam {
		return shape.AuthPolicyStateActive
	}
	return shape.AuthPolicyStateInactive
}

// newAttachedPolicy returns a policy that is being attached to a resource.
func (c *Control) newAttachedPolicy(resource lattice.Resource, text string) lattice.AttachedPolicy {
	now := c.now()
	return lattice.AttachedPolicy{
		Scope: resource.Meta().Scope, ResourceID: resource.Meta().ID, Policy: text, CreatedAt: now, UpdatedAt: now,
	}
}

// checkPolicy refuses a text that is not a policy, or that does not meet the requirements, and names every problem.
func checkPolicy(text string, requirements policy.Requirements) error {
	document, err := policy.Parse(text)
	if err == nil {
		err = document.Require(requirements)
	}
	if err == nil {
		return nil
	}
	return api.Invalid("policy", "The policy is not valid: "+strings.ReplaceAll(err.Error(), "\n", "; ")+".")
}
