package configuration

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"trellis/internal/lattice"
)

// wantResourceRange says what --resource-range can be.
const wantResourceRange = `a network of IPv4, of /8 to /30, and perhaps one of IPv6, of /32 to /126, as in 127.89.0.0/16,fd7e:6c6c::/64, or "none"`

// parseResourceRange reads one or two networks, or "none", without which resources have no addresses.
func parseResourceRange(text string) (r lattice.ResourceRange, err error) {
	if text == "none" {
		return r, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		network, err := netip.ParsePrefix(strings.TrimSpace(part))
		bits := network.Bits()
		switch {
		case err != nil || network != network.Masked():
			return r, fmt.Errorf("%q is not a network", part)
		case network.Addr().Is4() && !r.IPv4.IsValid() && bits >= 8 && bits <= 30:
			r.IPv4 = network
		case network.Addr().Is6() && !r.IPv6.IsValid() && bits >= 32 && bits <= 126:
			r.IPv6 = network
		default:
			return r, fmt.Errorf("%s is one network too many, or has another size", network)
		}
	}
	if !r.IPv4.IsValid() {
		return r, fmt.Errorf("%q has no IPv4 network", text)
	}
	return r, nil
}

// parsePorts reads ports with commas between them.
func parsePorts(text string) ([]int, error) {
	var ports []int
	for part := range strings.SplitSeq(text, ",") {
		port, err := strconv.ParseUint(strings.TrimSpace(part), 10, 16)
		if err != nil || port == 0 {
			return nil, fmt.Errorf("%q is not a port", part)
		}
		ports = append(ports, int(port))
	}
	return ports, nil
}
