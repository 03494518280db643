package server

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"trellis/internal/console"
	"trellis/internal/health"
	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// targetGroupExplanation is the response of /explain about a target group: what is known of the health of each target.
type targetGroupExplanation struct {
	ARN         string                   `json:"arn"`
	Name        string                   `json:"name"`
	InUse       bool                     `json:"inUse"`
	HealthCheck *shape.HealthCheckConfig `json:"healthCheck,omitempty"`
	Targets     []health.TargetReport    `json:"targets"`
	// Functions is what is known about those targets that are Lambda functions, by ARN.
	Functions map[string]console.FunctionReport `json:"functions,omitempty"`
}

func (s *Server) explainTargetGroup(w http.ResponseWriter, id string) {
	if arn, ok := lattice.ParseARN(id); ok {
		id = arn.Key().Path
	}
	group, targets, inUse := s.router.TargetGroup(id)
	if group == nil {
		http.Error(w, fmt.Sprintf("targetGroup is %q; there is no target group of that id", id), http.StatusNotFound)
		return
	}
	answer := targetGroupExplanation{ARN: group.ARN(), Name: group.Name, InUse: inUse, Targets: s.reportTargets(group, targets)}
	if group.Config != nil {
		answer.HealthCheck = group.Config.HealthCheck
	}
	answer.Functions = s.functionsOf(group, answer.Targets)
	writeJSON(w, http.StatusOK, answer)
}

// reportTargets returns what is known of the targets of a target group.
func (s *Server) reportTargets(group *lattice.TargetGroup, targets []*lattice.Target) []health.TargetReport {
	if reports := s.checker.Report(group.Key()); reports != nil {
		return reports
	}
	reports := make([]health.TargetReport, 0, len(targets)) // Health knows only target groups in use.
	for _, target := range targets {
		status, reason := s.checker.Status(target)
		report := health.TargetReport{Target: target, Status: status, ReasonCode: reason}
		if _, err := s.resolve(group, target); err != nil {
			report.Problem = err.Error()
		}
		reports = append(reports, report)
	}
	return reports
}

// functionsOf returns what is known about the targets that are functions, by ARN.
func (s *Server) functionsOf(group *lattice.TargetGroup, targets []health.TargetReport) map[string]console.FunctionReport {
	if group == nil || group.Type != shape.TargetGroupTypeLambda {
		return nil
	}
	functions := make(map[string]console.FunctionReport, len(targets))
	for _, t := range targets {
		functions[t.Target.ID] = s.explainFunction(t.Target.ID)
	}
	return functions
}

// explain says where a request would go and why:
// /explain?method=GET&host=NAME&port=80&path=/a&header=name:value&principal=ARN&source=10.1.2.3. Nothing is sent, and no
// target's turn is taken. /explain?targetGroup=ID shows the health of targets,
// /explain?address=ADDRESS&port=5432&source=10.1.2.3 where a connection to a resource would go.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if id := query.Get("targetGroup"); id != "" {
		s.explainTargetGroup(w, id)
		return
	}
	var answer any
	var err error
	if query.Get("address") != "" {
		answer, err = s.explainConnection(r.Context(), query)
	} else {
		answer, err = s.explainRequest(query)
	}
	if _, missing := errors.AsType[*noResourceError](err); missing {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// explainRequest explains a request. Errors say what is wrong with its description.
func (s *Server) explainRequest(query url.Values) (answer console.Explanation, err error) {
	port, err := explainedPort(query)
	if err != nil {
		return answer, err
	}
	if query.Get("host") == "" {
		return answer, errors.New("host is missing: the service's name, as in the Host header; or give targetGroup, an id, or address, that of a resource")
	}
	arrival, err := s.explainedArrival(query)
	if err != nil {
		return answer, err
	}
	answer = console.Explanation{Functions: map[string]console.FunctionReport{}, Health: map[string][]health.TargetReport{}, Explanation: s.router.Explain(port, query.Get("host"), arrival)}
	if address := s.proxy.Addr(port); address != nil {
		answer.Bound = address.String()
	}
	for _, problem := range s.proxy.Problems() {
		if problem.Port == port {
			answer.Problem = problem.String()
		}
	}
	for _, group := range answer.TargetGroups {
		if arn, ok := lattice.ParseARN(group.ARN); ok {
			answer.Health[group.ARN] = s.checker.Report(arn.Key())
			record, _, _ := s.router.TargetGroup(arn.Key().Path)
			maps.Copy(answer.Functions, s.functionsOf(record, answer.Health[group.ARN]))
		}
	}
	return answer, nil
}

// explainedArrival reads the request that is to be explained.
func (s *Server) explainedArrival(query url.Values) (*routing.Arrival, error) {
	headers, err := parseHeaders(query["header"])
	if err != nil {
		return nil, err
	}
	path, parameters, _ := strings.Cut(defaultTo(query.Get("path"), "/"), "?")
	a := &routing.Arrival{
		Request: &routing.Request{Method: []byte(defaultTo(query.Get("method"), http.MethodGet)), Path: []byte(path), Headers: headers},
		Query:   []byte(parameters),
		Now:     time.Now(),
	}
	if a.Source, err = explainedSource(query); err != nil {
		return nil, err
	}
	if secure := query.Get("secure"); secure != "" {
		if a.Secure, err = strconv.ParseBool(secure); err != nil {
			return nil, fmt.Errorf("secure is %q; it must be true or false", secure)
		}
	}
	name := query.Get("principal")
	if name == "" || name == "anonymous" {
		return a, nil
	}
	if who, ok := s.principals.Principal(name); ok {
		a.Caller, a.Identity = who.Caller(), who.Policies
		return a, nil
	}
	parts := strings.SplitN(name, ":", 6)
	if len(parts) != 6 {
		return nil, fmt.Errorf("principal is %q; it must be an access key id that is known here, an ARN or anonymous", name)
	}
	a.Caller = policy.Caller{ARN: name, Account: parts[4]}
	a.Identity, err = everything()
	return a, err
}

// everything returns the policies of a caller that has none of its own: the explanation is about the policies of services
// and networks.
func everything() (policy.Set, error) {
	d, err := policy.Parse(`{"Version":"2012-10-17","Statement":{"Sid":"assumed","Effect":"Allow","Action":"*","Resource":"*"}}`)
	return policy.Set{d}, err
}

// explainedSource returns the client's address. It is invalid if the question has none.
func explainedSource(query url.Values) (netip.Addr, error) {
	source := query.Get("source")
	if source == "" {
		return netip.Addr{}, nil
	}
	address, err := netip.ParseAddr(source)
	if err != nil {
		return address, fmt.Errorf("source is %q; it must be the client's address", source)
	}
	return address, nil
}

func explainedPort(query url.Values) (int, error) {
	port, err := strconv.Atoi(defaultTo(query.Get("port"), "80"))
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("port is %q; it must be a listener's port, between 1 and 65535", query.Get("port"))
	}
	return port, nil
}

func defaultTo(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// headerLines are the headers of a request that exists only to be explained.
type headerLines []struct{ name, value string }

func parseHeaders(lines []string) (headerLines, error) {
	var headers headerLines
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		if !found || name == "" {
			return nil, fmt.Errorf("header is %q; it must be of the form name:value", line)
		}
		headers = append(headers, struct{ name, value string }{strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)})
	}
	return headers, nil
}

// Header implements routing.Headers.
func (h headerLines) Header(name string, from int) (value []byte, next int) {
	for i := from; i < len(h); i++ {
		if h[i].name == name {
			return []byte(h[i].value), i + 1
		}
	}
	return nil, -1
}
