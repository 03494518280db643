package lattice

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/shape"
)

const (
	ip       = shape.TargetGroupTypeIp
	instance = shape.TargetGroupTypeInstance
	alb      = shape.TargetGroupTypeAlb
	lambda   = shape.TargetGroupTypeLambda
)

// wrongFields returns the names of what is wrong.
func wrongFields(problems []FieldProblem) []string {
	var names []string
	for _, p := range problems {
		names = append(names, p.Field)
	}
	slices.Sort(names)
	return names
}

// fullConfig has every member except the health check.
func fullConfig() *shape.TargetGroupConfig {
	return &shape.TargetGroupConfig{
		HealthCheck:                 &shape.HealthCheckConfig{},
		IpAddressType:               shape.IpAddressTypeIpv4,
		LambdaEventStructureVersion: shape.LambdaEventStructureVersionV1,
		Port:                        new(int32(80)),
		Protocol:                    shape.TargetGroupProtocolHttp,
		ProtocolVersion:             shape.TargetGroupProtocolVersionHttp1,
		VpcIdentifier:               new("vpc-12345678"),
	}
}

func TestWhatATypeDoesNotSupportIsRefusedByName(t *testing.T) {
	for _, test := range []struct {
		groupType shape.TargetGroupType
		want      []string
	}{
		{ip, []string{"config.lambdaEventStructureVersion"}},
		{instance, []string{"config.ipAddressType", "config.lambdaEventStructureVersion"}},
		{alb, []string{"config.healthCheck", "config.ipAddressType", "config.lambdaEventStructureVersion"}},
		{lambda, []string{"config.healthCheck", "config.ipAddressType", "config.port", "config.protocol", "config.protocolVersion", "config.vpcIdentifier"}},
	} {
		t.Run(string(test.groupType), func(t *testing.T) {
			config, problems := NewTargetGroupConfig(test.groupType, fullConfig())
			if diff := cmp.Diff(test.want, wrongFields(problems)); diff != "" || config != nil {
				t.Errorf("config %v, wrong fields (-want +got):\n%s", config, diff)
			}
		})
	}
}

func TestTargetGroupNeedsAVpcAndAPort(t *testing.T) {
	vpc := new("vpc-12345678")
	const tcp = shape.TargetGroupProtocolTcp
	for _, test := range []struct {
		name      string
		groupType shape.TargetGroupType
		in        *shape.TargetGroupConfig
		want      []string
	}{
		{"no config", ip, nil, []string{"config"}},
		{"no config for a function", lambda, nil, nil},
		{"nothing", instance, &shape.TargetGroupConfig{}, []string{"config.protocol", "config.vpcIdentifier"}},
		{"no VPC", alb, &shape.TargetGroupConfig{Protocol: "HTTP"}, []string{"config.vpcIdentifier"}},
		{"port by default", ip, &shape.TargetGroupConfig{Protocol: "HTTPS", VpcIdentifier: vpc}, nil},
		{"no default port", ip, &shape.TargetGroupConfig{Protocol: tcp, VpcIdentifier: vpc}, []string{"config.port"}},
		{"version of TCP", ip, &shape.TargetGroupConfig{Protocol: tcp, ProtocolVersion: "HTTP2", Port: new(int32(1)), VpcIdentifier: vpc}, []string{"config.protocolVersion"}},
		{"TCP to a load balancer", alb, &shape.TargetGroupConfig{Protocol: tcp, Port: new(int32(1)), VpcIdentifier: vpc}, nil},
		{"HTTP2 to a load balancer", alb, &shape.TargetGroupConfig{Protocol: "HTTP", ProtocolVersion: "HTTP2", VpcIdentifier: vpc}, []string{"config.protocolVersion"}},
		{"GRPC to a load balancer", alb, &shape.TargetGroupConfig{Protocol: "HTTP", ProtocolVersion: "GRPC", VpcIdentifier: vpc}, []string{"config.protocolVersion"}},
		{"GRPC", instance, &shape.TargetGroupConfig{Protocol: "HTTP", ProtocolVersion: "GRPC", VpcIdentifier: vpc}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := NewTargetGroupConfig(test.groupType, test.in)
			if diff := cmp.Diff(test.want, wrongFields(problems)); diff != "" {
				t.Errorf("wrong fields (-want +got):\n%s", diff)
			}
		})
	}
}

// A record must not share memory that the client's next request may change, nor change what the client sent.
func TestDefaultsAreNotWrittenIntoTheRequest(t *testing.T) {
	in := &shape.TargetGroupConfig{Protocol: "HTTP", VpcIdentifier: new("vpc-12345678"), HealthCheck: &shape.HealthCheckConfig{}}
	if _, problems := NewTargetGroupConfig(ip, in); problems != nil {
		t.Fatal(problems)
	}
	want := &shape.TargetGroupConfig{Protocol: "HTTP", VpcIdentifier: in.VpcIdentifier, HealthCheck: &shape.HealthCheckConfig{}}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Errorf("the request changed (-want +got):\n%s", diff)
	}
}
