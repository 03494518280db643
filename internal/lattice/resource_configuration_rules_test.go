package lattice

import (
	"strconv"
	"testing"

	"trellis/internal/shape"
)

func TestPortRangesAreOnePortOrTwo(t *testing.T) {
	for text, want := range map[string]PortRange{
		"1": {1, 1}, "443": {443, 443}, "65535": {65535, 65535}, "1-65535": {1, 65535}, "80-80": {80, 80}, "08000-8010": {8000, 8010},
	} {
		if got, ok := parsePortRange(text); !ok || got != want {
			t.Errorf("%q is %v, %t; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", "0", "0-80", "65536", "80-79", "80-", "-80", "1-2-3", "a", "+80", "80-+90", " 80", "99999999999999999999"} {
		if got, ok := parsePortRange(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func FuzzPortRange(f *testing.F) {
	for _, seed := range []string{"1", "1-65535", "80-", "-", "65536", "1-2-3"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parsePortRange(text)
		if !ok {
			return
		}
		if r.From < 1 || r.To > 65535 || r.From > r.To {
			t.Errorf("%q is %v", text, r)
		}
		if again, ok := parsePortRange(strconv.Itoa(r.From) + "-" + strconv.Itoa(r.To)); !ok || again != r {
			t.Errorf("%v is read back as %v", r, again)
		}
	})
}

func TestOverlappingPortRangesAreNamed(t *testing.T) {
	for _, test := range []struct {
		list []string
		want []string
	}{
		{[]string{"1", "2", "22-30", "3-21"}, nil},
		{[]string{"80", "80"}, []string{"portRanges[1]"}},
		{[]string{"80-90", "1-79", "90-91", "85"}, []string{"portRanges[2]", "portRanges[3]"}},
		{[]string{"90-80", "80-90"}, []string{"portRanges[0]"}},
	} {
		var got []string
		for _, p := range portRangeProblems(test.list) {
			got = append(got, p.Field)
		}
		if len(got) != len(test.want) {
			t.Errorf("%v: the wrong ranges are %v, want %v", test.list, got, test.want)
			continue
		}
		for i := range got {
			if got[i] != test.want[i] {
				t.Errorf("%v: the wrong ranges are %v, want %v", test.list, got, test.want)
			}
		}
	}
}

func TestResourcesHaveAddressesOfVPCs(t *testing.T) {
	for _, address := range []string{"10.1.2.3", "100.64.0.1", "172.31.255.255", "192.168.0.1", "127.0.0.1", "::1", "fd00::5", "2001:db8::5"} {
		if problem := resourceAddressProblem(address); problem != "" {
			t.Errorf("%s %s", address, problem)
		}
	}
	for _, address := range []string{"8.8.8.8", "0.0.0.0", "172.32.0.1", "224.0.0.1", "169.254.1.1", "::", "ff02::1", "fe80::1", "::ffff:10.0.0.1", "fd00::5%eth0", "host", ""} {
		if resourceAddressProblem(address) == "" {
			t.Errorf("%s was accepted", address)
		}
	}
}

func TestGatewayReachesItsOwnAddressFamilies(t *testing.T) {
	type definition = shape.ResourceConfigurationDefinition
	text := func(s string) *string { return &s }
	v4 := &definition{IpResource: &shape.IpResource{IpAddress: text("10.0.0.1")}}
	v6 := &definition{IpResource: &shape.IpResource{IpAddress: text("fd00::1")}}
	name4 := &definition{DnsResource: &shape.DnsResource{DomainName: text("example.com"), IpAddressType: shape.ResourceConfigurationIpAddressTypeIpv4}}
	name6 := &definition{DnsResource: &shape.DnsResource{DomainName: text("example.com"), IpAddressType: shape.ResourceConfigurationIpAddressTypeIpv6}}
	name := &definition{DnsResource: &shape.DnsResource{DomainName: text("example.com")}}
	both := &definition{CidrResource: &shape.CidrResource{CidrRanges: []string{"10.0.0.0/8", "fd00::/64"}}}
	database := &definition{ArnResource: &shape.ArnResource{Arn: text("arn:aws:rds:us-west-2:123456789012:cluster:orders")}}
	for _, test := range []struct {
		gateway     shape.ResourceGatewayIpAddressType
		reaches     []*definition
		unreachable []*definition
	}{
		{shape.ResourceGatewayIpAddressTypeIpv4, []*definition{v4, name4, name, database, nil}, []*definition{v6, name6, both}},
		{shape.ResourceGatewayIpAddressTypeIpv6, []*definition{v6, name6, name, database, nil}, []*definition{v4, name4, both}},
		{shape.ResourceGatewayIpAddressTypeDualstack, []*definition{v4, v6, name4, name6, name, both, database, nil}, nil},
	} {
		gateway := &ResourceGateway{IPAddressType: test.gateway}
		for _, d := range test.reaches {
			if problem := gateway.AddressProblem(d); problem != "" {
				t.Errorf("%s: %s", test.gateway, problem)
			}
		}
		for i, d := range test.unreachable {
			if gateway.AddressProblem(d) == "" {
				t.Errorf("%s: it reaches number %d", test.gateway, i)
			}
		}
	}
}
