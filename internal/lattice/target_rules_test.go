package lattice

import (
	"testing"

	"trellis/internal/shape"
)

func TestTargetsHaveTheFormThatTheirGroupNeeds(t *testing.T) {
	six := &TargetGroup{Type: ip, Config: &shape.TargetGroupConfig{IpAddressType: shape.IpAddressTypeIpv6}}
	four := &TargetGroup{Type: ip, Config: &shape.TargetGroupConfig{IpAddressType: shape.IpAddressTypeIpv4}}
	for _, test := range []struct {
		name    string
		group   *TargetGroup
		targets map[string]bool
	}{
		{"IPV4", four, map[string]bool{
			"10.0.0.1": true, "172.16.0.1": true, "192.168.0.1": true, "100.64.0.1": true, "127.0.0.1": true, "169.254.0.1": true,
			"192.0.2.1": true, "198.18.0.1": true, "198.51.100.1": true, "203.0.113.1": true,
			"8.8.8.8": false, "172.32.0.1": false, "100.128.0.1": false, "0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false,
			"10.0.0": false, "10.0.0.01": false, "10.0.0.1:80": false, "localhost": false, "::1": false, "::ffff:10.0.0.1": false,
		}},
		{"IPV6", six, map[string]bool{
			"::1": true, "fd00::1": true, "2600:1f14::1": true, "fe80::1": true,
			"::": false, "ff02::1": false, "fe80::1%eth0": false, "[::1]": false, "10.0.0.1": false, "::ffff:10.0.0.1": false,
		}},
		{"INSTANCE", &TargetGroup{Type: instance}, map[string]bool{
			"i-01234567": true, "i-0123456789abcdef0": true,
			"i-0123456": false, "i-0123456789ABCDEF0": false, "10.0.0.1": false, "xi-01234567": false,
		}},
		{"ALB", &TargetGroup{Type: alb}, map[string]bool{
			"arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/app/inner/0123456789abcdef":       true,
			"arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:123456789012:loadbalancer/app/in-ner/0123456789": true,
			"arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/net/inner/0123456789abcdef":       false,
			"arn:aws:elasticloadbalancing:us-west-2:123456789012:targetgroup/inner/0123456789abcdef":            false,
			"inner": false,
		}},
		{"LAMBDA", &TargetGroup{Type: lambda}, map[string]bool{
			"arn:aws:lambda:us-west-2:123456789012:function:my_function":         true,
			"arn:aws:lambda:us-west-2:123456789012:function:my_function:live":    true,
			"arn:aws:lambda:us-west-2:123456789012:function:my_function:12":      true,
			"arn:aws:lambda:us-west-2:123456789012:function:my_function:$LATEST": true,
			"arn:aws:lambda:us-west-2:123456789012:layer:my_layer":               false,
			"my_function": false,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for id, ok := range test.targets {
				if problem := TargetProblem(test.group, shape.Target{Id: &id}, AddressPolicy{Local: true}); ok != (problem == "") {
					t.Errorf("%s: %q", id, problem)
				}
			}
		})
	}
}

func TestTargetIsKnownByAddressAndPort(t *testing.T) {
	group := &TargetGroup{Type: ip, Config: &shape.TargetGroupConfig{Port: new(int32(8080)), IpAddressType: shape.IpAddressTypeIpv6}}
	for _, test := range []struct {
		group    *TargetGroup
		in       shape.Target
		wantID   string
		wantPort int32
	}{
		{group, shape.Target{Id: new("2001:DB8::0:1")}, "2001:db8::1", 8080},
		{group, shape.Target{Id: new("::1"), Port: new(int32(1))}, "::1", 1},
		{group, shape.Target{Id: new("not an address")}, "not an address", 8080},
		{&TargetGroup{Type: lambda}, shape.Target{Id: new("arn")}, "arn", 0},
	} {
		if id, port := TargetIdentity(test.group, test.in); id != test.wantID || port != test.wantPort {
			t.Errorf("%s: %s %d, want %s %d", *test.in.Id, id, port, test.wantID, test.wantPort)
		}
	}
}

// Ids are parts of keys, and two targets must never have the same key.
func TestTargetsHaveDistinctKeys(t *testing.T) {
	scope := Scope{Account: "123456789012", Region: "us-west-2"}
	keys := map[Key]string{}
	for _, target := range []struct {
		id   string
		port int32
	}{{"::1", 1}, {"::1:1", 0}, {"::", 11}, {"a/b", 1}, {"a%2Fb", 1}, {"a", 1}, {"a:1", 1}} {
		key := (&Target{Scope: scope, TargetGroupID: "tg-1", ID: target.id, Port: target.port}).Key()
		if other, ok := keys[key]; ok {
			t.Errorf("%s and %s have the key %s", target.id, other, key)
		}
		keys[key] = target.id
		if back, ok := ParseKey(key.String()); !ok || back != key {
			t.Errorf("%s: the key %s is read as %s", target.id, key, back)
		}
	}
}
