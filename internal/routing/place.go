package routing

import (
	"fmt"
	"net/netip"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// Place is where a target is: an address and port, or the ARN of a Lambda function. One of the two is set; the zero value is
// no place.
type Place struct {
	Address  netip.AddrPort
	Function string
}

// IsKnown reports whether p is a place at all.
func (p Place) IsKnown() bool { return p != Place{} }

// String returns the address and port, or the ARN.
func (p Place) String() string {
	switch {
	case p.Function != "":
		return p.Function
	case p.Address.IsValid():
		return p.Address.String()
	default:
		return ""
	}
}

// ResolveLiteral returns the place of a target whose id is one: an address, or the ARN of a function.
func ResolveLiteral(group *lattice.TargetGroup, target *lattice.Target) (Place, error) {
	switch group.Type {
	case shape.TargetGroupTypeLambda: // An invocation will show whether the function exists.
		return Place{Function: target.ID}, nil
	case shape.TargetGroupTypeIp:
		address, err := resolveAddress(group, target)
		return Place{Address: address}, err
	default:
		return Place{}, fmt.Errorf("the address of %s is not known", target.ID)
	}
}

func resolveAddress(group *lattice.TargetGroup, target *lattice.Target) (netip.AddrPort, error) {
	address, err := netip.ParseAddr(target.ID)
	if err != nil || address.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IP address", target.ID)
	}
	port := target.Port
	if port == 0 && group.Config != nil && group.Config.Port != nil {
		port = *group.Config.Port
	}
	if port < 1 || port > 65535 {
		return netip.AddrPort{}, fmt.Errorf("%d is not a port between 1 and 65535", port)
	}
	return netip.AddrPortFrom(address.Unmap(), uint16(port)), nil
}

// FunctionName returns the name of the function, without a version or an alias.
func (p Place) FunctionName() string { return lattice.FunctionName(p.Function) }
