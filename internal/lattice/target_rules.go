package lattice

import (
	"fmt"
	"net/netip"
	"strings"

	"trellis/internal/shape"
)

// TargetIdentity returns the id and port under which a target group knows a target. Addresses are written in one way, so that
// two spellings of one are one target. The port is the group's if none is given.
func TargetIdentity(group *TargetGroup, in shape.Target) (id string, port int32) {
	id = *in.Id
	if address, err := netip.ParseAddr(id); err == nil {
		id = address.String()
	}
	switch {
	case in.Port != nil:
		port = *in.Port
	case group.Config != nil && group.Config.Port != nil:
		port = *group.Config.Port
	}
	return id, port
}

// FunctionName returns the name in a function's ARN, without a version or an alias.
func FunctionName(arn string) string {
	_, name, _ := strings.Cut(arn, ":function:")
	name, _, _ = strings.Cut(name, ":")
	return name
}

var sharedRanges = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"),   // RFC 6598, carriers' and VPCs'
	netip.MustParsePrefix("192.0.2.0/24"),    // RFC 5737, documentation
	netip.MustParsePrefix("198.18.0.0/15"),   // RFC 2544, benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // RFC 5737
	netip.MustParsePrefix("203.0.113.0/24"),  // RFC 5737
}

// TargetProblem says why an id and a port cannot be a target of a group, or returns "" if they can. It does not check whether
// an instance, a load balancer or a function exists, nor its VPC and account.
func TargetProblem(group *TargetGroup, in shape.Target, addresses AddressPolicy) string {
	if problem := typeOf(group.Type).problem(*in.Id, group, addresses); problem != "" {
		return problem
	}
	if in.Port != nil && !HasPorts(group.Type) {
		return fmt.Sprintf("The target of a %s target group must have no port", group.Type)
	}
	return ""
}

// addressProblem refuses addresses that no machine in a VPC has. AWS refuses public ones (UG register-targets); IPv6 addresses
// of VPCs look like any others. AWS refuses loopback and link-local addresses too, but users of Trellis run targets on their
// own machine, so addresses decides about them.
func addressProblem(id string, family shape.IpAddressType, addresses AddressPolicy) string {
	address, err := netip.ParseAddr(id)
	switch {
	case err != nil || address.Zone() != "":
		return "Targets of an IP target group must be IP addresses, not names or networks"
	case address.Is4() != (family == shape.IpAddressTypeIpv4) || address.Is4In6():
		return fmt.Sprintf("Targets must have the IP address type of their target group, which is %s", family)
	case address.IsUnspecified() || address.IsMulticast() || address == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "Targets must be addresses of one machine"
	case address.Is4() && !address.IsPrivate() && !address.IsLoopback() && !address.IsLinkLocalUnicast() && !inRanges(address, sharedRanges):
		return "Targets must not be publicly routable IP addresses"
	}
	if err := addresses.Check(address); err != nil {
		return err.Error()
	}
	return ""
}

func inRanges(address netip.Addr, ranges []netip.Prefix) bool {
	for _, r := range ranges {
		if r.Contains(address) {
			return true
		}
	}
	return false
}
