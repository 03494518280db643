package lattice

import (
	"fmt"

	"trellis/internal/shape"
)

// NewTargetGroupConfig returns the configuration of a new target group, or what is wrong with it. It is the client's with
// all defaults filled in, as GetTargetGroup echoes it (CLI create-target-group).
func NewTargetGroupConfig(groupType shape.TargetGroupType, in *shape.TargetGroupConfig) (*shape.TargetGroupConfig, []FieldProblem) {
	rules := typeOf(groupType)
	if !rules.has("protocol") {
		return newConfigWithoutProtocol(groupType, in)
	}
	if in == nil {
		return nil, []FieldProblem{{"config", fmt.Sprintf("%s Target Group requires a config with vpcIdentifier and protocol.", groupType)}}
	}
	out := *in
	problems := unsupportedMembers(groupType, in)
	problems = append(problems, requiredMembers(groupType, in)...)
	if out.Port == nil && out.Protocol != shape.TargetGroupProtocolTcp {
		out.Port = new(defaultTargetPort(out.Protocol))
	}
	if out.ProtocolVersion == "" && out.Protocol != shape.TargetGroupProtocolTcp {
		out.ProtocolVersion = shape.TargetGroupProtocolVersionHttp1
	}
	if rules.has("ipAddressType") && out.IpAddressType == "" {
		out.IpAddressType = shape.IpAddressTypeIpv4
	}
	if rules.has("healthCheck") {
		healthCheck, wrong := newHealthCheck(&out, in.HealthCheck)
		out.HealthCheck = healthCheck
		problems = append(problems, wrong...)
	}
	if problems != nil {
		return nil, problems
	}
	return &out, nil
}

// newConfigWithoutProtocol returns the configuration of a LAMBDA target group. Without its only member it is nil: the default
// event structure version is not echoed (CLI create-target-group).
func newConfigWithoutProtocol(groupType shape.TargetGroupType, in *shape.TargetGroupConfig) (*shape.TargetGroupConfig, []FieldProblem) {
	if in == nil || *in == (shape.TargetGroupConfig{}) {
		return nil, nil
	}
	if problems := unsupportedMembers(groupType, in); problems != nil {
		return nil, problems
	}
	return in, nil
}

// unsupportedMembers names the members that a type of target group does not have (API TargetGroupConfig). The text about
// health checks is AWS's (github.com/aws-ia/terraform-aws-amazon-vpc-lattice-module/issues/29); the others follow it
//
func unsupportedMembers(groupType shape.TargetGroupType, in *shape.TargetGroupConfig) []FieldProblem {
	rules := typeOf(groupType)
	var problems []FieldProblem
	for _, m := range []struct {
		name, words string
		given       bool
	}{
		{"healthCheck", "health check config", in.HealthCheck != nil},
		{"ipAddressType", "ipAddressType", in.IpAddressType != ""},
		{"lambdaEventStructureVersion", "lambdaEventStructureVersion", in.LambdaEventStructureVersion != ""},
		{"port", "port", in.Port != nil},
		{"protocol", "protocol", in.Protocol != ""},
		{"protocolVersion", "protocolVersion", in.ProtocolVersion != ""},
		{"vpcIdentifier", "vpcIdentifier", in.VpcIdentifier != nil},
	} {
		if m.given && !rules.has(m.name) {
			problems = append(problems, unsupported(groupType, "config."+m.name, m.words))
		}
	}
	return problems
}

func unsupported(groupType shape.TargetGroupType, field, words string) FieldProblem {
	return FieldProblem{field, fmt.Sprintf("%s Target Group does not support %s", groupType, words)}
}

// requiredMembers names the members that a target group with a protocol lacks, and those that exclude each other. The model
// requires nothing, because of LAMBDA; Terraform requires what is required here, and the port, which has a default for HTTP
// and HTTPS only.
func requiredMembers(groupType shape.TargetGroupType, in *shape.TargetGroupConfig) []FieldProblem {
	var problems []FieldProblem
	if in.VpcIdentifier == nil {
		problems = append(problems, FieldProblem{"config.vpcIdentifier", fmt.Sprintf("%s Target Group requires vpcIdentifier.", groupType)})
	}
	isTCP := in.Protocol == shape.TargetGroupProtocolTcp
	switch {
	case in.Protocol == "":
		problems = append(problems, FieldProblem{"config.protocol", fmt.Sprintf("%s Target Group requires protocol.", groupType)})
	case isTCP && in.Port == nil:
		problems = append(problems, FieldProblem{"config.port", "A Target Group with the protocol TCP requires port."})
	}
	switch {
	case in.ProtocolVersion == "" || in.ProtocolVersion == shape.TargetGroupProtocolVersionHttp1 && !isTCP:
	case isTCP:
		problems = append(problems, FieldProblem{"config.protocolVersion", "A Target Group with the protocol TCP does not support protocolVersion."})
	case typeOf(groupType).isHTTP1Only:
		problems = append(problems, unsupported(groupType, "config.protocolVersion", "protocolVersion "+string(in.ProtocolVersion)))
	}
	return problems
}

func defaultTargetPort(protocol shape.TargetGroupProtocol) int32 {
	if protocol == shape.TargetGroupProtocolHttps {
		return 443
	}
	return 80
}
