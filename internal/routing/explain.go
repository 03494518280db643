package routing

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/shape"
)

// Explanation says where a request goes and why.
type Explanation struct {
	Port int `json:"port"`
	// Host is the host name that was looked up: without port, in lower case.
	Host string `json:"host"`
	// Problem says why the request reaches no target; it is empty if it does, or if the rule has a fixed response.
	Problem string `json:"problem,omitempty"`

	Service    string                 `json:"service,omitempty"`  // ARN
	Listener   string                 `json:"listener,omitempty"` // ARN
	Protocol   shape.ListenerProtocol `json:"protocol,omitempty"`
	NetworkARN string                 `json:"serviceNetwork,omitempty"`
	SourceVpc  string                 `json:"sourceVpc,omitempty"`
	// Authorization is what the auth policies, and the caller's own, decide. It is nil if none applies.
	Authorization *policy.Explanation `json:"authorization,omitempty"`

	// Rules are the rules that were looked at, in order; the last one matched.
	Rules        []RuleExplanation        `json:"rules,omitempty"`
	FixedStatus  int                      `json:"fixedStatus,omitempty"`
	TargetGroups []TargetGroupExplanation `json:"targetGroups,omitempty"`
}

// RuleExplanation says that a rule matched, or why it did not.
type RuleExplanation struct {
	ARN       string `json:"arn"`
	Priority  int    `json:"priority"`
	IsDefault bool   `json:"isDefault,omitempty"`
	Matched   bool   `json:"matched"`
	Mismatch  string `json:"mismatch,omitempty"`
}

// TargetGroupExplanation is a target group to which the rule forwards.
type TargetGroupExplanation struct {
	ARN    string `json:"arn"`
	Weight int    `json:"weight"`
	// Share is the part of the requests that the target group gets, from 0 to 1.
	Share float64 `json:"share"`
	// Needs is what the target group's protocol version requires of a request; others are answered 502.
	Needs string `json:"needs,omitempty"`
	// FailOpen says that no target is available, so that all that are not draining get requests.
	FailOpen bool                `json:"failOpen,omitempty"`
	Targets  []TargetExplanation `json:"targets"`
}

// TargetExplanation is a target and whether it gets requests.
type TargetExplanation struct {
	ID      string      `json:"id"`
	Port    int         `json:"port,omitempty"`
	Address string      `json:"address,omitempty"`
	State   TargetState `json:"state"`
	// Problem says why a target is unroutable.
	Problem string `json:"problem,omitempty"`
}

// TargetState is the state of a target for routing.
type TargetState string

// The states of targets.
const (
	TargetAvailable   TargetState = "available"
	TargetUnavailable TargetState = "unavailable" // says health
	TargetDraining    TargetState = "draining"
	TargetUnroutable  TargetState = "unroutable" // there is no address to send requests to
)

// Explain says where a request would go and why. It takes no turn of a target.
func (r *Router) Explain(port int, host string, arrival *Arrival) Explanation {
	request := arrival.Request
	r.mu.Lock()
	defer r.mu.Unlock()
	e := Explanation{Port: port, Host: foldString(string(hostName([]byte(host))))}
	var service *Service
	if p := r.ports[port]; p != nil {
		service = p.Lookup([]byte(host))
	}
	if service == nil {
		e.Problem = r.whyUnknown(port, e.Host)
		return e
	}
	e.Service, e.Listener, e.Protocol = service.ARN, service.ListenerARN, service.Protocol
	var origin Origin // Without a source address, reachability does not matter.
	if arrival.Source.IsValid() {
		origin = r.origins.of(arrival.Source)
	}
	reached, source := service.From(origin)
	if reached == nil {
		e.Problem = service.Unreachable(origin)
		return e
	}
	service = reached
	arrival.SourceVpc = source
	e.NetworkARN, e.SourceVpc = service.NetworkARN, source.VpcID
	if service.NeedsAuthorization() && !e.authorize(service, arrival) {
		return e
	}
	chosen := service.Route(request)
	for _, rule := range service.rules {
		if rule == chosen {
			break
		}
		e.Rules = append(e.Rules, RuleExplanation{
			ARN: rule.ARN, Priority: rule.Priority, Mismatch: rule.match.explain(rule.match.test(request), request)})
	}
	e.Rules = append(e.Rules, RuleExplanation{
		ARN: chosen.ARN, Priority: chosen.Priority, IsDefault: chosen.IsDefault, Matched: true})
	e.FixedStatus = chosen.FixedStatus
	if chosen.FixedStatus != 0 {
		return e
	}
	e.TargetGroups = r.explainForwards(chosen, request)
	e.Problem = whyNobody(chosen, request, e.TargetGroups)
	return e
}

// authorize reports whether policies let the request pass.
func (e *Explanation) authorize(service *Service, arrival *Arrival) bool {
	a := *arrival
	if lattice.PassesThrough(service.Protocol) { // A listener that passes connections on sees neither the request nor its caller.
		a.Request, a.Query, a.Caller, a.Identity = nil, nil, policy.Caller{}, nil
	}
	explanation := service.ExplainAuthorization(&a)
	e.Authorization = &explanation
	if !service.Authorize(&a).Allowed() {
		e.Problem = "policies deny the request: " + explanation.Reason
		return false
	}
	return true
}

