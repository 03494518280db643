package lattice

import (
	"testing"

	"trellis/internal/shape"
)

// The matrix of UG target-groups and UG tls-listeners.
func TestListenersForwardToTheTargetGroupsOfTheirProtocol(t *testing.T) {
	group := func(protocol shape.TargetGroupProtocol, version shape.TargetGroupProtocolVersion) *TargetGroup {
		return &TargetGroup{Config: &shape.TargetGroupConfig{Protocol: protocol, ProtocolVersion: version}}
	}
	tests := []struct {
		name             string
		group            *TargetGroup
		http, https, tls bool
	}{
		{"HTTP", group("HTTP", "HTTP1"), true, true, false},
		{"HTTPS", group("HTTPS", "HTTP1"), true, true, false},
		{"HTTP/2", group("HTTP", "HTTP2"), false, true, false},
		{"gRPC", group("HTTPS", "GRPC"), false, true, false},
		{"TCP", group("TCP", ""), false, false, true},
		{"a function", &TargetGroup{}, true, true, false},
		{"a function with events V2", &TargetGroup{Config: &shape.TargetGroupConfig{LambdaEventStructureVersion: "V2"}}, true, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for listener, want := range map[shape.ListenerProtocol]bool{
				shape.ListenerProtocolHttp:           test.http,
				shape.ListenerProtocolHttps:          test.https,
				shape.ListenerProtocolTlsPassthrough: test.tls,
			} {
				problem := test.group.ForwardProblem(listener)
				if got := problem == ""; got != want {
					t.Errorf("%s listener: %t, want %t (%s)", listener, got, want, problem)
				}
			}
		})
	}
}
