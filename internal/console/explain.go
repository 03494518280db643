package console

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"trellis/internal/catalog"
	"trellis/internal/health"
	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// explainPage is a form about a request, a form about a connection to a resource, and what would happen to the one that was
// sent.
type explainPage struct {
	Request    askedRequest
	Connection askedConnection
	// Hosts are names of services, Addresses those of resources, from which to choose.
	Hosts     []string
	Addresses []choice
	Methods   []string
	Problem   string
	Result    *explained
}

type askedRequest struct {
	Host, Port, Method, Path, Headers, Principal, Source string
	Secure                                               bool
}

type askedConnection struct{ Address, Port, Source string }

// choice is a value to choose, and what it stands for.
type choice struct{ Value, Label string }

// explained is an explanation in the order in which a request passes the parts.
type explained struct {
	// Verdict is what would happen, in a sentence.
	Verdict cell
	Facts   []fact
	Rules   []explainedRule
	Layers  []explainedLayer
	Groups  []explainedGroup
	Command string
}

type explainedRule struct {
	Name, Link, Why string
	Matched         bool
}

type explainedLayer struct {
	Name       string
	Outcome    cell
	Statements []cell
}

type explainedGroup struct {
	Name, Link, Share, Note string
	Targets                 []cell
}

// maxChoices bounds the names and the addresses to choose from.
const maxChoices = 500

func (v *visit) explain() (*content, error) {
	query := v.r.URL.Query()
	p := &explainPage{
		Request: askedRequest{Port: "80", Method: "GET", Path: "/"},
		Methods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"},
		Hosts:   v.cfg.Router.HostNames(), Addresses: v.resourceAddresses(),
	}
	slices.Sort(p.Hosts)
	p.Hosts = p.Hosts[:min(len(p.Hosts), maxChoices)]
	var err error
	switch {
	case query.Get("host") != "":
		p.Request = askedRequest{
			Host: query.Get("host"), Port: query.Get("port"), Method: query.Get("method"), Path: query.Get("path"), Headers: query.Get("headers"),
			Principal: query.Get("principal"), Source: query.Get("source"), Secure: query.Get("secure") != "",
		}
		p.Result, err = v.explainRequest(&p.Request)
	case query.Get("address") != "":
		p.Connection = askedConnection{Address: query.Get("address"), Port: query.Get("port"), Source: query.Get("source")}
		p.Result, err = v.explainConnection(&p.Connection)
	}
	if err != nil {
		p.Problem = err.Error()
	}
	return &content{Title: "Explain a request", Data: p}, nil
}

// resourceAddresses are the addresses of resources with the names for which they stand.
func (v *visit) resourceAddresses() []choice {
	var found []choice
	for _, r := range v.cfg.Router.Resources() {
		for _, address := range r.Addresses {
			if len(found) == maxChoices {
				return found
			}
			found = append(found, choice{address.String(), r.Route().DomainName})
		}
	}
	return found
}

func (v *visit) explainRequest(asked *askedRequest) (*explained, error) {
	question := url.Values{
		"host": {asked.Host}, "port": {asked.Port}, "method": {asked.Method}, "path": {asked.Path},
		"principal": {strings.TrimSpace(asked.Principal)}, "source": {strings.TrimSpace(asked.Source)},
	}
	for line := range strings.Lines(asked.Headers) {
		if line = strings.TrimSpace(line); line != "" {
			question.Add("header", line)
		}
	}
	if asked.Secure {
		question.Set("secure", "true")
	}
	answer, err := v.cfg.Explain(question)
	if err != nil {
		return nil, err
	}
	result := v.explained(&answer)
	if answer.Protocol == shape.ListenerProtocolHttp {
		result.Command = asked.command(answer.Bound)
	}
	return result, nil
}

