package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// Explain is the command `trellis explain`. Its fields are the command's flags and arguments.
type Explain struct {
	Admin     string   `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node."`
	Method    string   `name:"method" short:"X" env:"-" default:"GET" help:"Method of the request."`
	Headers   []string `name:"header" short:"H" env:"-" sep:"none" placeholder:"NAME:VALUE" help:"A header of the request; may be given several times."`
	Principal string   `name:"principal" env:"-" placeholder:"ARN" help:"Who sends it: an ARN, an access key id, or anonymous (default)."`
	Source    string   `name:"source" env:"-" placeholder:"ADDRESS" help:"Address that it comes from (default: none, and no VPC is checked)."`
	JSON      bool     `name:"json" env:"-" help:"Print the whole explanation, as JSON."`
	URL       string   `arg:"" name:"url" help:"The request's URL, as in http://NAME/orders/7."`
}

// Run shows what would happen to a request, and returns the exit code: 0 if the request would reach a target or get the fixed
// response of a rule, 1 if not.
func (c Explain) Run(ctx context.Context, t Terminal) int {
	n, err := newNode(c.Admin, "", "")
	if err != nil {
		return t.Fail("explain", err)
	}
	query, err := c.query(ctx, n)
	if err != nil {
		return t.Fail("explain", err)
	}
	text, err := n.get(ctx, "explain", query)
	if err != nil {
		return t.Fail("explain", err)
	}
	var e explanation
	if err := json.Unmarshal(text, &e); err != nil {
		return t.Fail("explain", fmt.Errorf("the node's response is not an explanation: %w", err))
	}
	if c.JSON {
		fmt.Fprintf(t.Out, "%s", text)
	} else {
		e.print(t)
	}
	if e.Problem != "" {
		return exitFailed
	}
	return 0
}

// query returns the query of /explain. A bound port in the URL, as curl needs it, stands for the listener's port.
func (c Explain) query(ctx context.Context, n *node) (url.Values, error) {
	address := c.URL
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &usageError{fmt.Sprintf("%q is not the URL of a request, which is like http://NAME/orders/7", c.URL)}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	} else if port, err = n.listenerPort(ctx, port); err != nil {
		return nil, err
	}
	query := url.Values{"host": {u.Hostname()}, "port": {port}, "method": {c.Method}, "path": {u.RequestURI()}, "header": c.Headers}
	if u.Scheme == "https" {
		query.Set("secure", "true")
	}
	for name, value := range map[string]string{"principal": c.Principal, "source": c.Source} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query, nil
}

// listenerPort returns the listener port for which a port is bound, or the port itself if there is none.
func (n *node) listenerPort(ctx context.Context, port string) (string, error) {
	text, err := n.get(ctx, "ports", url.Values{})
	if err != nil {
		return "", err
	}
	var ports []struct {
		Port    int
		Address string
	}
	if err := json.Unmarshal(text, &ports); err != nil {
		return "", fmt.Errorf("the node's response is not a list of ports: %w", err)
	}
	for _, p := range ports {
		if strings.HasSuffix(p.Address, ":"+port) {
			return fmt.Sprint(p.Port), nil
		}
	}
	return port, nil
}

// explanation is the part of the node's response that is shown.
type explanation struct {
	Port           int
	Host           string
	Bound          string
	Problem        string
	Service        string
	Listener       string
	Protocol       string
	ServiceNetwork string
	Authorization  *struct {
		Outcome string
		Reason  string
	}
	Rules []struct {
		ARN       string `json:"arn"`
		Priority  int
		IsDefault bool
		Matched   bool
		Mismatch  string
	}
	FixedStatus  int
	TargetGroups []struct {
		ARN      string `json:"arn"`
		Share    float64
		Needs    string
		FailOpen bool
		Targets  []struct {
			ID, State, Problem string
			Port               int
		}
	}
}

func (e *explanation) print(t Terminal) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t.Out, "%-9s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("request", "to %s, listener port %d", e.Host, e.Port)
	if e.Bound != "" {
		line("", "which is bound at %s", e.Bound)
	}
	if e.Service != "" {
		line("service", "%s", e.Service)
	}
	if e.Listener != "" {
		line("listener", "%s (%s)", e.Listener, e.Protocol)
	}
	if e.ServiceNetwork != "" {
		line("network", "%s", e.ServiceNetwork)
	}
	if a := e.Authorization; a != nil {
		line("policies", "%s: %s", a.Outcome, a.Reason)
	}
	for _, r := range e.Rules {
		what := "matches"
		if !r.Matched {
			what = "does not match: " + r.Mismatch
		}
		if r.IsDefault {
			what = "is the default rule"
		}
		line("rule", "%s, priority %d, %s", r.ARN[strings.LastIndexByte(r.ARN, '/')+1:], r.Priority, what)
	}
	if e.FixedStatus != 0 {
		line("answer", "%d, by the rule itself", e.FixedStatus)
	}
	for _, g := range e.TargetGroups {
		line("group", "%s gets %.4g%% of the requests", g.ARN, 100*g.Share)
		if g.Needs != "" {
			line("", "%s", g.Needs)
		}
		if g.FailOpen {
			line("", "none of its targets is available, so all of them get requests")
		}
		for _, target := range g.Targets {
			at := target.ID
			if target.Port != 0 {
				at = fmt.Sprint(at, ":", target.Port)
			}
			line("", "target %s is %s", at, strings.TrimSuffix(target.State+": "+target.Problem, ": "))
		}
	}
	if e.Problem != "" {
		line("problem", "%s", e.Problem)
	}
}
