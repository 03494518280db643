package authorization

import (
	"trellis/internal/api"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// The service's condition keys whose values come with a request or belong to a stored resource
// (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonvpclattice.html).
const (
	keyAuthType                   = "vpc-lattice:AuthType"
	keyDomainName                 = "vpc-lattice:DomainName"
	keyPrivateDNSPreference       = "vpc-lattice:PrivateDnsPreference"
	keyPrivateDNSSpecifiedDomains = "vpc-lattice:PrivateDnsSpecifiedDomains"
	keyProtocol                   = "vpc-lattice:Protocol"
	keyResourceConfigurationARN   = "vpc-lattice:ResourceConfigurationArn"
	keySecurityGroupIDs           = "vpc-lattice:SecurityGroupIds"
	keyServiceARN                 = "vpc-lattice:ServiceArn"
	keyServiceNetworkARN          = "vpc-lattice:ServiceNetworkArn"
	keyTargetGroupARNs            = "vpc-lattice:TargetGroupArns"
	keyVpcEndpointID              = "vpc-lattice:VpcEndpointId"
	keyVpcID                      = "vpc-lattice:VpcId"
)

// question is what a call's policies are asked: may the caller do it to this resource? keys are the service's
// condition keys whose values come with the request.
type question struct {
	resource string
	keys     map[string][]string
}

// questions returns what the policies must allow for a call: one thing, except for operations that touch several resources.
func questions(call api.Call) []question {
	scope := call.Caller.Scope()
	keys := requestKeys(scope, call.Input)
	list := []question{{call.Resource, keys}}
	also := func(key string) {
		for _, arn := range keys[key] {
			list = append(list, question{arn, keys})
		}
	}
	switch in := call.Input.(type) {
	// An association of two resources needs permission to associate each of them (Service Authorization Reference).
	case *shape.CreateServiceNetworkServiceAssociationRequest:
		also(keyServiceARN)
		also(keyServiceNetworkARN)
	case *shape.CreateServiceNetworkVpcAssociationRequest:
		also(keyServiceNetworkARN)
	case *shape.CreateServiceNetworkResourceAssociationRequest:
		also(keyResourceConfigurationARN)
		also(keyServiceNetworkARN)
	case *shape.BatchUpdateRuleRequest:
		list = nil
		for _, rule := range in.Rules {
			id := *rule.RuleIdentifier
			if arn, ok := lattice.ParseARN(id); ok {
				id = arn.ID()
			}
			list = append(list, question{withID(call.Resource, id), targetGroups(scope, rule.Action)})
		}
	}
	return list
}

// withID replaces the star at the end of an ARN by an id.
func withID(arn, id string) string { return arn[:len(arn)-1] + id }

// requestKeys returns the service's condition keys that come with a request: which operation has which is in the
// Service Authorization Reference.
func requestKeys(scope lattice.Scope, input any) map[string][]string {
	keys := map[string][]string{}
	text := func(key string, value *string) {
		if value != nil {
			keys[key] = []string{*value}
		}
	}
	arn := func(key string, kind lattice.Kind, identifier *string) {
		if identifier != nil {
			keys[key] = []string{arnOf(scope, kind, *identifier)}
		}
	}
	enum := func(key, value string) {
		if value != "" {
			keys[key] = []string{value}
		}
	}
	list := func(key string, values []string) {
		if values != nil {
			keys[key] = values
		}
	}
	switch in := input.(type) {
	case *shape.CreateServiceRequest:
		enum(keyAuthType, string(in.AuthType))
	case *shape.UpdateServiceRequest:
		enum(keyAuthType, string(in.AuthType))
	case *shape.CreateServiceNetworkRequest:
		enum(keyAuthType, string(in.AuthType))
	case *shape.UpdateServiceNetworkRequest:
		enum(keyAuthType, string(in.AuthType))
	case *shape.CreateListenerRequest:
		enum(keyProtocol, string(in.Protocol))
		list(keyTargetGroupARNs, targetGroups(scope, in.DefaultAction)[keyTargetGroupARNs])
	case *shape.UpdateListenerRequest:
		return targetGroups(scope, in.DefaultAction)
	case *shape.CreateRuleRequest:
		return targetGroups(scope, in.Action)
	case *shape.UpdateRuleRequest:
		return targetGroups(scope, in.Action)
	case *shape.CreateTargetGroupRequest:
		if in.Config != nil {
			text(keyVpcID, in.Config.VpcIdentifier)
		}
	case *shape.CreateServiceNetworkServiceAssociationRequest:
		arn(keyServiceARN, lattice.KindService, in.ServiceIdentifier)
		arn(keyServiceNetworkARN, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
	case *shape.ListServiceNetworkServiceAssociationsRequest:
		arn(keyServiceARN, lattice.KindService, in.ServiceIdentifier)
		arn(keyServiceNetworkARN, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
	case *shape.CreateServiceNetworkVpcAssociationRequest:
		arn(keyServiceNetworkARN, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
		text(keyVpcID, in.VpcIdentifier)
		list(keySecurityGroupIDs, in.SecurityGroupIds)
		if in.DnsOptions != nil {
			enum(keyPrivateDNSPreference, string(in.DnsOptions.PrivateDnsPreference))
			list(keyPrivateDNSSpecifiedDomains, in.DnsOptions.PrivateDnsSpecifiedDomains)
		}
	case *shape.UpdateServiceNetworkVpcAssociationRequest:
		list(keySecurityGroupIDs, in.SecurityGroupIds)
	case *shape.ListServiceNetworkVpcAssociationsRequest:
		arn(keyServiceNetworkARN, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
		text(keyVpcID, in.VpcIdentifier)
	case *shape.CreateServiceNetworkResourceAssociationRequest:
		arn(keyResourceConfigurationARN, lattice.KindResourceConfiguration, in.ResourceConfigurationIdentifier)
		arn(keyServiceNetworkARN, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
	case *shape.ListResourceEndpointAssociationsRequest:
		arn(keyResourceConfigurationARN, lattice.KindResourceConfiguration, in.ResourceConfigurationIdentifier)
		text(keyVpcEndpointID, in.VpcEndpointId)
	case *shape.CreateResourceGatewayRequest:
		text(keyVpcID, in.VpcIdentifier)
		list(keySecurityGroupIDs, in.SecurityGroupIds)
	case *shape.UpdateResourceGatewayRequest:
		list(keySecurityGroupIDs, in.SecurityGroupIds)
	case *shape.CreateResourceConfigurationRequest:
		text(keyDomainName, in.CustomDomainName)
	case *shape.StartDomainVerificationRequest:
		text(keyDomainName, in.DomainName)
	}
	return keys
}

// arnOf returns the ARN of the resource of a kind that an identifier, an id or an ARN, names. Of an ARN only the last id
// counts, as it does for the operations: some members have no pattern that says more, and nobody must evade a policy by
// writing an ARN in an unusual way.
func arnOf(scope lattice.Scope, kind lattice.Kind, identifier string) string {
	if arn, ok := lattice.ParseARN(identifier); ok {
		scope, identifier = arn.Scope, arn.ID()
	}
	return lattice.FormatARN(scope, string(kind)+"/"+identifier)
}

// targetGroups returns the key for the target groups that an action forwards to, if it forwards.
func targetGroups(scope lattice.Scope, action *shape.RuleAction) map[string][]string {
	keys := map[string][]string{}
	if action == nil || action.Forward == nil {
		return keys
	}
	for _, group := range action.Forward.TargetGroups {
		keys[keyTargetGroupARNs] = append(keys[keyTargetGroupARNs], arnOf(scope, lattice.KindTargetGroup, *group.TargetGroupIdentifier))
	}
	return keys
}