// command is a command line that sends such a request, or "" if there is none.
func (asked *askedRequest) command(bound string) string {
	if bound == "" || asked.Secure || asked.Principal != "" {
		return ""
	}
	line := "curl -i -H " + quoted("Host: "+asked.Host)
	if asked.Method != "GET" {
		line += " -X " + quoted(asked.Method)
	}
	for header := range strings.Lines(asked.Headers) {
		if header = strings.TrimSpace(header); header != "" {
			line += " -H " + quoted(header)
		}
	}
	return line + " " + quoted("http://"+bound+asked.Path)
}

func (v *visit) explainConnection(asked *askedConnection) (*explained, error) {
	e, err := v.cfg.ExplainResource(v.r.Context(), url.Values{
		"address": {strings.TrimSpace(asked.Address)}, "port": {asked.Port}, "source": {strings.TrimSpace(asked.Source)}})
	if err != nil {
		return nil, err
	}
	r := &explained{Verdict: cell{Text: "The connection is made.", Mark: "good"}}
	if e.Problem != "" {
		r.Verdict = cell{Text: "The connection is not made.", Sub: e.Problem, Mark: "bad"}
	}
	v.addFact(r, "Resource configuration", e.ResourceConfiguration)
	v.addFact(r, "Service network", e.ServiceNetwork)
	v.addFact(r, "Association", e.Association)
	if e.VpcEndpoint != "" {
		r.Facts = append(r.Facts, fact{"VPC endpoint", code(e.VpcEndpoint)})
	}
	names := code(e.DomainName)
	if e.PrivateDomainName != "" {
		names.More = append(names.More, code(e.PrivateDomainName))
	}
	r.Facts = append(r.Facts, fact{"Name", names}, fact{"Port", text(fmt.Sprint(e.Port))}, fact{"Ports of the address", openCell(&e.ResourceState)})
	if e.SourceVpc != "" {
		r.Facts = append(r.Facts, fact{"From", code(lastPart(e.SourceVpc))})
	}
	if len(e.Targets) > 0 {
		var to cell
		for _, target := range e.Targets {
			to.More = append(to.More, code(netip.AddrPortFrom(target, uint16(e.Port)).String()))
		}
		r.Facts = append(r.Facts, fact{"Leads to", to})
	}
	r.Facts = append(r.Facts, fact{"Last failure", lastFailureCell(&e.ResourceState)})
	return r, nil
}

// addFact adds the resource with an ARN to the facts, if there is one.
func (v *visit) addFact(r *explained, name, arn string) {
	if arn == "" {
		return
	}
	c := cell{Text: v.nameOf(arn), Link: pageOf(arn)}
	if id := lastPart(arn); id != c.Text {
		c.Sub = id
	}
	r.Facts = append(r.Facts, fact{name, c})
}

