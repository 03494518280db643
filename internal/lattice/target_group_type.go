package lattice

import (
	"regexp"
	"slices"

	"trellis/internal/shape"
)

// targetGroupType has everything about a type of target groups on which the rules of the API depend. How traffic reaches the
// targets is up to routing.Place and package upstream.
type targetGroupType struct {
	// members are the members of the configuration (API TargetGroupConfig). If a type has a port, each of its targets has one
	// too.
	members []string
	// isHTTP1Only says that the protocol versions HTTP2 and GRPC are for other types (UG target-groups).
	isHTTP1Only bool
	// holdsOneTarget says that there is one target at most (API RegisterTargets, UG alb-target).
	holdsOneTarget bool
	// problem says why an id cannot be that of a target, or returns "" if it can.
	problem func(id string, group *TargetGroup, addresses AddressPolicy) string
	// example is the id of a target.
	example func(scope Scope) string
}

// The forms of target ids. A function's ARN may name a version or an alias (UG lambda-functions).
var (
	instanceID  = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)
	functionARN = regexp.MustCompile(`^arn:[a-z0-9-]+:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9_-]{1,140}(:(\$LATEST|[a-zA-Z0-9_-]+))?$`)
	balancerARN = regexp.MustCompile(`^arn:[a-z0-9-]+:elasticloadbalancing:[a-z0-9-]+:\d{12}:loadbalancer/app/[a-zA-Z0-9-]+/[0-9a-f]+$`)
)

var targetGroupTypes = map[shape.TargetGroupType]targetGroupType{
	shape.TargetGroupTypeIp: {
		members: []string{"healthCheck", "ipAddressType", "port", "protocol", "protocolVersion", "vpcIdentifier"},
		problem: func(id string, group *TargetGroup, addresses AddressPolicy) string {
			return addressProblem(id, group.Config.IpAddressType, addresses)
		},
		example: func(Scope) string { return "10.0.0.1" },
	},
	shape.TargetGroupTypeInstance: {
		members: []string{"healthCheck", "port", "protocol", "protocolVersion", "vpcIdentifier"},
		problem: ofForm(instanceID, "Targets of an INSTANCE target group must be instance IDs, such as i-0123456789abcdef0"),
		example: func(Scope) string { return "i-0123456789abcdef0" },
	},
	shape.TargetGroupTypeAlb: {
		members:        []string{"port", "protocol", "protocolVersion", "vpcIdentifier"},
		isHTTP1Only:    true,
		holdsOneTarget: true,
		problem:        ofForm(balancerARN, "The target of an ALB target group must be the ARN of an Application Load Balancer"),
		example: func(s Scope) string {
			return "arn:aws:elasticloadbalancing:" + s.Region + ":" + s.Account + ":loadbalancer/app/NAME/0123456789abcdef"
		},
	},
	shape.TargetGroupTypeLambda: {
		members:        []string{"lambdaEventStructureVersion"},
		holdsOneTarget: true,
		problem:        ofForm(functionARN, "The target of a LAMBDA target group must be the ARN of a Lambda function"),
		example:        func(s Scope) string { return "arn:aws:lambda:" + s.Region + ":" + s.Account + ":function:NAME" },
	},
}

// typeOf returns the rules for a type. A record may have one of a later version, whose targets are not known.
func typeOf(groupType shape.TargetGroupType) targetGroupType {
	if known, ok := targetGroupTypes[groupType]; ok {
		return known
	}
	return targetGroupType{
		problem: func(string, *TargetGroup, AddressPolicy) string {
			return "Targets of a target group of type " + string(groupType) + " are not known"
		},
		example: func(Scope) string { return "TARGET" },
	}
}

// has reports whether the configuration has a member.
func (t targetGroupType) has(member string) bool { return slices.Contains(t.members, member) }

// ofForm returns a function that refuses ids that do not match a pattern.
func ofForm(form *regexp.Regexp, problem string) func(string, *TargetGroup, AddressPolicy) string {
	return func(id string, _ *TargetGroup, _ AddressPolicy) string {
		if form.MatchString(id) {
			return ""
		}
		return problem
	}
}

// HoldsOneTarget reports whether target groups of a type have at most one target.
func HoldsOneTarget(groupType shape.TargetGroupType) bool { return typeOf(groupType).holdsOneTarget }

// HasHealthChecks reports whether the targets of groups of a type can be checked (UG target-group-health-checks).
func HasHealthChecks(groupType shape.TargetGroupType) bool {
	return typeOf(groupType).has("healthCheck")
}

// HasPorts reports whether the targets of groups of a type have ports.
func HasPorts(groupType shape.TargetGroupType) bool { return typeOf(groupType).has("port") }

// ExampleTarget returns what a target of a group looks like.
func ExampleTarget(group *TargetGroup) shape.Target {
	target := shape.Target{Id: new(typeOf(group.Type).example(group.Scope))}
	if HasPorts(group.Type) && group.Config != nil {
		target.Port = group.Config.Port
	}
	return target
}
