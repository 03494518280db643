package lattice

// ResourceEndpointAssociation connects a VPC endpoint with a resource configuration. The endpoint itself is not kept
// here: it is in the inventory, and the association is shown as long as the endpoint is there.
type ResourceEndpointAssociation struct {
	Base
	ResourceConfigurationID string `json:"resourceConfigurationId"`
	VpcEndpointID           string `json:"vpcEndpointId"`
	VpcEndpointOwner        string `json:"vpcEndpointOwner"`
	// AddressNumber is the number of the address at which clients reach the resource through the endpoint. See
	// ResourceAddressClaim.
	AddressNumber uint32 `json:"addressNumber,omitempty"`
}

// ResourceEndpointAssociationKey returns the key of an endpoint's association.
func ResourceEndpointAssociationKey(scope Scope, id string) Key {
	return Key{KindResourceEndpointAssociation, scope, id}
}

func (a *ResourceEndpointAssociation) Key() Key {
	return ResourceEndpointAssociationKey(a.Scope, a.ID)
}
func (a *ResourceEndpointAssociation) ARN() string {
	return arn(a.Scope, "resourceendpointassociation/"+a.ID)
}
func (a *ResourceEndpointAssociation) Clone() Resource { c := *a; return &c }
func (a *ResourceEndpointAssociation) Indexes() []Index {
	return a.indexes(By(KindResourceEndpointAssociation, a.Scope, "resourceconfiguration", a.ResourceConfigurationID))
}
func (a *ResourceEndpointAssociation) Claims() []Claim {
	return append(addressClaims(a.AddressNumber), EndpointAssociationClaim(a.Scope, a.ResourceConfigurationID, a.VpcEndpointID))
}

// EndpointAssociationClaim is the claim of the association between a VPC endpoint and a resource configuration.
func EndpointAssociationClaim(scope Scope, resourceConfigurationID, vpcEndpointID string) Claim {
	return Claim{KindResourceEndpointAssociation, scope, "association", resourceConfigurationID + "/" + vpcEndpointID}
}

// DetachedEndpoint remembers that the association of a VPC endpoint with a resource configuration has been deleted, while
// the inventory still has the endpoint.
type DetachedEndpoint struct {
	Scope                   Scope  `json:"scope"`
	ResourceConfigurationID string `json:"resourceConfigurationId"`
	VpcEndpointID           string `json:"vpcEndpointId"`
}

// DetachedEndpointKey returns the key of a DetachedEndpoint. It is below the resource configuration's id, so that both are
// deleted together.
func DetachedEndpointKey(scope Scope, resourceConfigurationID, vpcEndpointID string) Key {
	return Key{KindDetachedEndpoint, scope, resourceConfigurationID + "/" + vpcEndpointID}
}

func (d *DetachedEndpoint) Key() Key {
	return DetachedEndpointKey(d.Scope, d.ResourceConfigurationID, d.VpcEndpointID)
}
func (d *DetachedEndpoint) Indexes() []Index { return nil }
func (d *DetachedEndpoint) Claims() []Claim  { return nil }
