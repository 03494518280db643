package health

import (
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// coverage is whether health checks apply to a target group, and why not.
type coverage int

const (
	// checked: its targets are probed.
	checked coverage = iota
	// disabled: its settings turn checks off.
	disabled
	// unsupported: its type has no health checks.
	unsupported
)

// The defaults of health check settings (UG target-group-health-checks). The control plane stores settings with the
// defaults filled in; they stand here because a record may be older than a member.
const (
	defaultInterval           = 30 * time.Second
	defaultTimeout            = 5 * time.Second
	defaultHealthyThreshold   = 5
	defaultUnhealthyThreshold = 2
	defaultPath               = "/"
	defaultHTTPCode           = "200"
)

// settings are the health check settings of a target group. Equal settings have equal effects.
type settings struct {
	*question
	// healthyThreshold is how many successes in a row make an unhealthy target healthy, unhealthyThreshold how many
	// failures in a row make any target unhealthy.
	healthyThreshold, unhealthyThreshold int
}

// question is the part of the settings whose change invalidates earlier answers.
type question struct {
	https, http2 bool
	port         uint16 // 0: the port that the target gets traffic on.
	path         string
	httpCode     string
	matcher      Matcher // httpCode, parsed.
	interval     time.Duration
	timeout      time.Duration
	// target is the path as a request has it; it is empty if there can be no request for it.
	target string
}

// probe returns the question to a target at an address.
func (q *question) probe(address netip.AddrPort) Probe {
	return Probe{Address: address, HTTPS: q.https, HTTP2: q.http2, Path: q.path}
}

// at returns the address where a target with a given traffic address is asked.
func (q *question) at(address netip.AddrPort) netip.AddrPort {
	if q == nil || q.port == 0 {
		return address
	}
	return netip.AddrPortFrom(address.Addr(), q.port)
}

// isPlain reports whether the question is one of HTTP/1.1 without TLS.
func (q *question) isPlain() bool { return !q.https && !q.http2 && q.target != "" }

// lateError says that there was no answer to a question in time.
type lateError question

func (e *lateError) Error() string { return fmt.Sprintf("timed out after %v", e.timeout) }

// coverageOf returns whether the targets of a group are probed, and why not.
func coverageOf(group *lattice.TargetGroup) coverage {
	switch {
	case !lattice.HasHealthChecks(group.Type):
		return unsupported
	case group.Config == nil || group.Config.HealthCheck == nil || !orZero(group.Config.HealthCheck.Enabled):
		return disabled
	default:
		return checked
	}
}

// settingsOf returns the settings of a group whose coverage is checked. If its matcher cannot be parsed, which the control
// plane should prevent, it returns settings that no response satisfies, and the error.
func settingsOf(group *lattice.TargetGroup) (settings, error) {
	hc := group.Config.HealthCheck
	s := settings{
		question: &question{
			https:    hc.Protocol == shape.TargetGroupProtocolHttps,
			http2:    hc.ProtocolVersion == shape.HealthCheckProtocolVersionHttp2,
			port:     uint16(orZero(hc.Port)),
			path:     orDefault(hc.Path, defaultPath),
			httpCode: defaultHTTPCode,
			interval: seconds(hc.HealthCheckIntervalSeconds, defaultInterval),
			timeout:  seconds(hc.HealthCheckTimeoutSeconds, defaultTimeout),
		},
		healthyThreshold:   int(orDefault(hc.HealthyThresholdCount, defaultHealthyThreshold)),
		unhealthyThreshold: int(orDefault(hc.UnhealthyThresholdCount, defaultUnhealthyThreshold)),
	}
	if hc.Matcher != nil {
		s.httpCode = orDefault(hc.Matcher.HttpCode, defaultHTTPCode)
	}
	if parsed, err := url.Parse("http://host" + s.path); err == nil {
		s.target = parsed.RequestURI()
	}
	var err error
	s.matcher, err = parseMatcher(s.httpCode)
	return s, err
}

func orZero[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// orDefault returns what p points to. For nil, and for zero, which resets a member, it returns the default.
func orDefault[T comparable](p *T, def T) T {
	if v := orZero(p); v != *new(T) {
		return v
	}
	return def
}

func seconds(p *int32, def time.Duration) time.Duration {
	if n := orZero(p); n > 0 {
		return time.Duration(n) * time.Second
	}
	return def
}
