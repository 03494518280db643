package lattice

import (
	"fmt"
	"strconv"
	"strings"

	"trellis/internal/shape"
)

// healthCheckEdit applies a client's health check settings to the current ones.
type healthCheckEdit struct {
	// prefix is the path of the settings in the input: "config.healthCheck" or "healthCheck".
	prefix   string
	problems []FieldProblem
}

// newHealthCheck returns the settings of a new target group, given its other configuration.
func newHealthCheck(config *shape.TargetGroupConfig, in *shape.HealthCheckConfig) (*shape.HealthCheckConfig, []FieldProblem) {
	e := healthCheckEdit{prefix: "config.healthCheck"}
	defaults := defaultHealthCheck(config)
	if in == nil {
		return defaults, nil
	}
	return e.apply(config, defaults, defaults, in), e.problems
}

// UpdatedTargetGroupConfig returns a target group's configuration after a change of its health check settings, or
// what is wrong with the change. A member that is absent keeps its value; 0 and the empty string reset it to the
// default (UG target-group-health-checks; that absent members keep theirs is A-017).
func UpdatedTargetGroupConfig(group *TargetGroup, in *shape.HealthCheckConfig) (*shape.TargetGroupConfig, []FieldProblem) {
	if !HasHealthChecks(group.Type) {
		return nil, []FieldProblem{unsupported(group.Type, "healthCheck", "health check config")}
	}
	e := healthCheckEdit{prefix: "healthCheck"}
	out := *group.Config
	out.HealthCheck = e.apply(group.Config, group.Config.HealthCheck, defaultHealthCheck(group.Config), in)
	if e.problems != nil {
		return nil, e.problems
	}
	return &out, nil
}

// defaultHealthCheck returns the default settings. Health checks are on by default where the target group tells how to make
// them: not for HTTP2, GRPC and TCP. They use the protocol of the traffic (CLI create-target-group shows it, though the
// text says HTTP), and its version, as the Gateway API controller expects, or HTTP/1.1 where health checks do not have that
// version. For TCP, the settings say nothing but that checks are off: otherwise the controller would correct them again and
// again.
func defaultHealthCheck(config *shape.TargetGroupConfig) *shape.HealthCheckConfig {
	if config.Protocol == shape.TargetGroupProtocolTcp {
		return &shape.HealthCheckConfig{Enabled: new(false)}
	}
	protocol := shape.TargetGroupProtocolHttp
	if config.Protocol == shape.TargetGroupProtocolHttps {
		protocol = shape.TargetGroupProtocolHttps
	}
	version := shape.HealthCheckProtocolVersionHttp1
	if config.ProtocolVersion == shape.TargetGroupProtocolVersionHttp2 {
		version = shape.HealthCheckProtocolVersionHttp2
	}
	return &shape.HealthCheckConfig{
		Enabled:                    new(config.ProtocolVersion == shape.TargetGroupProtocolVersionHttp1),
		HealthCheckIntervalSeconds: new(int32(30)),
		HealthCheckTimeoutSeconds:  new(int32(5)),
		HealthyThresholdCount:      new(int32(5)),
		UnhealthyThresholdCount:    new(int32(2)),
		Matcher:                    &shape.Matcher{HttpCode: new("200")},
		Path:                       new("/"),
		Protocol:                   protocol,
		ProtocolVersion:            version,
	}
}

