package lattice

import "strings"

// ServiceNetworkResourceAssociation puts a resource configuration into a service network. The association of a group
// brings associations of its children with it, which do not count as the network's own.
type ServiceNetworkResourceAssociation struct {
	Base
	ResourceConfigurationID string `json:"resourceConfigurationId"`
	ServiceNetworkID        string `json:"serviceNetworkId"`
	// GroupID is the group of a child resource configuration.
	GroupID string `json:"groupId,omitempty"`
	// GroupAssociationID is the association of the group with which this one was made.
	GroupAssociationID string `json:"groupAssociationId,omitempty"`
	PrivateDNSEnabled  bool   `json:"privateDnsEnabled,omitempty"`
	// DomainName is the generated name under which clients reach the resource. A group has none.
	DomainName string `json:"domainName,omitempty"`
	// AddressNumber is the number of the address at which clients in associated VPCs reach the resource.
	// EndpointAddressNumbers has, by the id of the endpoint, those for clients of VPC endpoints of the service network. See
	// ResourceAddressClaim.
	AddressNumber          uint32            `json:"addressNumber,omitempty"`
	EndpointAddressNumbers map[string]uint32 `json:"endpointAddressNumbers,omitempty"`
}

// ServiceNetworkResourceAssociationKey returns the key of a resource association.
func ServiceNetworkResourceAssociationKey(scope Scope, id string) Key {
	return Key{KindServiceNetworkResourceAssociation, scope, id}
}

func (a *ServiceNetworkResourceAssociation) Key() Key {
	return ServiceNetworkResourceAssociationKey(a.Scope, a.ID)
}
func (a *ServiceNetworkResourceAssociation) ARN() string {
	return arn(a.Scope, "servicenetworkresourceassociation/"+a.ID)
}
func (a *ServiceNetworkResourceAssociation) Clone() Resource { c := *a; return &c }

// Indexes has two of each property: one with and one without what came with a group.
func (a *ServiceNetworkResourceAssociation) Indexes() []Index {
	by := func(property, value string) Index {
		return By(KindServiceNetworkResourceAssociation, a.Scope, property, value)
	}
	indexes := []Index{
		All(KindServiceNetworkResourceAssociation, a.Scope),
		Everywhere(KindServiceNetworkResourceAssociation),
		by("resourceconfiguration", a.ResourceConfigurationID),
		by("resourceconfiguration+children", a.ResourceConfigurationID),
		by("servicenetwork+children", a.ServiceNetworkID),
	}
	if a.GroupID != "" {
		indexes = append(indexes, by("resourceconfiguration+children", a.GroupID))
	}
	if a.GroupAssociationID == "" {
		indexes = append(indexes, by("servicenetwork", a.ServiceNetworkID))
	} else {
		indexes = append(indexes, by("groupassociation", a.GroupAssociationID))
	}
	return a.indexes(indexes...)
}

func (a *ServiceNetworkResourceAssociation) Claims() []Claim {
	claims := append([]Claim{a.PairClaim()}, addressClaims(a.AddressNumber)...)
	for _, number := range a.EndpointAddressNumbers {
		claims = append(claims, addressClaims(number)...)
	}
	return claims
}

// PairClaim is the claim of the association between the resource configuration and the service network.
func (a *ServiceNetworkResourceAssociation) PairClaim() Claim {
	return ResourceAssociationClaim(a.Scope, a.ServiceNetworkID, a.ResourceConfigurationID)
}

// ResourceAssociationClaim is the PairClaim of an association between a resource configuration and a service network.
func ResourceAssociationClaim(scope Scope, serviceNetworkID, resourceConfigurationID string) Claim {
	return Claim{KindServiceNetworkResourceAssociation, scope, "association", serviceNetworkID + "/" + resourceConfigurationID}
}

// ResourceDomainName returns the generated host name of an associated resource below a parent domain.
func ResourceDomainName(associationID, resourceConfigurationID, region, domain string) string {
	return strings.Join([]string{associationID, resourceConfigurationID, ResourceNameCell, ResourceNameKind, region, domain}, ".")
}
