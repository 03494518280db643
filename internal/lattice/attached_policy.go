package lattice

import "time"

// AttachedPolicy is a policy document on a service, a service network or a resource configuration, of which there is
// one of each kind.
type AttachedPolicy struct {
	Scope Scope `json:"scope"`
	// ResourceID is the id of the resource that the policy is attached to. Its prefix tells the kind.
	ResourceID string `json:"resourceId"`
	// Policy is the document byte for byte as the client sent it.
	Policy    string    `json:"policy"`
	CreatedAt time.Time `json:"createdAt"`
	UpdatedAt time.Time `json:"lastUpdatedAt"`
}

func (p *AttachedPolicy) Indexes() []Index { return nil }
func (p *AttachedPolicy) Claims() []Claim  { return nil }

// AuthPolicy says who may send requests to a service, or to the services of a service network. It is in force while the auth
// type of its resource is AWS_IAM.
type AuthPolicy struct{ AttachedPolicy }

// AuthPolicyKey returns the key of the auth policy of a resource.
func AuthPolicyKey(scope Scope, resourceID string) Key { return Key{KindAuthPolicy, scope, resourceID} }

func (p *AuthPolicy) Key() Key { return AuthPolicyKey(p.Scope, p.ResourceID) }

// ResourcePolicy says which other accounts may use a resource, and for what.
type ResourcePolicy struct{ AttachedPolicy }

// ResourcePolicyKey returns the key of the resource policy of a resource.
func ResourcePolicyKey(scope Scope, resourceID string) Key {
	return Key{KindResourcePolicy, scope, resourceID}
}

func (p *ResourcePolicy) Key() Key { return ResourcePolicyKey(p.Scope, p.ResourceID) }