// apply returns the resulting settings. The model's bounds of numbers are wider than the documented ones, to admit the 0
// that resets.
func (e *healthCheckEdit) apply(config *shape.TargetGroupConfig, current, defaults, in *shape.HealthCheckConfig) *shape.HealthCheckConfig {
	out := *current
	for _, n := range []struct {
		name             string
		value            **int32
		byDefault, given *int32
		least, most      int32
	}{
		{"healthCheckIntervalSeconds", &out.HealthCheckIntervalSeconds, defaults.HealthCheckIntervalSeconds, in.HealthCheckIntervalSeconds, 5, 300},
		{"healthCheckTimeoutSeconds", &out.HealthCheckTimeoutSeconds, defaults.HealthCheckTimeoutSeconds, in.HealthCheckTimeoutSeconds, 1, 120},
		{"healthyThresholdCount", &out.HealthyThresholdCount, defaults.HealthyThresholdCount, in.HealthyThresholdCount, 2, 10},
		{"unhealthyThresholdCount", &out.UnhealthyThresholdCount, defaults.UnhealthyThresholdCount, in.UnhealthyThresholdCount, 2, 10},
		{"port", &out.Port, nil, in.Port, 1, 65535},
	} {
		switch {
		case n.given == nil:
		case *n.given == 0:
			*n.value = n.byDefault
		case *n.given < n.least || *n.given > n.most:
			e.refuse(n.name, fmt.Sprintf("Value '%d' at '%s.%s' must be from %d to %d, or 0 for the default.", *n.given, e.prefix, n.name, n.least, n.most))
		default:
			*n.value = n.given
		}
	}
	if in.Enabled != nil {
		out.Enabled = in.Enabled
	}
	switch {
	case in.Path == nil:
	case *in.Path == "":
		out.Path = defaults.Path
	default:
		out.Path = in.Path
	}
	if in.Matcher != nil {
		out.Matcher = e.matcher(defaults.Matcher, in.Matcher)
	}
	e.protocol(config, &out, in, *current.Enabled)
	return &out
}

func (e *healthCheckEdit) matcher(byDefault, given *shape.Matcher) *shape.Matcher {
	if given.HttpCode == nil || *given.HttpCode == "" {
		return byDefault
	}
	for item := range strings.SplitSeq(*given.HttpCode, ",") {
		if !isStatusCodes(item) {
			e.refuse("matcher.httpCode", fmt.Sprintf(
				"Value '%s' at '%s.matcher.httpCode' must be status codes from 200 to 499 or ranges of them, separated by commas: 200, 200,202 or 200-299.",
				*given.HttpCode, e.prefix))
			break
		}
	}
	return given
}

// isStatusCodes reports whether s is a status code or a range that a health check can ask for (UG target-group-health-checks).
func isStatusCodes(s string) bool {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	return isStatusCode(first) && isStatusCode(last) && first <= last
}

func isStatusCode(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && len(s) == 3 && n >= 200 && n <= 499
}

// protocol sets the protocol of the checks. Where the traffic is not HTTP, a client that turns checks on has to name it (UG
// tls-listeners for TCP, UG target-group-health-checks for GRPC).
func (e *healthCheckEdit) protocol(config *shape.TargetGroupConfig, out, in *shape.HealthCheckConfig, wasEnabled bool) {
	if in.Protocol == shape.TargetGroupProtocolTcp {
		e.refuse("protocol", fmt.Sprintf("Value 'TCP' at '%s.protocol' must be HTTP or HTTPS: health checks are HTTP requests.", e.prefix))
	}
	if in.Protocol != "" {
		out.Protocol = in.Protocol
	}
	if in.ProtocolVersion != "" {
		out.ProtocolVersion = in.ProtocolVersion
	}
	if wasEnabled || !*out.Enabled {
		return
	}
	isTCP := config.Protocol == shape.TargetGroupProtocolTcp
	isGRPC := config.ProtocolVersion == shape.TargetGroupProtocolVersionGrpc
	if isTCP && in.Protocol == "" {
		e.refuse("protocol", fmt.Sprintf("A value at '%s.protocol' is required to enable health checks of a TCP Target Group: HTTP or HTTPS.", e.prefix))
	}
	if (isTCP || isGRPC) && in.ProtocolVersion == "" {
		e.refuse("protocolVersion", fmt.Sprintf("A value at '%s.protocolVersion' is required to enable health checks of a TCP or GRPC Target Group: HTTP1 or HTTP2.", e.prefix))
	}
}

func (e *healthCheckEdit) refuse(name, message string) {
	e.problems = append(e.problems, FieldProblem{e.prefix + "." + name, message})
}
