package lattice

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strconv"
)

// ResourceAddressClaim claims the number of an address at which clients reach a resource. Numbers count from 1 and belong
// to all accounts and Regions together: each node takes the address of that number from its own range.
func ResourceAddressClaim(number uint32) Claim {
	return Claim{Kind: KindServiceNetworkResourceAssociation, Of: "address", Value: strconv.FormatUint(uint64(number), 10)}
}

// addressClaims claims all numbers that are not 0.
func addressClaims(numbers ...uint32) []Claim {
	var claims []Claim
	for _, number := range numbers {
		if number != 0 {
			claims = append(claims, ResourceAddressClaim(number))
		}
	}
	return claims
}

// AddressNumberThrough returns the number of the address at which clients reach the resource through a VPC endpoint of the
// service network, or, for "", through associations of VPCs. It is 0 if the association has no such number.
func (a *ServiceNetworkResourceAssociation) AddressNumberThrough(endpoint string) uint32 {
	if endpoint == "" {
		return a.AddressNumber
	}
	return a.EndpointAddressNumbers[endpoint]
}

// WithEndpointAddress returns a copy that has a number for a VPC endpoint of the service network.
func (a *ServiceNetworkResourceAssociation) WithEndpointAddress(endpoint string, number uint32) *ServiceNetworkResourceAssociation {
	c := *a
	c.EndpointAddressNumbers = maps.Clone(a.EndpointAddressNumbers)
	if c.EndpointAddressNumbers == nil {
		c.EndpointAddressNumbers = map[string]uint32{}
	}
	c.EndpointAddressNumbers[endpoint] = number
	return &c
}

// ResourceEndpointDomainName returns the generated host name of a resource that clients reach through a VPC endpoint, below a
// parent domain. The association is the one with the endpoint's service network, and empty for an endpoint of the resource
// itself.
func ResourceEndpointDomainName(endpointID, associationID, resourceConfigurationID, region, domain string) string {
	if associationID != "" {
		endpointID += "-" + associationID
	}
	return ResourceDomainName(endpointID, resourceConfigurationID, region, domain)
}

// MergePortRanges returns the ports of a list of port ranges in order, with touching ranges merged. Invalid ranges are left
// out.
func MergePortRanges(list []string) []PortRange {
	var ranges []PortRange
	for _, text := range list {
		if r, ok := parsePortRange(text); ok {
			ranges = append(ranges, r)
		}
	}
	slices.SortFunc(ranges, func(a, b PortRange) int { return cmp.Compare(a.From, b.From) })
	merged := ranges[:0]
	for _, r := range ranges {
		if n := len(merged); n > 0 && r.From <= merged[n-1].To+1 {
			merged[n-1].To = max(merged[n-1].To, r.To)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// ResourceRange is where a node takes the addresses of resources from: a network of IPv4, and perhaps one of IPv6.
type ResourceRange struct{ IPv4, IPv6 netip.Prefix }

// Size returns how many numbers have an address. The first and the last address of a network have no number.
func (r ResourceRange) Size() uint32 {
	if !r.IPv4.IsValid() {
		return 0
	}
	size := uint64(1)<<(32-r.IPv4.Bits()) - 2
	if r.IPv6.IsValid() {
		size = min(size, uint64(1)<<min(32, 128-r.IPv6.Bits())-2)
	}
	return uint32(size)
}

// Addresses returns the addresses of a number, that of IPv4 first. There are none for a number beyond Size.
func (r ResourceRange) Addresses(number uint32) []netip.Addr {
	if number == 0 || number > r.Size() {
		return nil
	}
	v4 := r.IPv4.Addr().As4()
	binary.BigEndian.PutUint32(v4[:], binary.BigEndian.Uint32(v4[:])+number)
	addresses := []netip.Addr{netip.AddrFrom4(v4)}
	if r.IPv6.IsValid() {
		v6 := r.IPv6.Addr().As16()
		binary.BigEndian.PutUint32(v6[12:], binary.BigEndian.Uint32(v6[12:])+number)
		addresses = append(addresses, netip.AddrFrom16(v6))
	}
	return addresses
}

// Number returns the number of an address. ok is false for an address outside the range.
func (r ResourceRange) Number(address netip.Addr) (number uint32, ok bool) {
	address = address.Unmap()
	switch {
	case r.IPv4.IsValid() && r.IPv4.Contains(address):
		at, first := address.As4(), r.IPv4.Addr().As4()
		number = binary.BigEndian.Uint32(at[:]) - binary.BigEndian.Uint32(first[:])
	case r.IPv6.IsValid() && r.IPv6.Contains(address):
		at, first := address.As16(), r.IPv6.Addr().As16()
		number = binary.BigEndian.Uint32(at[12:]) - binary.BigEndian.Uint32(first[12:])
		if !bytes.Equal(at[:12], first[:12]) {
			return 0, false
		}
	}
	return number, number > 0 && number <= r.Size()
}

// Contains reports whether an address is in the range, with or without a number.
func (r ResourceRange) Contains(address netip.Addr) bool {
	address = address.Unmap()
	return r.IPv4.IsValid() && r.IPv4.Contains(address) || r.IPv6.IsValid() && r.IPv6.Contains(address)
}
