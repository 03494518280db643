package inventory

import (
	"strings"
	"testing"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

func TestOnlyListedMachinesOfTheGroupsVPCCanBecomeTargets(t *testing.T) {
	const vpcs = "vpcs: [{id: vpc-11111111, cidrs: [10.0.0.0/16]}, {id: vpc-22222222, cidrs: [10.1.0.0/16]}]\n"
	const balancer = "arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/app/web/0123456789abcdef"
	running := "instances: [{id: i-11111111, address: 10.0.0.1, vpc: vpc-11111111}]\n"
	for _, test := range []struct {
		name, text string
		groupType  shape.TargetGroupType
		id, want   string
	}{
		{"no list", vpcs, shape.TargetGroupTypeInstance, "i-11111111", ""},
		{"an empty list", vpcs + "instances: []\n", shape.TargetGroupTypeInstance, "i-11111111", "has no instance i-11111111"},
		{"a running instance", vpcs + running, shape.TargetGroupTypeInstance, "i-11111111", ""},
		{"another instance", vpcs + running, shape.TargetGroupTypeInstance, "i-22222222", "has no instance i-22222222"},
		{"another VPC", vpcs + "instances: [{id: i-11111111, address: 10.1.0.1, vpc: vpc-22222222}]", shape.TargetGroupTypeInstance, "i-11111111", "Instance targets must be in the same VPC as their target group"},
		{"a stopped instance", vpcs + "instances: [{id: i-11111111, address: 10.0.0.1, vpc: vpc-11111111, state: stopped}]", shape.TargetGroupTypeInstance, "i-11111111", "i-11111111 is stopped"},
		{"no list of load balancers", vpcs + running, shape.TargetGroupTypeAlb, balancer, ""},
		{"an unknown load balancer", vpcs + "loadBalancers: []", shape.TargetGroupTypeAlb, balancer, "has no load balancer"},
		{"a load balancer of no VPC", vpcs + "loadBalancers: [{arn: '" + balancer + "', address: 10.0.0.2}]", shape.TargetGroupTypeAlb, balancer, ""},
		{"a load balancer of another VPC", vpcs + "loadBalancers: [{arn: '" + balancer + "', address: 10.1.0.2, vpc: vpc-22222222}]", shape.TargetGroupTypeAlb, balancer, "same VPC as the target group"},
		{"an address", vpcs + running, shape.TargetGroupTypeIp, "10.0.0.9", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Parse([]byte(test.text), "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			group := &lattice.TargetGroup{Type: test.groupType, Config: &shape.TargetGroupConfig{VpcIdentifier: new("vpc-11111111")}}
			if got := s.TargetProblem(group, test.id); got != test.want && (test.want == "" || !strings.Contains(got, test.want)) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
