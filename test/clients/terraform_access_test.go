package clients_test

import (
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

// resourceAccess is the part of the configuration by which clients reach resources in VPCs: a gateway, resource
// configurations of all types, an association with the service network, and a domain.
func (tf *terraform) resourceAccess() []*configured {
	id := func(name string) *string { return aws.String(tf.recall(name).id) }
	arn := func(name string) *string { return aws.String(tf.recall(name).arn) }
	tags := map[string]string{"managed-by": "terraform"}
	var (
		creating = []string{"CREATE_IN_PROGRESS"}
		updating = []string{"UPDATE_IN_PROGRESS"}
		deleting = []string{"DELETE_IN_PROGRESS", "ACTIVE"}
	)
	// configuration is a resource configuration. Its deletion is tried again while it is in a service network.
	configuration := func(name string, needs []string, in func(*vpclattice.CreateResourceConfigurationInput), change *vpclattice.UpdateResourceConfigurationInput) *configured {
		input := func() *vpclattice.CreateResourceConfigurationInput {
			out := &vpclattice.CreateResourceConfigurationInput{
				ClientToken: clientToken(), Name: aws.String(strings.ReplaceAll(name, "_", "-")), Tags: tags,
			}
			in(out)
			return out
		}
		wanted := func() *vpclattice.GetResourceConfigurationOutput {
			in := input()
			return &vpclattice.GetResourceConfigurationOutput{
				Name: in.Name, Type: in.Type, PortRanges: in.PortRanges, Protocol: in.Protocol, ResourceConfigurationDefinition: in.ResourceConfigurationDefinition,
				Status: types.ResourceConfigurationStatusActive,
			}
		}
		m := managed{
			name: name, kind: "ResourceConfiguration", needs: needs, creating: creating, updating: updating, deleting: deleting, retry: associatedWithNetworks,
			input: func() any { return input() }, wanted: func() any { return wanted() },
		}
		if change != nil {
			m.change = change
			m.changed = &vpclattice.GetResourceConfigurationOutput{
				PortRanges: change.PortRanges, ResourceConfigurationDefinition: change.ResourceConfigurationDefinition, Status: types.ResourceConfigurationStatusActive,
			}
		}
		return tf.manage(m)
	}
	byAddress := func(address string) types.ResourceConfigurationDefinition {
		return &types.ResourceConfigurationDefinitionMemberIpResource{Value: types.IpResource{IpAddress: &address}}
	}

	return []*configured{
		tf.manage(managed{
			// Once its deletion has been asked for, the provider takes ACTIVE for a failure.
			name: "resource_gateway", kind: "ResourceGateway", creating: creating, updating: updating, deleting: []string{"DELETE_IN_PROGRESS"},
			input: func() any {
				return &vpclattice.CreateResourceGatewayInput{
					ClientToken: clientToken(), Name: aws.String("gateway"), VpcIdentifier: aws.String("vpc-0123456789abcdef0"),
					SubnetIds: []string{"subnet-0123456789abcdef0", "subnet-0123456789abcdef1"}, SecurityGroupIds: []string{"sg-0123456789abcdef0"}, Tags: tags,
				}
			},
			wanted: func() any {
				return &vpclattice.GetResourceGatewayOutput{
					Name: aws.String("gateway"), VpcId: aws.String("vpc-0123456789abcdef0"), IpAddressType: types.ResourceGatewayIpAddressTypeIpv4,
					SubnetIds: []string{"subnet-0123456789abcdef0", "subnet-0123456789abcdef1"}, SecurityGroupIds: []string{"sg-0123456789abcdef0"},
				}
			},
			change:  &vpclattice.UpdateResourceGatewayInput{SecurityGroupIds: []string{"sg-0123456789abcdef1"}},
			changed: &vpclattice.GetResourceGatewayOutput{SecurityGroupIds: []string{"sg-0123456789abcdef1"}, Status: types.ResourceGatewayStatusActive},
		}),
		configuration("resource_configuration", []string{"resource_gateway"}, func(in *vpclattice.CreateResourceConfigurationInput) {
			in.Type, in.ResourceGatewayIdentifier = types.ResourceConfigurationTypeSingle, id("resource_gateway")
			in.PortRanges, in.Protocol = []string{"80", "8080"}, types.ProtocolTypeTcp
			in.ResourceConfigurationDefinition = &types.ResourceConfigurationDefinitionMemberDnsResource{Value: types.DnsResource{
				DomainName: aws.String("example.com"), IpAddressType: types.ResourceConfigurationIpAddressTypeIpv4,
			}}
		}, &vpclattice.UpdateResourceConfigurationInput{PortRanges: []string{"80"}}),
		configuration("arn_configuration", []string{"resource_gateway"}, func(in *vpclattice.CreateResourceConfigurationInput) {
			in.Type, in.ResourceGatewayIdentifier = types.ResourceConfigurationTypeArn, arn("resource_gateway")
			in.ResourceConfigurationDefinition = &types.ResourceConfigurationDefinitionMemberArnResource{Value: types.ArnResource{
				Arn: aws.String("arn:aws:rds:us-west-2:555555555555:cluster:orders"),
			}}
		}, nil),
		configuration("group_configuration", []string{"resource_gateway"}, func(in *vpclattice.CreateResourceConfigurationInput) {
			in.Type, in.ResourceGatewayIdentifier = types.ResourceConfigurationTypeGroup, id("resource_gateway")
			in.Protocol = types.ProtocolTypeTcp
		}, nil),
		configuration("child_configuration", []string{"group_configuration"}, func(in *vpclattice.CreateResourceConfigurationInput) {
			in.Type, in.ResourceConfigurationGroupIdentifier = types.ResourceConfigurationTypeChild, arn("group_configuration")
			in.PortRanges, in.ResourceConfigurationDefinition = []string{"5432"}, byAddress("10.0.0.2")
		}, &vpclattice.UpdateResourceConfigurationInput{PortRanges: []string{"5432"}, ResourceConfigurationDefinition: byAddress("10.0.0.3")}),
		tf.manage(managed{
			name: "service_network_resource_association", kind: "ServiceNetworkResourceAssociation", needs: []string{"service_network", "resource_configuration"},
			creating: creating, deleting: deleting,
			input: func() any {
				return &vpclattice.CreateServiceNetworkResourceAssociationInput{
					ClientToken: clientToken(), ServiceNetworkIdentifier: id("service_network"), ResourceConfigurationIdentifier: arn("resource_configuration"), Tags: tags,
				}
			},
			wanted: func() any {
				return &vpclattice.GetServiceNetworkResourceAssociationOutput{
					ServiceNetworkId: id("service_network"), ResourceConfigurationId: id("resource_configuration"), DnsEntry: &types.DnsEntry{},
				}
			},
		}),
		tf.manage(managed{
			name: "domain_verification", kind: "DomainVerification",
			input: func() any {
				return &vpclattice.StartDomainVerificationInput{ClientToken: clientToken(), DomainName: aws.String("terraform.example.com"), Tags: tags}
			},
			wanted: func() any {
				return &vpclattice.GetDomainVerificationOutput{
					DomainName: aws.String("terraform.example.com"), Status: types.VerificationStatusPending, TxtMethodConfig: &types.TxtMethodConfig{},
				}
			},
		}),
	}
}

// associatedWithNetworks reports whether a resource configuration cannot be deleted yet, which the provider knows by
// the words.
func associatedWithNetworks(err error) bool {
	invalid, ok := errors.AsType[*types.ValidationException](err)
	return ok && strings.Contains(*invalid.Message, "has existing association with service networks")
}
