package lattice

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"trellis/internal/shape"
)

// The types of resource configurations, in short.
const (
	typeSingle = shape.ResourceConfigurationTypeSingle
	typeGroup  = shape.ResourceConfigurationTypeGroup
	typeChild  = shape.ResourceConfigurationTypeChild
	typeARN    = shape.ResourceConfigurationTypeArn
	typeCIDR   = shape.ResourceConfigurationTypeCidr
)

// ResourceConfigurationProblems returns what is wrong with a new resource configuration, apart from the resources that it
// refers to (API CreateResourceConfiguration). A child may repeat what it inherits from its group.
func ResourceConfigurationProblems(in *shape.CreateResourceConfigurationRequest) []FieldProblem {
	var problems []FieldProblem
	for _, m := range []struct {
		name     string
		given    bool
		has, may []shape.ResourceConfigurationType
	}{
		{"allowAssociationToShareableServiceNetwork", in.AllowAssociationToShareableServiceNetwork != nil, nil, types(typeSingle, typeGroup, typeARN)},
		{"customDomainName", in.CustomDomainName != nil, nil, types(typeSingle, typeChild)},
		{"domainVerificationIdentifier", in.DomainVerificationIdentifier != nil, nil, types(typeSingle, typeGroup, typeChild)},
		{"groupDomain", in.GroupDomain != nil, nil, types(typeGroup)},
		{"portRanges", len(in.PortRanges) > 0, types(typeCIDR), types(typeSingle, typeGroup, typeChild)},
		{"protocol", in.Protocol != "", nil, types(typeSingle, typeGroup, typeChild, typeCIDR)},
		{"resourceConfigurationDefinition", in.ResourceConfigurationDefinition != nil, types(typeSingle, typeChild, typeARN, typeCIDR), nil},
		{"resourceConfigurationGroupIdentifier", in.ResourceConfigurationGroupIdentifier != nil, types(typeChild), nil},
		{"resourceGatewayIdentifier", in.ResourceGatewayIdentifier != nil, types(typeSingle, typeGroup, typeARN, typeCIDR), types(typeChild)},
	} {
		switch {
		case !m.given && slices.Contains(m.has, in.Type):
			problems = append(problems, FieldProblem{m.name, fmt.Sprintf("A resource configuration of type %s requires %s.", in.Type, m.name)})
		case m.given && !slices.Contains(m.has, in.Type) && !slices.Contains(m.may, in.Type):
			problems = append(problems, unsupportedMember(in.Type, m.name))
		}
	}
	if in.Protocol == shape.ProtocolTypeTcpUdp && in.Type != typeCIDR {
		problems = append(problems, FieldProblem{"protocol", fmt.Sprintf("A resource configuration of type %s supports the protocol TCP only.", in.Type)})
	}
	if in.ResourceConfigurationDefinition != nil && in.Type != typeGroup {
		problems = append(problems, definitionProblems(in.Type, in.ResourceConfigurationDefinition)...)
	}
	problems = append(problems, portRangeProblems(in.PortRanges)...)
	problems = append(problems, domainProblems("customDomainName", in.CustomDomainName)...)
	problems = append(problems, domainProblems("groupDomain", in.GroupDomain)...)
	if in.DomainVerificationIdentifier != nil && in.CustomDomainName == nil && in.GroupDomain == nil {
		problems = append(problems, FieldProblem{"domainVerificationIdentifier", "A domain verification is for a customDomainName or a groupDomain, but none is given."})
	}
	return problems
}

func types(list ...shape.ResourceConfigurationType) []shape.ResourceConfigurationType { return list }

// unsupportedMember refuses a member that a type of resource configuration does not have, in AWS's words
// (hashicorp/terraform-provider-aws issue 46023). field is its path, which ends with its name.
func unsupportedMember(configuration shape.ResourceConfigurationType, field string) FieldProblem {
	member := field[strings.LastIndexByte(field, '.')+1:]
	return FieldProblem{field, fmt.Sprintf("Unexpected attribute %s for type %s", member, configuration)}
}

func domainProblems(field string, name *string) []FieldProblem {
	if name == nil {
		return nil
	}
	problem := DomainNameProblem(*name)
	if problem == "" {
		return nil
	}
	return []FieldProblem{{field, fmt.Sprintf("The value at '%s' must be a domain name. %s", field, problem)}}
}

// AllPorts is the range of all ports.
const AllPorts = "1-65535"

// PortRange is a range of ports, both ends of which belong to it.
type PortRange struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// parsePortRange parses a port range, which is a port or two ports with a hyphen between them.
func parsePortRange(text string) (r PortRange, ok bool) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	return PortRange{int(from), int(to)}, err1 == nil && err2 == nil && 1 <= from && from <= to
}

