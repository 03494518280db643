package lattice

import (
	"net/netip"
	"strings"
	"testing"

	"trellis/internal/shape"
)

func TestTargetsHaveLocalAddressesOnlyWhereAllowed(t *testing.T) {
	allowing := func(networks ...string) (p AddressPolicy) {
		for _, network := range networks {
			p.Allowed = append(p.Allowed, netip.MustParsePrefix(network))
		}
		return p
	}
	for _, test := range []struct {
		name    string
		policy  AddressPolicy
		ok, not string
	}{
		{"nothing allowed", AddressPolicy{}, "10.0.0.1 192.168.1.1 100.64.0.1 2001:db8::1 fd00::1 ::ffff:10.0.0.1",
			"127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 169.254.169.254 fe80::1 fe80::1%eth0 fd00:ec2::254 0.0.0.0 :: 224.0.0.1 ff02::1 255.255.255.255"},
		{"two networks allowed", allowing("127.0.0.0/16", "::1/128"), "127.0.0.1 ::1 ::ffff:127.0.0.1 10.0.0.1", "127.1.0.1 169.254.169.254 fe80::1"},
		{"link-local allowed", allowing("169.254.0.0/16", "fe80::/10"), "169.254.0.1 fe80::1 fe80::1%eth0", "127.0.0.1 ::1 fd00:ec2::254"},
		{"everything allowed", allowing("0.0.0.0/0", "::/0"), "127.0.0.1 ::1 169.254.169.254 fd00:ec2::254", "0.0.0.0 :: 224.0.0.1 ff02::1 255.255.255.255"},
		{"dev", AddressPolicy{Local: true}, "127.0.0.1 ::1 169.254.0.1 fe80::1", "0.0.0.0 :: 224.0.0.1"},
	} {
		for want, list := range map[bool]string{true: test.ok, false: test.not} {
			for text := range strings.FieldsSeq(list) {
				if err := test.policy.Check(netip.MustParseAddr(text)); (err == nil) != want {
					t.Errorf("%s: %s: %v", test.name, text, err)
				}
			}
		}
	}
}

func TestRefusedTargetSaysWhatWouldAllowIt(t *testing.T) {
	group := &TargetGroup{Type: ip, Config: &shape.TargetGroupConfig{IpAddressType: shape.IpAddressTypeIpv4}}
	problem := TargetProblem(group, shape.Target{Id: new("127.0.0.1")}, AddressPolicy{})
	if problem != "127.0.0.1 is a loopback address, which targets must not have unless trellis serve is started with --allow-targets and a network that contains it" {
		t.Errorf("problem %q", problem)
	}
}

func TestResourcesHaveLocalAddressesOnlyWhereAllowed(t *testing.T) {
	at := func(address string) *shape.ResourceConfigurationDefinition {
		return &shape.ResourceConfigurationDefinition{IpResource: &shape.IpResource{IpAddress: &address}}
	}
	in := func(networks ...string) *shape.ResourceConfigurationDefinition {
		return &shape.ResourceConfigurationDefinition{CidrResource: &shape.CidrResource{CidrRanges: networks}}
	}
	for _, test := range []struct {
		definition *shape.ResourceConfigurationDefinition
		problems   int
	}{
		{at("127.0.0.1"), 1}, {at("::1"), 1}, {at("10.0.0.1"), 0}, {at("fd00:ec2::254"), 1},
		{in("127.0.0.0/8", "10.0.0.0/8", "::1/128"), 2}, {in("127.0.0.1/32"), 1}, {in("126.0.0.0/7"), 1}, {in("0.0.0.0/0"), 0}, {in("10.0.0.0/8"), 0},
		{nil, 0},
	} {
		if problems := (AddressPolicy{}).DefinitionProblems(test.definition); len(problems) != test.problems {
			t.Errorf("%+v: %d problems, want %d: %v", test.definition, len(problems), test.problems, problems)
		}
		if problems := (AddressPolicy{Local: true}).DefinitionProblems(test.definition); len(problems) != 0 {
			t.Errorf("%+v: in dev: %v", test.definition, problems)
		}
	}
}