func (r *Router) explainForwards(rule *Rule, request *Request) []TargetGroupExplanation {
	explanations := make([]TargetGroupExplanation, len(rule.forwards))
	for i, forward := range rule.forwards {
		key := forward.TargetGroup.Key
		e := r.explainTargetGroup(r.model.groups[ref{key.Scope, key.Path}])
		e.ARN = forward.TargetGroup.ARN
		e.Needs, _ = forward.TargetGroup.needs(request)
		if rule.schedule != nil {
			e.Weight, e.Share = rule.schedule.weights[i], rule.schedule.share(i)
		}
		explanations[i] = e
	}
	return explanations
}

func (r *Router) explainTargetGroup(g *groupNode) TargetGroupExplanation {
	e := TargetGroupExplanation{Targets: make([]TargetExplanation, len(g.targets))}
	for i := range g.targets {
		t := &g.targets[i]
		target := TargetExplanation{ID: t.record.ID, Port: int(t.record.Port), State: r.state(t)}
		if target.State == TargetAvailable || target.State == TargetUnavailable {
			target.Address = t.target.Place.String()
		}
		if target.State == TargetUnroutable {
			target.Problem = t.problem
		}
		e.Targets[i] = target
	}
	// Draining and unroutable targets take no part in it.
	e.FailOpen = e.has(TargetUnavailable) && !e.has(TargetAvailable)
	return e
}

func (r *Router) state(t *targetNode) TargetState {
	switch {
	case t.record.Draining():
		return TargetDraining
	case t.target == nil:
		return TargetUnroutable
	case r.available(t.target):
		return TargetAvailable
	default:
		return TargetUnavailable
	}
}

func (e *TargetGroupExplanation) has(state TargetState) bool {
	return slices.ContainsFunc(e.Targets, func(t TargetExplanation) bool { return t.State == state })
}

// whyNobody returns why the target groups have no target for requests, or "" if they have.
func whyNobody(rule *Rule, request *Request, targetGroups []TargetGroupExplanation) string {
	weighted := false
	for i, g := range targetGroups {
		if g.Weight == 0 {
			continue
		}
		weighted = true
		if _, met := rule.forwards[i].TargetGroup.needs(request); !met {
			return "target group " + g.ARN + " needs " + g.Needs
		}
		if !g.has(TargetAvailable) && !g.has(TargetUnavailable) {
			return "target group " + g.ARN + " has no target that requests can be sent to"
		}
	}
	if !weighted {
		return "no target group of the rule has a weight"
	}
	return ""
}

// whyUnknown returns why a host is not known on a port. It looks at the oldest service that has the name.
func (r *Router) whyUnknown(port int, name string) string {
	var oldest *serviceNode
	for _, s := range r.model.services {
		named := s.record != nil && name != "" && (name == lattice.CanonicalDomainName(s.record.DomainName) ||
			name == customName(s.record) && r.model.names.owner(s.record) == s.ref.scope.Account)
		if named && (oldest == nil || older(&s.record.Base, &oldest.record.Base) < 0) {
			oldest = s
		}
	}
	if oldest == nil {
		return "no service has this host name"
	}
	if len(oldest.networks) == 0 {
		return "service " + oldest.record.ARN() + " is not associated with a service network"
	}
	ports := []int{}
	for _, l := range oldest.listeners {
		if l.record != nil {
			ports = append(ports, int(l.record.Port))
		}
	}
	if slices.Contains(ports, port) {
		// The listener does not answer to this name of the service.
		return "the TLS_PASSTHROUGH listener of service " + oldest.record.ARN() + " answers to the custom domain name only"
	}
	slices.Sort(ports)
	return fmt.Sprintf("service %s has no listener on port %d; the ports of its listeners: %v", oldest.record.ARN(), port, ports)
}

// explain puts a mismatch into words.
func (m *match) explain(why mismatch, r *Request) string {
	switch why {
	case matched:
		return ""
	case onMethod:
		return fmt.Sprintf("method is %q; wanted: is %q", r.Method, m.method)
	case onPath:
		return fmt.Sprintf("path is %q; wanted: %v", r.Path, &m.path)
	default:
		h := &m.headers[why-onHeader]
		return fmt.Sprintf("header %s is %s; wanted: %v", h.name, h.found(r.Headers), &h.value)
	}
}

// found lists the values of a header.
func (m *headerMatch) found(headers Headers) string {
	var values []string
	if headers != nil {
		for value, next := headers.Header(m.name, 0); next >= 0; value, next = headers.Header(m.name, next) {
			values = append(values, strconv.Quote(string(value)))
		}
	}
	return cmp.Or(strings.Join(values, ", "), "absent")
}

// String puts a match into words.
func (m *match) String() string {
	var conditions []string
	if m.method != "" {
		conditions = append(conditions, fmt.Sprintf("method is %q", m.method))
	}
	if m.path.form != formAny {
		conditions = append(conditions, "path "+m.path.String())
	}
	for i := range m.headers {
		conditions = append(conditions, "header "+m.headers[i].name+" "+m.headers[i].value.String())
	}
	return cmp.Or(strings.Join(conditions, " and "), "always")
}

// String puts a pattern into words.
func (p *pattern) String() string {
	verb := ""
	switch p.form {
	case formAny:
		return "is there"
	case formExact:
		verb = "is"
	case formPrefix:
		verb = "starts with"
	case formContains:
		verb = "contains"
	}
	if p.fold {
		return fmt.Sprintf("%s %q in any case", verb, p.text)
	}
	return fmt.Sprintf("%s %q", verb, p.text)
}
