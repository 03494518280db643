package clients_test

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

// kinds declares the kinds of resources that have the usual operations.
func kinds() []kind {
	size := aws.Int32(pageSize)
	name := func(format string, n int) *string { return aws.String(fmt.Sprintf(format, n)) }
	fixed := func(status int32) types.RuleAction {
		return &types.RuleActionMemberFixedResponse{Value: types.FixedResponseAction{StatusCode: &status}}
	}
	match := func(n int) types.RuleMatch {
		return &types.RuleMatchMemberHttpMatch{Value: types.HttpMatch{
			Method:    aws.String("GET"),
			PathMatch: &types.PathMatch{CaseSensitive: aws.Bool(true), Match: &types.PathMatchTypeMemberPrefix{Value: fmt.Sprintf("/path/%d", n)}},
			HeaderMatches: []types.HeaderMatch{
				{Name: aws.String("x-number"), CaseSensitive: aws.Bool(false), Match: &types.HeaderMatchTypeMemberExact{Value: fmt.Sprint(n)}},
				{Name: aws.String("x-other"), Match: &types.HeaderMatchTypeMemberContains{Value: fmt.Sprint(n)}},
			},
		}}
	}
	forward := func(r resource, weight *int32) types.RuleAction {
		return &types.RuleActionMemberForward{Value: types.ForwardAction{
			TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: &r.id, Weight: weight}},
		}}
	}
	ofService := func(w *world) map[string]string { return map[string]string{"ServiceIdentifier": w.of("Service", 1).id} }
	ofListener := func(w *world) map[string]string {
		return map[string]string{"ServiceIdentifier": w.of("Service", 1).arn, "ListenerIdentifier": w.of("Listener", 1).id}
	}

	byName := func(n int) types.ResourceConfigurationDefinition {
		return &types.ResourceConfigurationDefinitionMemberDnsResource{Value: types.DnsResource{
			DomainName: name("db-%d.example.com", n), IpAddressType: types.ResourceConfigurationIpAddressTypeIpv4,
		}}
	}
	destinations := []string{
		"arn:aws:s3:::access-logs", "arn:aws:logs:us-west-2:123456789012:log-group:access:*",
		"arn:aws:firehose:us-west-2:123456789012:deliverystream/access",
	}

	return []kind{
		{
			name: "ServiceNetwork", prefix: "sn", resourceType: "SERVICE_NETWORK", count: 5, quotaCode: "L-9CAD07FB",
			create: func(_ *world, n int) any {
				return &vpclattice.CreateServiceNetworkInput{Name: name("network-%d", n), SharingConfig: &types.SharingConfig{Enabled: aws.Bool(true)}}
			},
			get: func(_ *world, n int) any {
				return &vpclattice.GetServiceNetworkOutput{
					Name: name("network-%d", n), AuthType: types.AuthTypeNone, SharingConfig: &types.SharingConfig{Enabled: aws.Bool(true)},
					NumberOfAssociatedServices: aws.Int64(0), NumberOfAssociatedVPCs: aws.Int64(0),
				}
			},
			update:  &vpclattice.UpdateServiceNetworkInput{AuthType: types.AuthTypeAwsIam},
			updated: &vpclattice.GetServiceNetworkOutput{AuthType: types.AuthTypeAwsIam},
			list: func(c *vpclattice.Client, _ *world) lister {
				return paged(vpclattice.NewListServiceNetworksPaginator(c, &vpclattice.ListServiceNetworksInput{MaxResults: size}))
			},
			invalid: [2]string{"Name", "Not_A_Name"},
		},
		{
			name: "Service", prefix: "svc", resourceType: "SERVICE", count: 6, quotaCode: "L-620C821E",
			create: func(_ *world, n int) any {
				return &vpclattice.CreateServiceInput{Name: name("service-%d", n), CustomDomainName: name("service-%d.go.example.com", n)}
			},
			get: func(_ *world, n int) any {
				return &vpclattice.GetServiceOutput{
					Name: name("service-%d", n), CustomDomainName: name("service-%d.go.example.com", n),
					AuthType: types.AuthTypeNone, Status: types.ServiceStatusActive, DnsEntry: &types.DnsEntry{},
				}
			},
			update:  &vpclattice.UpdateServiceInput{AuthType: types.AuthTypeAwsIam},
			updated: &vpclattice.GetServiceOutput{AuthType: types.AuthTypeAwsIam, Status: types.ServiceStatusActive},
			list: func(c *vpclattice.Client, _ *world) lister {
				return paged(vpclattice.NewListServicesPaginator(c, &vpclattice.ListServicesInput{MaxResults: size}))
			},
			invalid: [2]string{"Name", "Not_A_Name"},
		},
		{
			name: "TargetGroup", prefix: "tg", resourceType: "TARGET_GROUP", count: 5, quotaCode: "L-BB11C6B9",
			create: func(_ *world, n int) any {
				return &vpclattice.CreateTargetGroupInput{
					Name: name("group-%d", n), Type: types.TargetGroupTypeIp,
					Config: &types.TargetGroupConfig{Port: aws.Int32(80), Protocol: types.TargetGroupProtocolHttp, VpcIdentifier: aws.String("vpc-0123456789abcdef0")},
				}
			},
			get: func(_ *world, n int) any {
				return &vpclattice.GetTargetGroupOutput{
					Name: name("group-%d", n), Type: types.TargetGroupTypeIp, Status: types.TargetGroupStatusActive, ServiceArns: []string{},
					Config: &types.TargetGroupConfig{
						Port: aws.Int32(80), Protocol: types.TargetGroupProtocolHttp, VpcIdentifier: aws.String("vpc-0123456789abcdef0"),
						ProtocolVersion: types.TargetGroupProtocolVersionHttp1, IpAddressType: types.IpAddressTypeIpv4,
						HealthCheck: &types.HealthCheckConfig{Enabled: aws.Bool(true), Path: aws.String("/"), Matcher: &types.MatcherMemberHttpCode{Value: "200"}},
					},
				}
			},
			update: &vpclattice.UpdateTargetGroupInput{HealthCheck: &types.HealthCheckConfig{Path: aws.String("/health")}},
			updated: &vpclattice.GetTargetGroupOutput{Status: types.TargetGroupStatusActive, Config: &types.TargetGroupConfig{
				HealthCheck: &types.HealthCheckConfig{Path: aws.String("/health"), HealthyThresholdCount: aws.Int32(5)},
			}},
			list: func(c *vpclattice.Client, _ *world) lister {
				return paged(vpclattice.NewListTargetGroupsPaginator(c, &vpclattice.ListTargetGroupsInput{MaxResults: size, TargetGroupType: types.TargetGroupTypeIp}))
			},
			invalid: [2]string{"Name", "Not_A_Name"},
		},
		{
			name: "ServiceNetworkServiceAssociation", prefix: "snsa", resourceType: "SERVICE_NETWORK_SERVICE_ASSOCIATION", count: 5, quotaCode: "L-75D4A19E",
			create: func(w *world, n int) any {
				return &vpclattice.CreateServiceNetworkServiceAssociationInput{
					ServiceIdentifier: aws.String(w.of("Service", n).arn), ServiceNetworkIdentifier: aws.String(w.of("ServiceNetwork", 1).id),
				}
			},
			get: func(w *world, n int) any {
				return &vpclattice.GetServiceNetworkServiceAssociationOutput{
					ServiceId: aws.String(w.of("Service", n).id), ServiceArn: aws.String(w.of("Service", n).arn), ServiceName: name("service-%d", n),
					ServiceNetworkId: aws.String(w.of("ServiceNetwork", 1).id), ServiceNetworkName: aws.String("network-1"),
					CustomDomainName: name("service-%d.go.example.com", n), Status: types.ServiceNetworkServiceAssociationStatusActive, DnsEntry: &types.DnsEntry{},
				}
			},
			list: func(c *vpclattice.Client, w *world) lister {
				return paged(vpclattice.NewListServiceNetworkServiceAssociationsPaginator(c, &vpclattice.ListServiceNetworkServiceAssociationsInput{
					MaxResults: size, ServiceNetworkIdentifier: aws.String(w.of("ServiceNetwork", 1).arn),
				}))
			},
			invalid: [2]string{"ServiceNetworkIdentifier", "not-a-service-network"},
		},
		{
			name: "ServiceNetworkVpcAssociation", prefix: "snva", resourceType: "SERVICE_NETWORK_VPC_ASSOCIATION", count: 5, quotaCode: "L-EF6E2D62",
			create: func(w *world, n int) any {
				return &vpclattice.CreateServiceNetworkVpcAssociationInput{
					ServiceNetworkIdentifier: aws.String(w.of("ServiceNetwork", 1).arn), VpcIdentifier: name("vpc-%017d", n),
					SecurityGroupIds: []string{"sg-00000000000000001"},
				}
			},
			get: func(w *world, n int) any {
				return &vpclattice.GetServiceNetworkVpcAssociationOutput{
					ServiceNetworkId: aws.String(w.of("ServiceNetwork", 1).id), VpcId: name("vpc-%017d", n),
					SecurityGroupIds: []string{"sg-00000000000000001"}, Status: types.ServiceNetworkVpcAssociationStatusActive,
				}
			},
			update:  &vpclattice.UpdateServiceNetworkVpcAssociationInput{SecurityGroupIds: []string{"sg-00000000000000002", "sg-00000000000000001"}},
			updated: &vpclattice.GetServiceNetworkVpcAssociationOutput{SecurityGroupIds: []string{"sg-00000000000000002", "sg-00000000000000001"}},
			list: func(c *vpclattice.Client, w *world) lister {
				return paged(vpclattice.NewListServiceNetworkVpcAssociationsPaginator(c, &vpclattice.ListServiceNetworkVpcAssociationsInput{
					MaxResults: size, ServiceNetworkIdentifier: aws.String(w.of("ServiceNetwork", 1).id),
				}))
			},
			invalid: [2]string{"VpcIdentifier", "not-a-vpc"},
		},
		{
			name: "Listener", prefix: "listener", resourceType: "LISTENER", count: 5, quotaCode: "L-D64E952E", parents: ofService,
			create: func(_ *world, n int) any {
				return &vpclattice.CreateListenerInput{
					Name: name("http-%d", n), Protocol: types.ListenerProtocolHttp, Port: aws.Int32(int32(8000 + n)), DefaultAction: fixed(404),
				}
			},
			get: func(w *world, n int) any {
				return &vpclattice.GetListenerOutput{
					Name: name("http-%d", n), Protocol: types.ListenerProtocolHttp, Port: aws.Int32(int32(8000 + n)), DefaultAction: fixed(404),
					ServiceId: aws.String(w.of("Service", 1).id), ServiceArn: aws.String(w.of("Service", 1).arn),
				}
			},
			update:  &vpclattice.UpdateListenerInput{DefaultAction: fixed(500)},
			updated: &vpclattice.GetListenerOutput{DefaultAction: fixed(500)},
			list: func(c *vpclattice.Client, w *world) lister {
				return paged(vpclattice.NewListListenersPaginator(c, &vpclattice.ListListenersInput{
					MaxResults: size, ServiceIdentifier: aws.String(w.of("Service", 1).arn),
				}))
			},
			invalid: [2]string{"Name", "Not_A_Name"},
		},
		{
			// The default rule comes first in the list.
			name: "Rule", prefix: "rule", resourceType: "RULE", count: 5, quotaCode: "L-CF78395E", before: 1, parents: ofListener,
			create: func(w *world, n int) any {
				return &vpclattice.CreateRuleInput{
					Name: name("for-number-%d", n), Priority: aws.Int32(int32(10 + n)), Match: match(n), Action: forward(w.of("TargetGroup", 1), nil),
				}
			},
			get: func(w *world, n int) any {
				return &vpclattice.GetRuleOutput{
					Name: name("for-number-%d", n), Priority: aws.Int32(int32(10 + n)), Match: match(n), IsDefault: aws.Bool(false),
					Action: forward(w.of("TargetGroup", 1), aws.Int32(100)),
				}
			},
			update:  &vpclattice.UpdateRuleInput{Priority: aws.Int32(20), Action: fixed(404)},
			updated: &vpclattice.GetRuleOutput{Priority: aws.Int32(20), Action: fixed(404), Match: match(1)},
			list: func(c *vpclattice.Client, w *world) lister {
				return paged(vpclattice.NewListRulesPaginator(c, &vpclattice.ListRulesInput{
					MaxResults: size, ServiceIdentifier: aws.String(w.of("Service", 1).id), ListenerIdentifier: aws.String(w.of("Listener", 1).arn),
				}))
			},
			invalid: [2]string{"Name", "Not_A_Name"},
		},
		{
			// There can be one subscription per type of destination.
			name: "AccessLogSubscription", prefix: "als", resourceType: "ACCESS_LOG_SUBSCRIPTION", count: len(destinations),
			create: func(w *world, n int) any {
				return &vpclattice.CreateAccessLogSubscriptionInput{ResourceIdentifier: aws.String(w.of("ServiceNetwork", 1).id), DestinationArn: &destinations[n-1]}
			},
			get: func(w *world, n int) any {
				return &vpclattice.GetAccessLogSubscriptionOutput{
					ResourceId: aws.String(w.of("ServiceNetwork", 1).id), ResourceArn: aws.String(w.of("ServiceNetwork", 1).arn),
					DestinationArn: &destinations[n-1], ServiceNetworkLogType: types.ServiceNetworkLogTypeService,
				}
			},
			update:  &vpclattice.UpdateAccessLogSubscriptionInput{DestinationArn: aws.String("arn:aws:s3:::other-access-logs")},
			updated: &vpclattice.GetAccessLogSubscriptionOutput{DestinationArn: aws.String("arn:aws:s3:::other-access-logs")},
			list: func(c *vpclattice.Client, w *world) lister {
				return paged(vpclattice.NewListAccessLogSubscriptionsPaginator(c, &vpclattice.ListAccessLogSubscriptionsInput{
					MaxResults: size, ResourceIdentifier: aws.String(w.of("ServiceNetwork", 1).arn),
				}))
			},
			invalid: [2]string{"DestinationArn", "arn:aws:sqs:us-west-2:123456789012:a-queue"},
		},
		{
			name: "DomainVerification", prefix: "dv", resourceType: "DOMAIN_VERIFICATION", count: 5, quotaCode: "L-73D0F278",
			create: func(_ *world, n int) any {
				return &vpclattice.StartDomainVerificationInput{DomainName: name("shop-%d.example.com", n), Tags: map[string]string{"number": fmt.Sprint(n)}}
			},
			get: func(_ *world, n int) any {
				return &vpclattice.GetDomainVerificationOutput{
					DomainName: name("shop-%d.example.com", n), Status: types.VerificationStatusPending,
					TxtMethodConfig: &types.TxtMethodConfig{}, Tags: map[string]string{"number": fmt.Sprint(n)},
				}
			},
			list: func(c *vpclattice.Client, _ *world) lister {
				return paged(vpclattice.NewListDomainVerificationsPaginator(c, &vpclattice.ListDomainVerificationsInput{MaxResults: size}))
			},
			invalid: [2]string{"DomainName", "not a domain"},
		},
		{
			name: "ResourceGateway", prefix: "rgw", resourceType: "RESOURCE_GATEWAY", count: 5, quotaCode: "L-0DCA4434",
			create: func(_ *world, n int) any {
				return &vpclattice.CreateResourceGatewayInput{
					Name: name("gateway-%d", n), VpcIdentifier: aws.String("vpc-0123456789abcdef0"), SubnetIds: []string{"subnet-00000000000000001"},
					SecurityGroupIds: []string{"sg-00000000000000001"}, Ipv4AddressesPerEni: aws.Int32(4),
				}
			},
			get: func(_ *world, n int) any {
				return &vpclattice.GetResourceGatewayOutput{
					Name: name("gateway-%d", n), VpcId: aws.String("vpc-0123456789abcdef0"), SubnetIds: []string{"subnet-00000000000000001"},
					SecurityGroupIds: []string{"sg-00000000000000001"}, Ipv4AddressesPerEni: aws.Int32(4),
					IpAddressType: types.ResourceGatewayIpAddressTypeIpv4, Status: types.ResourceGatewayStatusActive,
				}
			},
			update:  &vpclattice.UpdateResourceGatewayInput{SecurityGroupIds: []string{"sg-00000000000000002", "sg-00000000000000001"}},
			updated: &vpclattice.GetResourceGatewayOutput{SecurityGroupIds: []string{"sg-00000000000000002", "sg-00000000000000001"}},
			list: func(c *vpclattice.Client, _ *world) lister {
				return paged(vpclattice.NewListResourceGatewaysPaginator(c, &vpclattice.ListResourceGatewaysInput{MaxResults: size}))
			},
			invalid: [2]string{"Name", "Not_A_Name"},
		},
		{
			name: "ResourceConfiguration", prefix: "rcfg", resourceType: "RESOURCE_CONFIGURATION", count: 6, quotaCode: "L-5FF8F9B9",
			create: func(w *world, n int) any {
				return &vpclattice.CreateResourceConfigurationInput{
					Name: name("configuration-%d", n), Type: types.ResourceConfigurationTypeSingle, Protocol: types.ProtocolTypeTcp,
					ResourceGatewayIdentifier: aws.String(w.of("ResourceGateway", 1).id), PortRanges: []string{"443", "5432-5439"},
					ResourceConfigurationDefinition:           byName(n),
					AllowAssociationToShareableServiceNetwork: aws.Bool(true),
				}
			},
			get: func(w *world, n int) any {
				return &vpclattice.GetResourceConfigurationOutput{
					Name: name("configuration-%d", n), Type: types.ResourceConfigurationTypeSingle, Protocol: types.ProtocolTypeTcp,
					ResourceGatewayId: aws.String(w.of("ResourceGateway", 1).id), PortRanges: []string{"443", "5432-5439"},
					ResourceConfigurationDefinition:           byName(n),
					AllowAssociationToShareableServiceNetwork: aws.Bool(true), AmazonManaged: aws.Bool(false),
					Status: types.ResourceConfigurationStatusActive,
				}
			},
			update:  &vpclattice.UpdateResourceConfigurationInput{PortRanges: []string{"8443"}},
			updated: &vpclattice.GetResourceConfigurationOutput{PortRanges: []string{"8443"}, Status: types.ResourceConfigurationStatusActive},
			list: func(c *vpclattice.Client, w *world) lister {
				return paged(vpclattice.NewListResourceConfigurationsPaginator(c, &vpclattice.ListResourceConfigurationsInput{
					MaxResults: size, ResourceGatewayIdentifier: aws.String(w.of("ResourceGateway", 1).arn),
				}))
			},
			invalid: [2]string{"Name", "Not_A_Name"},
		},
		{
			name: "ServiceNetworkResourceAssociation", prefix: "snra", resourceType: "SERVICE_NETWORK_RESOURCE_ASSOCIATION", count: 5, quotaCode: "L-6095700C",
			create: func(w *world, n int) any {
				return &vpclattice.CreateServiceNetworkResourceAssociationInput{
					ServiceNetworkIdentifier: aws.String(w.of("ServiceNetwork", 1).arn), ResourceConfigurationIdentifier: aws.String(w.of("ResourceConfiguration", n).id),
				}
			},
			get: func(w *world, n int) any {
				return &vpclattice.GetServiceNetworkResourceAssociationOutput{
					ServiceNetworkId: aws.String(w.of("ServiceNetwork", 1).id), ServiceNetworkName: aws.String("network-1"),
					ResourceConfigurationId: aws.String(w.of("ResourceConfiguration", n).id), ResourceConfigurationName: name("configuration-%d", n),
					PrivateDnsEnabled: aws.Bool(false), IsManagedAssociation: aws.Bool(false), DnsEntry: &types.DnsEntry{},
					Status: types.ServiceNetworkResourceAssociationStatusActive,
				}
			},
			list: func(c *vpclattice.Client, w *world) lister {
				return paged(vpclattice.NewListServiceNetworkResourceAssociationsPaginator(c, &vpclattice.ListServiceNetworkResourceAssociationsInput{
					MaxResults: size, ServiceNetworkIdentifier: aws.String(w.of("ServiceNetwork", 1).id),
				}))
			},
			invalid: [2]string{"ResourceConfigurationIdentifier", "not-a-resource-configuration"},
		},
	}
}