// explained puts an explanation into words.
func (v *visit) explained(e *Explanation) *explained {
	r := &explained{}
	switch {
	case e.Problem != "":
		verdict, why, _ := strings.Cut(e.Problem, ": ")
		r.Verdict = cell{Text: capital(verdict), Sub: why, Mark: "bad"}
	case e.FixedStatus != 0:
		r.Verdict = cell{Text: fmt.Sprintf("It is answered with status %d, without a target.", e.FixedStatus), Mark: "good"}
	default:
		sent := "It is sent to a target"
		if lattice.PassesThrough(e.Protocol) {
			sent = "The connection is passed on to a target, whatever it carries"
		}
		r.Verdict = cell{Text: sent + ".", Mark: "good"}
		if len(e.TargetGroups) == 1 {
			r.Verdict.Text = strings.Replace(sent, "target", "target of "+v.nameOf(e.TargetGroups[0].ARN), 1) + "."
		}
		if slices.ContainsFunc(e.TargetGroups, func(g routing.TargetGroupExplanation) bool { return g.FailOpen }) {
			r.Verdict.Mark, r.Verdict.Sub = "warn", "no target of a target group is available, so that all of its targets get requests"
		}
	}
	v.addFact(r, "Service", e.Service)
	if e.Listener != "" {
		c := cell{Text: fmt.Sprintf("%s:%d", e.Protocol, e.Port), Sub: lastPart(e.Listener)}
		if e.Bound != "" {
			c.Sub = "bound at " + e.Bound
		}
		r.Facts = append(r.Facts, fact{"Listener", c})
	}
	v.addFact(r, "Service network", e.NetworkARN)
	if e.SourceVpc != "" {
		r.Facts = append(r.Facts, fact{"From", code(lastPart(e.SourceVpc))})
	}
	for _, rule := range e.Rules {
		shown := explainedRule{Name: v.ruleName(rule), Matched: rule.Matched, Why: rule.Mismatch}
		if arn, ok := lattice.ParseARN(e.Service); ok {
			shown.Link = pathOf(arn.Scope) + "services/" + arn.ID() + "#" + lastPart(rule.ARN)
		}
		r.Rules = append(r.Rules, shown)
	}
	if e.Authorization != nil {
		for _, layer := range e.Authorization.Layers {
			shown := explainedLayer{Name: layer.Layer, Outcome: cell{Text: layer.Outcome, Sub: layer.Problem, Mark: outcomeMark(layer.Outcome)}}
			for _, s := range layer.Statements {
				c := cell{Text: fmt.Sprintf("%s: %s", s.Statement, s.Effect), Mark: "good"}
				if !s.Applies {
					c.Mark = "idle"
					c.Sub = fmt.Sprintf("does not apply: %s wants %s; the request has %s", strings.TrimSpace(s.Element+" "+s.Key), strings.Join(s.Wanted, ", "), orNothing(s.Got))
				} else if s.Effect == "Deny" {
					c.Mark = "bad"
				}
				shown.Statements = append(shown.Statements, c)
			}
			r.Layers = append(r.Layers, shown)
		}
	}
	for _, g := range e.TargetGroups {
		r.Groups = append(r.Groups, v.explainedGroup(g, e.Health[g.ARN]))
	}
	return r
}

func outcomeMark(outcome string) string {
	if outcome == "allow" {
		return "good"
	}
	return "bad"
}

func orNothing(values []string) string {
	if len(values) == 0 {
		return "nothing"
	}
	return strings.Join(values, ", ")
}

func (v *visit) explainedGroup(g routing.TargetGroupExplanation, reports []health.TargetReport) explainedGroup {
	shown := explainedGroup{Name: v.nameOf(g.ARN), Link: pageOf(g.ARN), Share: percent(g.Share), Note: g.Needs}
	if g.FailOpen {
		shown.Note = strings.TrimSpace(shown.Note + " No target is available, so that all get requests.")
	}
	for _, t := range g.Targets {
		c := cell{Text: targetName(t.ID, int32(t.Port)), Sub: string(t.State), Mark: "good"}
		if t.State != routing.TargetAvailable {
			c.Mark = "bad"
		}
		if t.Problem != "" {
			c.Sub += ": " + t.Problem
		}
		for _, r := range reports {
			if r.Target.ID == t.ID && int(r.Target.Port) == t.Port && r.Last != nil && r.Last.Failure != "" {
				c.Sub += fmt.Sprintf("; the last check, %s: %s", ago(r.Last.StartedAt), r.Last.Failure)
			}
		}
		shown.Targets = append(shown.Targets, c)
	}
	return shown
}

// lastPart returns the last part of an ARN.
func lastPart(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// nameOf returns the name of a resource by its ARN, or the end of the ARN.
func (v *visit) nameOf(arn string) string {
	name := lastPart(arn)
	if parsed, ok := lattice.ParseARN(arn); ok {
		v.read(func(view catalog.View) {
			if rec, ok := view.Get(parsed.Key()); ok {
				if resource, ok := rec.(lattice.Resource); ok && resource.Meta().Name != "" {
					name = resource.Meta().Name
				}
			}
		})
	}
	return name
}

func (v *visit) ruleName(rule routing.RuleExplanation) string {
	name := v.nameOf(rule.ARN)
	if rule.IsDefault {
		return "the default rule"
	}
	return fmt.Sprintf("%d %s", rule.Priority, name)
}
