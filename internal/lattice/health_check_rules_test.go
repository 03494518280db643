package lattice

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/shape"
)

func newGroup(t *testing.T, groupType shape.TargetGroupType, config *shape.TargetGroupConfig) *TargetGroup {
	t.Helper()
	config, problems := NewTargetGroupConfig(groupType, config)
	if problems != nil {
		t.Fatal(problems)
	}
	return &TargetGroup{Type: groupType, Config: config}
}

func TestHealthChecksSpeakAsTheTrafficDoes(t *testing.T) {
	for _, test := range []struct {
		protocol shape.TargetGroupProtocol
		version  shape.TargetGroupProtocolVersion
		want     shape.HealthCheckConfig
	}{
		{"HTTP", "", shape.HealthCheckConfig{Enabled: new(true), Protocol: "HTTP", ProtocolVersion: "HTTP1"}},
		{"HTTPS", "HTTP1", shape.HealthCheckConfig{Enabled: new(true), Protocol: "HTTPS", ProtocolVersion: "HTTP1"}},
		{"HTTP", "HTTP2", shape.HealthCheckConfig{Enabled: new(false), Protocol: "HTTP", ProtocolVersion: "HTTP2"}},
		{"HTTPS", "GRPC", shape.HealthCheckConfig{Enabled: new(false), Protocol: "HTTPS", ProtocolVersion: "HTTP1"}},
		{"TCP", "", shape.HealthCheckConfig{Enabled: new(false)}},
	} {
		t.Run(string(test.protocol)+" "+string(test.version), func(t *testing.T) {
			group := newGroup(t, ip, &shape.TargetGroupConfig{
				Port: new(int32(1)), Protocol: test.protocol, ProtocolVersion: test.version, VpcIdentifier: new("vpc-12345678"),
			})
			hc := group.Config.HealthCheck
			got := shape.HealthCheckConfig{Enabled: hc.Enabled, Protocol: hc.Protocol, ProtocolVersion: hc.ProtocolVersion}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHealthCheckNumbersHaveTheDocumentedBounds(t *testing.T) {
	for name, bounds := range map[string]struct {
		set         func(*shape.HealthCheckConfig, *int32)
		least, most int32
	}{
		"healthCheckIntervalSeconds": {func(hc *shape.HealthCheckConfig, n *int32) { hc.HealthCheckIntervalSeconds = n }, 5, 300},
		"healthCheckTimeoutSeconds":  {func(hc *shape.HealthCheckConfig, n *int32) { hc.HealthCheckTimeoutSeconds = n }, 1, 120},
		"healthyThresholdCount":      {func(hc *shape.HealthCheckConfig, n *int32) { hc.HealthyThresholdCount = n }, 2, 10},
		"unhealthyThresholdCount":    {func(hc *shape.HealthCheckConfig, n *int32) { hc.UnhealthyThresholdCount = n }, 2, 10},
		"port":                       {func(hc *shape.HealthCheckConfig, n *int32) { hc.Port = n }, 1, 65535},
	} {
		for n, ok := range map[int32]bool{
			0: true, bounds.least: true, bounds.most: true, bounds.most + 1: false, -1: false, bounds.least - 1: bounds.least == 1,
		} {
			hc := &shape.HealthCheckConfig{}
			bounds.set(hc, &n)
			_, problems := NewTargetGroupConfig(instance, &shape.TargetGroupConfig{Protocol: "HTTP", VpcIdentifier: new("vpc-12345678"), HealthCheck: hc})
			if ok != (problems == nil) || !ok && problems[0].Field != "config.healthCheck."+name {
				t.Errorf("%s = %d: %v", name, n, problems)
			}
		}
	}
}

func TestUpdateKeepsWhatItDoesNotName(t *testing.T) {
	given := &shape.HealthCheckConfig{
		Enabled: new(false), HealthCheckIntervalSeconds: new(int32(10)), HealthCheckTimeoutSeconds: new(int32(20)),
		HealthyThresholdCount: new(int32(3)), UnhealthyThresholdCount: new(int32(4)), Matcher: &shape.Matcher{HttpCode: new("204")},
		Path: new("/health"), Port: new(int32(8080)), Protocol: "HTTPS", ProtocolVersion: "HTTP2",
	}
	group := newGroup(t, ip, &shape.TargetGroupConfig{Protocol: "HTTP", VpcIdentifier: new("vpc-12345678"), HealthCheck: given})
	before := *group.Config.HealthCheck

	same, problems := UpdatedTargetGroupConfig(group, &shape.HealthCheckConfig{})
	if diff := cmp.Diff(group.Config, same); diff != "" || problems != nil {
		t.Errorf("an empty update: %v (-want +got):\n%s", problems, diff)
	}

	reset, problems := UpdatedTargetGroupConfig(group, &shape.HealthCheckConfig{
		HealthCheckIntervalSeconds: new(int32(0)), HealthCheckTimeoutSeconds: new(int32(0)), HealthyThresholdCount: new(int32(0)),
		UnhealthyThresholdCount: new(int32(0)), Matcher: &shape.Matcher{HttpCode: new("")}, Path: new(""), Port: new(int32(0)),
	})
	if problems != nil {
		t.Fatal(problems)
	}
	want := &shape.HealthCheckConfig{
		Enabled: new(false), HealthCheckIntervalSeconds: new(int32(30)), HealthCheckTimeoutSeconds: new(int32(5)),
		HealthyThresholdCount: new(int32(5)), UnhealthyThresholdCount: new(int32(2)), Matcher: &shape.Matcher{HttpCode: new("200")},
		Path: new("/"), Protocol: "HTTPS", ProtocolVersion: "HTTP2",
	}
	if diff := cmp.Diff(want, reset.HealthCheck); diff != "" {
		t.Errorf("reset (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&before, group.Config.HealthCheck); diff != "" {
		t.Errorf("the record changed (-want +got):\n%s", diff)
	}
}

func TestMatcherTakesCodesAndRangesFrom200To499(t *testing.T) {
	for httpCode, ok := range map[string]bool{
		"200": true, "499": true, "200,202": true, "200-299": true, "200,300-399,404": true, "204-204": true, "": true,
		"199": false, "500": false, "200-500": false, "299-200": false, "200-": false, "-200": false, "200,": false, ",": false,
		"20": false, "0200": false, "200-250-299": false, "200--299": false, "+20": false,
	} {
		hc := &shape.HealthCheckConfig{Matcher: &shape.Matcher{HttpCode: &httpCode}}
		_, problems := NewTargetGroupConfig(ip, &shape.TargetGroupConfig{Protocol: "HTTP", VpcIdentifier: new("vpc-12345678"), HealthCheck: hc})
		if ok != (problems == nil) || !ok && problems[0].Field != "config.healthCheck.matcher.httpCode" {
			t.Errorf("%q: %v", httpCode, problems)
		}
	}
}
