package control

import (
	"context"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/shape"
)

// PutResourcePolicy attaches a resource policy to a service, service network or resource configuration, and replaces an
// existing one.
func (c *Control) PutResourcePolicy(ctx context.Context, caller api.Caller, in *shape.PutResourcePolicyRequest) (*shape.PutResourcePolicyResponse, error) {
	if err := checkPolicy(*in.Policy, policy.ResourcePolicyRequirements()); err != nil {
		return nil, err
	}
	return change(ctx, c, func(tx *catalog.Tx) (*shape.PutResourcePolicyResponse, error) {
		resource, err := findAttachable(tx, caller, in.ResourceArn)
		if err != nil {
			return nil, err
		}
		p := &lattice.ResourcePolicy{AttachedPolicy: c.newAttachedPolicy(resource, *in.Policy)}
		if first, ok := catalog.Get[*lattice.ResourcePolicy](tx, p.Key()); ok {
			p.CreatedAt = first.CreatedAt
		}
		tx.Put(p)
		return &shape.PutResourcePolicyResponse{}, nil
	})
}

// GetResourcePolicy returns the resource policy of a resource. Without one, the member is absent: Terraform takes
// that for a policy that is gone (github.com/hashicorp/terraform-provider-aws, internal/service/vpclattice/resource_policy.go).
func (c *Control) GetResourcePolicy(_ context.Context, caller api.Caller, in *shape.GetResourcePolicyRequest) (*shape.GetResourcePolicyResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetResourcePolicyResponse, error) {
		resource, err := findAttachable(v, caller, in.ResourceArn)
		if err != nil {
			return nil, err
		}
		out := &shape.GetResourcePolicyResponse{}
		if p, ok := catalog.Get[*lattice.ResourcePolicy](v, lattice.ResourcePolicyKey(caller.Scope(), resource.Meta().ID)); ok {
			out.Policy = &p.Policy
		}
		return out, nil
	})
}

// DeleteResourcePolicy deletes the resource policy of a resource, if there is one.
func (c *Control) DeleteResourcePolicy(ctx context.Context, caller api.Caller, in *shape.DeleteResourcePolicyRequest) (*shape.DeleteResourcePolicyResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteResourcePolicyResponse, error) {
		resource, err := findAttachable(tx, caller, in.ResourceArn)
		if err != nil {
			return nil, err
		}
		tx.Delete(lattice.ResourcePolicyKey(caller.Scope(), resource.Meta().ID))
		return &shape.DeleteResourcePolicyResponse{}, nil
	})
}
