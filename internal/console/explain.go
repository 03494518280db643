package console

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"trellis/internal/catalog"
	"trellis/internal/health"
	"trellis/internal/lattice"
	"trellis/internal/routing"
)

// explainPage is a form about a request, and what would happen to it.
type explainPage struct {
	// Asked is the request.
	Host, Port, Method, Path, Headers, Principal, Source string
	Secure                                               bool
	// Hosts are names of services, from which to choose.
	Hosts   []string
	Methods []string
	Problem string
	Result  *explained
}

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

// maxHosts bounds the names to choose from.
const maxHosts = 500

func (v *visit) explain() (*content, error) {
	query := v.r.URL.Query()
	p := &explainPage{
		Host: query.Get("host"), Port: query.Get("port"), Method: query.Get("method"), Path: query.Get("path"), Headers: query.Get("headers"),
		Principal: query.Get("principal"), Source: query.Get("source"), Secure: query.Get("secure") != "",
		Methods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"},
	}
	p.Hosts = v.cfg.Router.HostNames()
	slices.Sort(p.Hosts)
	p.Hosts = p.Hosts[:min(len(p.Hosts), maxHosts)]
	if p.Host == "" {
		p.Port, p.Method, p.Path = "80", "GET", "/"
		return &content{Title: "Explain a request", Data: p}, nil
	}
	question := url.Values{"host": {p.Host}, "port": {p.Port}, "method": {p.Method}, "path": {p.Path}, "principal": {strings.TrimSpace(p.Principal)}, "source": {strings.TrimSpace(p.Source)}}
	for line := range strings.Lines(p.Headers) {
		if line = strings.TrimSpace(line); line != "" {
			question.Add("header", line)
		}
	}
	if p.Secure {
		question.Set("secure", "true")
	}
	answer, err := v.cfg.Explain(question)
	if err != nil {
		p.Problem = err.Error()
	} else {
		p.Result = v.explained(&answer)
		p.Result.Command = p.command(answer.Bound)
	}
	return &content{Title: "Explain a request", Data: p}, nil
}

// command is the line that sends such a request, if it can be told.
func (p *explainPage) command(bound string) string {
	if bound == "" || p.Secure || p.Principal != "" {
		return ""
	}
	line := "curl -i -H " + quoted("Host: "+p.Host)
	if p.Method != "GET" {
		line += " -X " + quoted(p.Method)
	}
	for header := range strings.Lines(p.Headers) {
		if header = strings.TrimSpace(header); header != "" {
			line += " -H " + quoted(header)
		}
	}
	return line + " " + quoted("http://"+bound+p.Path)
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
		r.Verdict = cell{Text: "It is sent to a target.", Mark: "good"}
		if len(e.TargetGroups) == 1 {
			r.Verdict.Text = "It is sent to a target of " + v.nameOf(e.TargetGroups[0].ARN) + "."
		}
		if slices.ContainsFunc(e.TargetGroups, func(g routing.TargetGroupExplanation) bool { return g.FailOpen }) {
			r.Verdict.Mark, r.Verdict.Sub = "warn", "no target of a target group is available, so that all of its targets get requests"
		}
	}
	add := func(name, arn string) {
		if arn != "" {
			r.Facts = append(r.Facts, fact{name, cell{Text: v.nameOf(arn), Link: pageOf(arn), Sub: lastPart(arn)}})
		}
	}
	add("Service", e.Service)
	if e.Listener != "" {
		c := cell{Text: fmt.Sprintf("%s:%d", e.Protocol, e.Port), Sub: lastPart(e.Listener)}
		if e.Bound != "" {
			c.Sub = "bound at " + e.Bound
		}
		r.Facts = append(r.Facts, fact{"Listener", c})
	}
	add("Service network", e.NetworkARN)
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

// lastPart returns what an ARN ends in.
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