// portRangeProblems says which texts are not port ranges, and which ranges overlap with an earlier one.
func portRangeProblems(list []string) []FieldProblem {
	var problems []FieldProblem
	var before []PortRange
	for i, text := range list {
		at := fmt.Sprintf("portRanges[%d]", i)
		r, ok := parsePortRange(text)
		overlaps := slices.ContainsFunc(before, func(b PortRange) bool { return r.From <= b.To && b.From <= r.To })
		switch {
		case !ok:
			problems = append(problems, FieldProblem{at, fmt.Sprintf("Value '%s' at '%s' must be a port or a range of ports between 1 and 65535, such as 443 or 8000-8010.", text, at)})
			continue
		case overlaps:
			problems = append(problems, FieldProblem{at, fmt.Sprintf("The port range '%s' at '%s' overlaps with one before it.", text, at)})
		}
		before = append(before, r)
	}
	return problems
}

// databaseARN is the form of the ARNs that a resource configuration can have: those of the RDS family (UG resource-configuration; A-256).
var databaseARN = regexp.MustCompile(`^arn:[a-z0-9-]+:rds:[a-z0-9-]+:\d{12}:[a-z-]+:[a-zA-Z0-9:.-]+$`)

// definitionProblems says why a resource configuration of a type cannot have a definition.
func definitionProblems(configuration shape.ResourceConfigurationType, d *shape.ResourceConfigurationDefinition) []FieldProblem {
	const field = "resourceConfigurationDefinition"
	wrong := func(member, format string, args ...any) []FieldProblem {
		return []FieldProblem{{field + "." + member, fmt.Sprintf(format, args...)}}
	}
	required := func(member string) []FieldProblem {
		return wrong(member, "A value at '%s.%s' is required.", field, member)
	}
	kind, supported := "cidrResource", types(typeCIDR)
	switch {
	case d.DnsResource != nil:
		kind, supported = "dnsResource", types(typeSingle, typeChild)
	case d.IpResource != nil:
		kind, supported = "ipResource", types(typeSingle, typeChild)
	case d.ArnResource != nil:
		kind, supported = "arnResource", types(typeARN)
	}
	if !slices.Contains(supported, configuration) {
		return []FieldProblem{unsupportedMember(configuration, field+"."+kind)}
	}
	switch {
	case d.DnsResource != nil:
		switch name := d.DnsResource.DomainName; {
		case name == nil:
			return required("dnsResource.domainName")
		case DomainNameProblem(*name) != "":
			return wrong("dnsResource.domainName", "The value at '%s.dnsResource.domainName' must be a domain name. %s", field, DomainNameProblem(*name))
		case d.DnsResource.IpAddressType == shape.ResourceConfigurationIpAddressTypeDualstack: // API, DnsResource
			return wrong("dnsResource.ipAddressType", "The IP address type DUALSTACK is not supported.")
		}
	case d.IpResource != nil:
		if d.IpResource.IpAddress == nil {
			return required("ipResource.ipAddress")
		}
		if problem := resourceAddressProblem(*d.IpResource.IpAddress); problem != "" {
			return wrong("ipResource.ipAddress", "Value '%s' at '%s.ipResource.ipAddress' %s.", *d.IpResource.IpAddress, field, problem)
		}
	case d.ArnResource != nil:
		switch {
		case d.ArnResource.Arn == nil:
			return required("arnResource.arn")
		case !databaseARN.MatchString(*d.ArnResource.Arn):
			return wrong("arnResource.arn", "Value '%s' at '%s.arnResource.arn' must be the ARN of an RDS database.", *d.ArnResource.Arn, field)
		}
	default:
		return cidrProblems(field+".cidrResource.cidrRanges", d.CidrResource.CidrRanges)
	}
	return nil
}

// resourceRanges are the IPv4 networks in which a resource can be (UG resource-configuration).
var resourceRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
}

// resourceAddressProblem refuses addresses that no resource of a VPC can have. IPv6 addresses of VPCs look like any others. At
// AWS no resource has a loopback address, but users of Trellis run resources on their own machine.
func resourceAddressProblem(text string) string {
	address, err := netip.ParseAddr(text)
	switch {
	case err != nil || address.Zone() != "":
		return "must be an IP address"
	case address.IsLoopback():
		return ""
	case address.Is4() && !inRanges(address, resourceRanges):
		return "must lie in 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12 or 192.168.0.0/16"
	case address.Is4In6() || address.IsUnspecified() || address.IsMulticast() || address.IsLinkLocalUnicast():
		return "must be the address of one machine in a VPC"
	}
	return ""
}

