package lattice

import (
	"fmt"

	"trellis/internal/shape"
)

// DefaultIPv4AddressesPerENI is how many addresses each network interface of a resource gateway has if the client does not
// say (UG resource-gateway).
const DefaultIPv4AddressesPerENI = 16

// ResourceGateway is the point of a VPC through which traffic reaches its resources.
type ResourceGateway struct {
	Base
	VpcID            string                             `json:"vpcId"`
	SubnetIDs        []string                           `json:"subnetIds"`
	SecurityGroupIDs []string                           `json:"securityGroupIds,omitempty"`
	IPAddressType    shape.ResourceGatewayIpAddressType `json:"ipAddressType"`
	// IPv4AddressesPerENI is 0 for a gateway that has IPv6 addresses only.
	IPv4AddressesPerENI int32                             `json:"ipv4AddressesPerEni,omitempty"`
	DNSResolution       shape.ResourceConfigDnsResolution `json:"resourceConfigDnsResolution"`
}

// ResourceGatewayKey returns the key of a resource gateway.
func ResourceGatewayKey(scope Scope, id string) Key { return Key{KindResourceGateway, scope, id} }

func (g *ResourceGateway) Key() Key        { return ResourceGatewayKey(g.Scope, g.ID) }
func (g *ResourceGateway) ARN() string     { return arn(g.Scope, "resourcegateway/"+g.ID) }
func (g *ResourceGateway) Clone() Resource { c := *g; return &c }
func (g *ResourceGateway) Indexes() []Index {
	return g.indexes(All(KindResourceGateway, g.Scope), By(KindResourceGateway, g.Scope, "vpc", g.VpcID))
}

// Claims holds the name, which is unique, like those of other resources.
func (g *ResourceGateway) Claims() []Claim { return []Claim{g.nameClaim(KindResourceGateway, "")} }

// Problems says what is wrong with the members of a new gateway. It does not check whether the subnets have addresses of its
// type, since the inventory has no subnets.
func (g *ResourceGateway) Problems() []FieldProblem {
	var problems []FieldProblem
	// The model requires neither, but a gateway without them would have no location.
	if g.VpcID == "" {
		problems = append(problems, FieldProblem{"vpcIdentifier", "A resource gateway requires vpcIdentifier."})
	}
	if len(g.SubnetIDs) == 0 {
		problems = append(problems, FieldProblem{"subnetIds", "A resource gateway requires at least one subnet in subnetIds."})
	}
	problems = append(problems, repeated("subnetIds", g.SubnetIDs)...)
	return append(problems, repeated("securityGroupIds", g.SecurityGroupIDs)...)
}

// repeated names the elements of a list that occur earlier in it.
func repeated(field string, list []string) []FieldProblem {
	var problems []FieldProblem
	seen := map[string]bool{}
	for i, e := range list {
		if seen[e] {
			at := fmt.Sprintf("%s[%d]", field, i)
			problems = append(problems, FieldProblem{at, fmt.Sprintf("Value '%s' at '%s' is given twice.", e, at)})
		}
		seen[e] = true
	}
	return problems
}

// ResolutionProblem says why the gateway cannot resolve names in its VPC, or returns "" when it can: for that, its subnets
// need IPv4 addresses (UG resource-gateway).
func (g *ResourceGateway) ResolutionProblem() string {
	if g.DNSResolution == shape.ResourceConfigDnsResolutionInVpc && g.IPAddressType == shape.ResourceGatewayIpAddressTypeIpv6 {
		return "A resource gateway of the IP address type IPV6 does not support resourceConfigDnsResolution IN_VPC."
	}
	return ""
}

// TypeProblem returns why the gateway cannot serve a type of resource configuration, or "" if it can (API
// CreateResourceGateway).
func (g *ResourceGateway) TypeProblem(configuration shape.ResourceConfigurationType) string {
	inVPC := g.DNSResolution == shape.ResourceConfigDnsResolutionInVpc
	switch {
	case configuration == shape.ResourceConfigurationTypeArn && inVPC:
		return fmt.Sprintf("A resource configuration of type ARN needs a resource gateway whose resourceConfigDnsResolution is PUBLIC; that of %s is IN_VPC.", g.ID)
	case configuration == shape.ResourceConfigurationTypeCidr && !inVPC:
		return fmt.Sprintf("A resource configuration of type CIDR needs a resource gateway whose resourceConfigDnsResolution is IN_VPC; that of %s is PUBLIC.", g.ID)
	}
	return ""
}

// reaches reports whether the gateway has addresses of a family.
func (g *ResourceGateway) reaches(ipv6 bool) bool {
	switch g.IPAddressType {
	case shape.ResourceGatewayIpAddressTypeIpv4:
		return !ipv6
	case shape.ResourceGatewayIpAddressTypeIpv6:
		return ipv6
	}
	return true
}
