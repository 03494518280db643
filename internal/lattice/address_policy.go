package lattice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"trellis/internal/shape"
)

// AddressPolicy decides which addresses targets may have. Through loopback and link-local addresses, a target could be the
// node itself, or a service that trusts its link, such as the metadata service of a cloud: it would see the node as the source
//
type AddressPolicy struct {
	// Local lets targets have any loopback and link-local address.
	Local bool
	// Allowed lists the networks whose loopback and link-local addresses targets may have.
	Allowed []netip.Prefix
}

// amazonLocal is the IPv6 network that AWS uses where it has 169.254.0.0/16 in IPv4, such as fd00:ec2::254, the metadata
// service (EC2 UG, instancedata-data-retrieval).
var amazonLocal = netip.MustParsePrefix("fd00:ec2::/32")

// RefusedAddressError says that no target may have an address.
type RefusedAddressError struct {
	Address netip.Addr
	Kind    string // the kind with its article, as in "a loopback"
	// Allowable says that AddressPolicy.Allowed could have the address.
	Allowable bool
}

func (e *RefusedAddressError) Error() string {
	text := e.Address.String() + " is " + e.Kind + " address, which targets must not have"
	if e.Allowable {
		text += " unless trellis serve is started with --allow-targets and a network that contains it"
	}
	return text
}

// Check returns a *RefusedAddressError for an address that targets must not have.
func (p AddressPolicy) Check(address netip.Addr) error {
	address = address.Unmap().WithZone("")
	refused := &RefusedAddressError{Address: address}
	switch {
	case address.IsUnspecified():
		refused.Kind = "the unspecified"
	case address.IsMulticast():
		refused.Kind = "a multicast"
	case address == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		refused.Kind = "the broadcast"
	case address.IsLoopback():
		refused.Kind, refused.Allowable = "a loopback", true
	case address.IsLinkLocalUnicast() || amazonLocal.Contains(address):
		refused.Kind, refused.Allowable = "a link-local", true
	default:
		return nil
	}
	if refused.Allowable && (p.Local || slices.ContainsFunc(p.Allowed, func(n netip.Prefix) bool { return n.Contains(address) })) {
		return nil
	}
	return refused
}

// loopbackRanges are the networks of the loopback.
var loopbackRanges = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// DefinitionProblems refuses the definition of a resource at an address that targets must not have. It admits names, and
// networks that hold every address: the addresses are checked again before a connection is made.
func (p AddressPolicy) DefinitionProblems(d *shape.ResourceConfigurationDefinition) []FieldProblem {
	const field = "resourceConfigurationDefinition"
	switch {
	case d == nil:
	case d.IpResource != nil && d.IpResource.IpAddress != nil:
		address, err := netip.ParseAddr(*d.IpResource.IpAddress)
		if err != nil {
			return nil // Other checks report it.
		}
		if refused, ok := errors.AsType[*RefusedAddressError](p.Check(address)); ok && refused.Allowable {
			return []FieldProblem{{field + ".ipResource.ipAddress", refused.Error()}}
		}
	case d.CidrResource != nil:
		var problems []FieldProblem
		for i, text := range d.CidrResource.CidrRanges {
			network, err := netip.ParsePrefix(text)
			if err != nil || network.Bits() == 0 {
				continue
			}
			for _, loopback := range loopbackRanges {
				if err := p.Check(loopback.Addr()); err != nil && network.Overlaps(loopback) {
					problems = append(problems, FieldProblem{fmt.Sprintf("%s.cidrResource.cidrRanges[%d]", field, i),
						fmt.Sprintf("%s overlaps with the loopback network %s, which targets must not be in", text, loopback)})
				}
			}
		}
		return problems
	}
	return nil
}