// reservedRanges cannot be part of a network segment (API ResourceConfigurationDefinition).
var reservedRanges = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// cidrProblems refuses CIDR ranges that are malformed or reserved, or that are listed beside a whole address family.
func cidrProblems(field string, ranges []string) []FieldProblem {
	if len(ranges) == 0 {
		return []FieldProblem{{field, fmt.Sprintf("A value at '%s' is required.", field)}}
	}
	var problems []FieldProblem
	var before []netip.Prefix
	for i, text := range ranges {
		at := fmt.Sprintf("%s[%d]", field, i)
		wrong := func(must string) {
			problems = append(problems, FieldProblem{at, fmt.Sprintf("Value '%s' at '%s' %s.", text, at, must)})
		}
		network, err := netip.ParsePrefix(text)
		if err != nil || network != network.Masked() {
			wrong("must be a network with its prefix length, such as 10.0.0.0/16")
			continue
		}
		whole := network.Bits() == 0
		overlaps := func(other netip.Prefix) bool { return network.Overlaps(other) }
		switch {
		case whole && len(ranges) > 1:
			wrong("must be the only range")
		case !whole && slices.ContainsFunc(reservedRanges, overlaps):
			wrong("must not overlap with a reserved range")
		case slices.ContainsFunc(before, overlaps):
			wrong("must not overlap with a range before it")
		}
		before = append(before, network)
	}
	return problems
}

// AddressProblem returns why the gateway cannot reach the resource of a definition, or "" if it can: a gateway reaches
// addresses of the families that it has itself (API CreateResourceGateway).
func (g *ResourceGateway) AddressProblem(d *shape.ResourceConfigurationDefinition) string {
	unreachable := func(what string) string {
		return fmt.Sprintf("Resource gateway %s, whose IP address type is %s, cannot reach %s.", g.ID, g.IPAddressType, what)
	}
	switch {
	case d == nil:
	case d.IpResource != nil:
		if address, err := netip.ParseAddr(*d.IpResource.IpAddress); err == nil && !g.reaches(address.Is6()) {
			return unreachable(*d.IpResource.IpAddress)
		}
	case d.DnsResource != nil:
		family := d.DnsResource.IpAddressType
		if family != "" && !g.reaches(family == shape.ResourceConfigurationIpAddressTypeIpv6) {
			return unreachable(string(family) + " addresses of " + *d.DnsResource.DomainName)
		}
	case d.CidrResource != nil:
		for _, text := range d.CidrResource.CidrRanges {
			if network, err := netip.ParsePrefix(text); err == nil && !g.reaches(network.Addr().Is6()) {
				return unreachable(text)
			}
		}
	}
	return ""
}

// HasSharing reports whether the type has the member allowAssociationToShareableServiceNetwork (API
// CreateResourceConfiguration).
func (r *ResourceConfiguration) HasSharing() bool {
	return slices.Contains(types(typeSingle, typeGroup, typeARN), r.Type)
}

// UpdateProblems says what is wrong with an update of the resource configuration.
func (r *ResourceConfiguration) UpdateProblems(in *shape.UpdateResourceConfigurationRequest) []FieldProblem {
	var problems []FieldProblem
	if in.AllowAssociationToShareableServiceNetwork != nil && !r.HasSharing() {
		problems = append(problems, unsupportedMember(r.Type, "allowAssociationToShareableServiceNetwork"))
	}
	switch {
	case in.PortRanges == nil:
	case r.Type == typeARN && len(in.PortRanges) > 0:
		problems = append(problems, unsupportedMember(r.Type, "portRanges"))
	case slices.Contains(types(typeSingle, typeChild, typeCIDR), r.Type) && len(in.PortRanges) == 0:
		problems = append(problems, FieldProblem{"portRanges", fmt.Sprintf("A resource configuration of type %s requires portRanges.", r.Type)})
	default:
		problems = append(problems, portRangeProblems(in.PortRanges)...)
	}
	switch {
	case in.ResourceConfigurationDefinition == nil:
	case r.Type == typeGroup:
		problems = append(problems, unsupportedMember(r.Type, "resourceConfigurationDefinition"))
	default:
		problems = append(problems, definitionProblems(r.Type, in.ResourceConfigurationDefinition)...)
	}
	return problems
}

// CanBecome reports whether an update can give the resource configuration a definition. Addresses and networks can be
// replaced by others; a name or an ARN cannot ("cannot modify resource configuration DNS or ARN", as AWS's error says in
// github.com/hashicorp/terraform-provider-aws, internal/service/vpclattice/resource_configuration.go).
func (r *ResourceConfiguration) CanBecome(d *shape.ResourceConfigurationDefinition) bool {
	switch {
	case r.Definition.IpResource != nil && d.IpResource != nil, r.Definition.CidrResource != nil && d.CidrResource != nil:
		return true
	}
	return reflect.DeepEqual(r.Definition, d)
}
