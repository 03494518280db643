package lattice

import "trellis/internal/shape"

// ResourceConfiguration is a resource that clients of other VPCs can reach through a resource gateway, or a group of
// such resources.
type ResourceConfiguration struct {
	Base
	Type shape.ResourceConfigurationType `json:"type"`
	// ResourceGatewayID is that of the group for a child.
	ResourceGatewayID string `json:"resourceGatewayId"`
	// GroupID is the group of a child, and empty for other types.
	GroupID    string             `json:"groupId,omitempty"`
	PortRanges []string           `json:"portRanges,omitempty"`
	Protocol   shape.ProtocolType `json:"protocol,omitempty"`
	// Definition is what the client sent. A group has none.
	Definition *shape.ResourceConfigurationDefinition `json:"definition,omitempty"`
	// AllowSharedNetworks admits associations with service networks that can be shared. A child has its group's.
	AllowSharedNetworks  bool   `json:"allowAssociationToShareableServiceNetwork,omitempty"`
	CustomDomainName     string `json:"customDomainName,omitempty"`
	GroupDomain          string `json:"groupDomain,omitempty"`
	DomainVerificationID string `json:"domainVerificationId,omitempty"`
	// AmazonManaged says that it was made for an endpoint of a database cluster. Its group is the cluster's resource
	// configuration.
	AmazonManaged bool `json:"amazonManaged,omitempty"`
}

// ResourceConfigurationKey returns the key of a resource configuration.
func ResourceConfigurationKey(scope Scope, id string) Key {
	return Key{KindResourceConfiguration, scope, id}
}

func (r *ResourceConfiguration) Key() Key        { return ResourceConfigurationKey(r.Scope, r.ID) }
func (r *ResourceConfiguration) ARN() string     { return arn(r.Scope, "resourceconfiguration/"+r.ID) }
func (r *ResourceConfiguration) Clone() Resource { c := *r; return &c }
func (r *ResourceConfiguration) Indexes() []Index {
	indexes := []Index{
		All(KindResourceConfiguration, r.Scope),
		Everywhere(KindResourceConfiguration),
		By(KindResourceConfiguration, r.Scope, "resourcegateway", r.ResourceGatewayID),
	}
	if r.GroupID != "" {
		indexes = append(indexes, By(KindResourceConfiguration, r.Scope, "group", r.GroupID))
	}
	if r.DomainVerificationID != "" {
		indexes = append(indexes, By(KindResourceConfiguration, r.Scope, "domainverification", r.DomainVerificationID))
	}
	return r.indexes(indexes...)
}
func (r *ResourceConfiguration) Claims() []Claim {
	return []Claim{r.nameClaim(KindResourceConfiguration, "")}
}

// IsGroup and IsChild report whether the resource configuration is a group, or a child of one.
func (r *ResourceConfiguration) IsGroup() bool { return r.Type == shape.ResourceConfigurationTypeGroup }
func (r *ResourceConfiguration) IsChild() bool { return r.Type == shape.ResourceConfigurationTypeChild }
