package clients_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

// newTerraform returns Terraform with a configuration of all resources of the provider. References are ids in some
// places and ARNs in others: the plan is empty all the same. An instance must answer on a port of the loopback.
func newTerraform(t *testing.T, c *vpclattice.Client, instancePort int32) *terraform {
	tf := &terraform{t: t, client: c, state: map[string]resource{}}
	id := func(name string) *string { return aws.String(tf.recall(name).id) }
	arn := func(name string) *string { return aws.String(tf.recall(name).arn) }
	tags := map[string]string{"managed-by": "terraform"}
	const vpc = "vpc-0123456789abcdef0"
	var (
		creating = []string{"CREATE_IN_PROGRESS"}
		deleting = []string{"DELETE_IN_PROGRESS", "ACTIVE"}
	)
	ofService := func() map[string]string { return map[string]string{"ServiceIdentifier": tf.recall("service").id} }
	ofListener := func() map[string]string {
		return map[string]string{"ServiceIdentifier": tf.recall("service").arn, "ListenerIdentifier": tf.recall("listener").arn}
	}
	forward := func(weighted ...types.WeightedTargetGroup) types.RuleAction {
		return &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: weighted}}
	}
	match := &types.RuleMatchMemberHttpMatch{Value: types.HttpMatch{
		Method:    aws.String("GET"),
		PathMatch: &types.PathMatch{CaseSensitive: aws.Bool(true), Match: &types.PathMatchTypeMemberPrefix{Value: "/example-path"}},
		HeaderMatches: []types.HeaderMatch{{
			Name: aws.String("example-header"), CaseSensitive: aws.Bool(false), Match: &types.HeaderMatchTypeMemberContains{Value: "example-contains"},
		}},
	}}

	tf.resources = []*configured{
		tf.manage(managed{
			name: "service_network", kind: "ServiceNetwork",
			input: func() any {
				return &vpclattice.CreateServiceNetworkInput{ClientToken: clientToken(), Name: aws.String("shop"), AuthType: types.AuthTypeNone, Tags: tags}
			},
			wanted: func() any {
				return &vpclattice.GetServiceNetworkOutput{Name: aws.String("shop"), AuthType: types.AuthTypeNone}
			},
			change:  &vpclattice.UpdateServiceNetworkInput{AuthType: types.AuthTypeAwsIam},
			changed: &vpclattice.GetServiceNetworkOutput{Name: aws.String("shop"), AuthType: types.AuthTypeAwsIam},
		}),
		tf.manage(managed{
			name: "service", kind: "Service", creating: creating, deleting: deleting,
			input: func() any {
				return &vpclattice.CreateServiceInput{
					ClientToken: clientToken(), Name: aws.String("web"), AuthType: types.AuthTypeNone, CustomDomainName: aws.String("web.example.com"), Tags: tags,
				}
			},
			wanted: func() any {
				return &vpclattice.GetServiceOutput{
					Name: aws.String("web"), AuthType: types.AuthTypeNone, CustomDomainName: aws.String("web.example.com"), Status: types.ServiceStatusActive,
				}
			},
			change:  &vpclattice.UpdateServiceInput{AuthType: types.AuthTypeAwsIam},
			changed: &vpclattice.GetServiceOutput{AuthType: types.AuthTypeAwsIam, Status: types.ServiceStatusActive},
		}),
		tf.manage(managed{
			name: "service_network_service_association", kind: "ServiceNetworkServiceAssociation", needs: []string{"service_network", "service"},
			creating: creating, deleting: deleting,
			input: func() any {
				return &vpclattice.CreateServiceNetworkServiceAssociationInput{
					ClientToken: clientToken(), ServiceIdentifier: arn("service"), ServiceNetworkIdentifier: id("service_network"), Tags: tags,
				}
			},
			wanted: func() any {
				return &vpclattice.GetServiceNetworkServiceAssociationOutput{
					ServiceId: id("service"), ServiceNetworkId: id("service_network"), CreatedBy: aws.String(terraformAccount),
					CustomDomainName: aws.String("web.example.com"), DnsEntry: &types.DnsEntry{}, Status: types.ServiceNetworkServiceAssociationStatusActive,
				}
			},
		}),
		tf.manage(managed{
			name: "service_network_vpc_association", kind: "ServiceNetworkVpcAssociation", needs: []string{"service_network"},
			creating: creating, deleting: deleting, retry: conflictOverUpdate,
			input: func() any {
				return &vpclattice.CreateServiceNetworkVpcAssociationInput{
					ClientToken: clientToken(), VpcIdentifier: aws.String(vpc), ServiceNetworkIdentifier: arn("service_network"),
					SecurityGroupIds: []string{"sg-0bbbbbbbbbbbbbbbb", "sg-0aaaaaaaaaaaaaaaa"}, Tags: tags,
				}
			},
			wanted: func() any {
				return &vpclattice.GetServiceNetworkVpcAssociationOutput{
					VpcId: aws.String(vpc), ServiceNetworkId: id("service_network"), SecurityGroupIds: []string{"sg-0bbbbbbbbbbbbbbbb", "sg-0aaaaaaaaaaaaaaaa"},
				}
			},
			change:  &vpclattice.UpdateServiceNetworkVpcAssociationInput{SecurityGroupIds: []string{"sg-0cccccccccccccccc"}},
			changed: &vpclattice.GetServiceNetworkVpcAssociationOutput{SecurityGroupIds: []string{"sg-0cccccccccccccccc"}},
		}),
		tf.manage(managed{
			name: "target_group", kind: "TargetGroup", creating: creating, updating: creating, deleting: deleting,
			input: func() any {
				return &vpclattice.CreateTargetGroupInput{
					ClientToken: clientToken(), Name: aws.String("instances"), Type: types.TargetGroupTypeIp, Tags: tags,
					Config: &types.TargetGroupConfig{Port: aws.Int32(8080), Protocol: types.TargetGroupProtocolHttp, VpcIdentifier: aws.String(vpc)},
				}
			},
			wanted: func() any {
				return &vpclattice.GetTargetGroupOutput{Type: types.TargetGroupTypeIp, Config: &types.TargetGroupConfig{
					Port: aws.Int32(8080), Protocol: types.TargetGroupProtocolHttp, VpcIdentifier: aws.String(vpc),
					IpAddressType: types.IpAddressTypeIpv4, ProtocolVersion: types.TargetGroupProtocolVersionHttp1,
				}}
			},
			change: &vpclattice.UpdateTargetGroupInput{HealthCheck: &types.HealthCheckConfig{Path: aws.String("/instance"), Matcher: &types.MatcherMemberHttpCode{Value: "200-299"}}},
			changed: &vpclattice.GetTargetGroupOutput{Config: &types.TargetGroupConfig{
				Port:        aws.Int32(8080),
				HealthCheck: &types.HealthCheckConfig{Path: aws.String("/instance"), Matcher: &types.MatcherMemberHttpCode{Value: "200-299"}, Enabled: aws.Bool(true)},
			}},
		}),
		tf.manage(managed{
			name: "function_target_group", kind: "TargetGroup", creating: creating, deleting: deleting,
			input: func() any {
				return &vpclattice.CreateTargetGroupInput{ClientToken: clientToken(), Name: aws.String("function"), Type: types.TargetGroupTypeLambda, Tags: tags}
			},
			wanted: func() any { return &vpclattice.GetTargetGroupOutput{Type: types.TargetGroupTypeLambda} },
		}),
		tf.attachment("target_group_attachment", "target_group", types.Target{Id: aws.String("127.0.0.1"), Port: aws.Int32(instancePort)}),
		tf.attachment("function_attachment", "function_target_group", types.Target{Id: aws.String("arn:aws:lambda:us-west-2:555555555555:function:orders")}),
		tf.manage(managed{
			name: "listener", kind: "Listener", needs: []string{"service", "target_group"}, parents: ofService,
			input: func() any {
				return &vpclattice.CreateListenerInput{
					ClientToken: clientToken(), Name: aws.String("http"), Protocol: types.ListenerProtocolHttp, Tags: tags,
					DefaultAction: forward(types.WeightedTargetGroup{TargetGroupIdentifier: id("target_group")}),
				}
			},
			// The port is computed when it is not given, and so is the weight.
			wanted: func() any {
				return &vpclattice.GetListenerOutput{
					Name: aws.String("http"), Protocol: types.ListenerProtocolHttp, Port: aws.Int32(80), ServiceId: id("service"), ServiceArn: arn("service"),
					DefaultAction: forward(types.WeightedTargetGroup{TargetGroupIdentifier: id("target_group"), Weight: aws.Int32(100)}),
				}
			},
			change:  &vpclattice.UpdateListenerInput{DefaultAction: &types.RuleActionMemberFixedResponse{Value: types.FixedResponseAction{StatusCode: aws.Int32(404)}}},
			changed: &vpclattice.GetListenerOutput{DefaultAction: &types.RuleActionMemberFixedResponse{Value: types.FixedResponseAction{StatusCode: aws.Int32(404)}}},
		}),
		tf.manage(managed{
			name: "listener_rule", kind: "Rule", needs: []string{"service", "listener", "target_group", "function_target_group"}, parents: ofListener,
			input: func() any {
				return &vpclattice.CreateRuleInput{
					ClientToken: clientToken(), Name: aws.String("by-path"), Priority: aws.Int32(20), Match: match, Tags: tags,
					Action: forward(
						types.WeightedTargetGroup{TargetGroupIdentifier: id("target_group"), Weight: aws.Int32(25)},
						types.WeightedTargetGroup{TargetGroupIdentifier: id("function_target_group"), Weight: aws.Int32(75)},
					),
				}
			},
			wanted: func() any {
				return &vpclattice.GetRuleOutput{
					Name: aws.String("by-path"), Priority: aws.Int32(20), Match: match,
					Action: forward(
						types.WeightedTargetGroup{TargetGroupIdentifier: id("target_group"), Weight: aws.Int32(25)},
						types.WeightedTargetGroup{TargetGroupIdentifier: id("function_target_group"), Weight: aws.Int32(75)},
					),
				}
			},
			change:  &vpclattice.UpdateRuleInput{Priority: aws.Int32(40)},
			changed: &vpclattice.GetRuleOutput{Priority: aws.Int32(40), Match: match},
		}),
	}
	tf.resources = append(tf.resources, tf.resourceAccess()...)
	tf.resources = append(tf.resources, tf.policiesAndLogs()...)
	return tf
}
