package lattice

import (
	"strings"

	"trellis/internal/shape"
)

// ServiceNetwork is a service network.
type ServiceNetwork struct {
	Base
	AuthType      shape.AuthType       `json:"authType"`
	SharingConfig *shape.SharingConfig `json:"sharingConfig,omitempty"`
}

// ServiceNetworkKey returns the key of a service network.
func ServiceNetworkKey(scope Scope, id string) Key { return Key{KindServiceNetwork, scope, id} }

func (n *ServiceNetwork) Key() Key        { return ServiceNetworkKey(n.Scope, n.ID) }
func (n *ServiceNetwork) ARN() string     { return arn(n.Scope, "servicenetwork/"+n.ID) }
func (n *ServiceNetwork) Clone() Resource { c := *n; return &c }
func (n *ServiceNetwork) Indexes() []Index {
	return n.indexes(All(KindServiceNetwork, n.Scope))
}

// IsShareable reports whether other accounts can get access to the service network, as they can unless its creation said
// otherwise (UG create-service-network).
func (n *ServiceNetwork) IsShareable() bool {
	return n.SharingConfig == nil || n.SharingConfig.Enabled == nil || *n.SharingConfig.Enabled
}

func (n *ServiceNetwork) Claims() []Claim { return []Claim{n.nameClaim(KindServiceNetwork, "")} }

// Service is a service: a host name with listeners.
type Service struct {
	Base
	AuthType           shape.AuthType `json:"authType"`
	CustomDomainName   string         `json:"customDomainName,omitempty"`
	CertificateARN     string         `json:"certificateArn,omitempty"`
	IdleTimeoutSeconds int32          `json:"idleTimeoutSeconds"`
	// DomainName is the generated host name, fixed at creation so that a later change of --domain does not move
	// a service that clients already know.
	DomainName string `json:"domainName"`
}

// ServiceKey returns the key of a service.
func ServiceKey(scope Scope, id string) Key { return Key{KindService, scope, id} }

func (s *Service) Key() Key        { return ServiceKey(s.Scope, s.ID) }
func (s *Service) ARN() string     { return arn(s.Scope, "service/"+s.ID) }
func (s *Service) Clone() Resource { c := *s; return &c }
func (s *Service) Indexes() []Index {
	indexes := []Index{All(KindService, s.Scope)}
	if s.CustomDomainName != "" {
		indexes = append(indexes, ServicesNamed(CanonicalDomainName(s.CustomDomainName)))
	}
	return s.indexes(indexes...)
}

// ServicesNamed is the index of the services with a custom domain name, of whatever scope. The name is canonical.
func ServicesNamed(domainName string) Index {
	return Index{Kind: KindService, By: "customdomainname", Value: domainName}
}

func (s *Service) Claims() []Claim { return []Claim{s.nameClaim(KindService, "")} }

// DefaultIdleTimeoutSeconds is how long a connection to a service may be idle if the client does not say (API
// CreateService).
const DefaultIdleTimeoutSeconds = 60

// HostedZoneID is in every DNS entry. At AWS it is the zone that alias records name; here there is no such zone.
const HostedZoneID = "Z0000000TRELLIS000000"

// Generated host names end in .CELL.KIND.REGION, in front of the parent domain. The cells are constant per Region at AWS:
// the cell of services is us-west-2's (UG service-custom-domain), and that of resources is the one in captures from several
// Regions.
const (
	ServiceNameKind  = "vpc-lattice-svcs"
	ServiceNameCell  = "7d67968"
	ResourceNameKind = "vpc-lattice-rsc"
	ResourceNameCell = "4232ccc"
)

// GeneratedDomainName returns the host name of a service below a parent domain.
func GeneratedDomainName(name, id, region, domain string) string {
	return strings.Join([]string{name + "-" + strings.TrimPrefix(id, "svc-"), ServiceNameCell, ServiceNameKind, region, domain}, ".")
}

// ServiceNetworkServiceAssociation puts a service into a service network.
type ServiceNetworkServiceAssociation struct {
	Base
	ServiceID        string `json:"serviceId"`
	ServiceNetworkID string `json:"serviceNetworkId"`
	// CustomDomainName is that of the service, which never changes.
	CustomDomainName string `json:"customDomainName,omitempty"`
}

// ServiceNetworkServiceAssociationKey returns the key of a service association.
func ServiceNetworkServiceAssociationKey(scope Scope, id string) Key {
	return Key{KindServiceNetworkServiceAssociation, scope, id}
}

func (a *ServiceNetworkServiceAssociation) Key() Key {
	return ServiceNetworkServiceAssociationKey(a.Scope, a.ID)
}
func (a *ServiceNetworkServiceAssociation) ARN() string {
	return arn(a.Scope, "servicenetworkserviceassociation/"+a.ID)
}
func (a *ServiceNetworkServiceAssociation) Clone() Resource { c := *a; return &c }
func (a *ServiceNetworkServiceAssociation) Indexes() []Index {
	return a.indexes(
		All(KindServiceNetworkServiceAssociation, a.Scope),
		By(KindServiceNetworkServiceAssociation, a.Scope, "service", a.ServiceID),
		By(KindServiceNetworkServiceAssociation, a.Scope, "servicenetwork", a.ServiceNetworkID),
	)
}

// Claims holds the pair, and the custom domain name, which is unique among the services of a service network
// (UG service-custom-domain) and, like all names of hosts, the same in upper and lower case.
func (a *ServiceNetworkServiceAssociation) Claims() []Claim {
	claims := []Claim{a.PairClaim()}
	if claim, ok := a.DomainClaim(); ok {
		claims = append(claims, claim)
	}
	return claims
}

// PairClaim is the claim of the association between the service and the service network.
func (a *ServiceNetworkServiceAssociation) PairClaim() Claim {
	return Claim{KindServiceNetworkServiceAssociation, a.Scope, "association", a.ServiceNetworkID + "/" + a.ServiceID}
}

// DomainClaim claims the custom domain name within the service network. It is false for a service that has none.
func (a *ServiceNetworkServiceAssociation) DomainClaim() (Claim, bool) {
	value := a.ServiceNetworkID + "/" + strings.ToLower(a.CustomDomainName)
	return Claim{KindServiceNetworkServiceAssociation, a.Scope, "custom domain name", value}, a.CustomDomainName != ""
}

// ServiceNetworkVpcAssociation lets the clients of a VPC reach a service network.
type ServiceNetworkVpcAssociation struct {
	Base
	ServiceNetworkID  string            `json:"serviceNetworkId"`
	VpcID             string            `json:"vpcId"`
	SecurityGroupIDs  []string          `json:"securityGroupIds,omitempty"`
	PrivateDNSEnabled *bool             `json:"privateDnsEnabled,omitempty"`
	DNSOptions        *shape.DnsOptions `json:"dnsOptions,omitempty"`
}

// ServiceNetworkVpcAssociationKey returns the key of a VPC association.
func ServiceNetworkVpcAssociationKey(scope Scope, id string) Key {
	return Key{KindServiceNetworkVpcAssociation, scope, id}
}

func (a *ServiceNetworkVpcAssociation) Key() Key {
	return ServiceNetworkVpcAssociationKey(a.Scope, a.ID)
}
func (a *ServiceNetworkVpcAssociation) ARN() string {
	return arn(a.Scope, "servicenetworkvpcassociation/"+a.ID)
}
func (a *ServiceNetworkVpcAssociation) Clone() Resource { c := *a; return &c }
func (a *ServiceNetworkVpcAssociation) Indexes() []Index {
	return a.indexes(
		All(KindServiceNetworkVpcAssociation, a.Scope),
		By(KindServiceNetworkVpcAssociation, a.Scope, "servicenetwork", a.ServiceNetworkID),
		By(KindServiceNetworkVpcAssociation, a.Scope, "vpc", a.VpcID),
	)
}

func (a *ServiceNetworkVpcAssociation) Claims() []Claim { return []Claim{a.VpcClaim()} }

// VpcClaim claims the VPC, which can be associated with one service network only (UG quotas).
func (a *ServiceNetworkVpcAssociation) VpcClaim() Claim {
	return Claim{KindServiceNetworkVpcAssociation, a.Scope, "vpc", a.VpcID}
}
