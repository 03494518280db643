package policy

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Explanation says why a request is allowed or denied.
type Explanation struct {
	Outcome string             `json:"outcome"`
	Reason  string             `json:"reason"`
	Layers  []LayerExplanation `json:"layers,omitempty"`
}

// LayerExplanation says what one layer decides about a request.
type LayerExplanation struct {
	Layer   string `json:"layer"`
	Outcome string `json:"outcome"`
	// Problem is a reason that is not about a statement, such as that there is no policy.
	Problem    string                 `json:"problem,omitempty"`
	Statements []StatementExplanation `json:"statements,omitempty"`
}

// StatementExplanation is why a statement applies to a request, or does not.
type StatementExplanation struct {
	// Statement is its Sid, or its place among the statements of its policy, as in statement 2.
	Statement string `json:"statement"`
	Effect    Effect `json:"effect"`
	Applies   bool   `json:"applies"`
	// Element is the element that does not match, such as Action or Condition.StringEquals. Key is the key of a condition.
	Element string `json:"element,omitempty"`
	Key     string `json:"key,omitempty"`
	// Wanted is what the policy has, Got what the request has.
	Wanted []string `json:"wanted,omitempty"`
	Got    []string `json:"got,omitempty"`
	// Conditions are the conditions of a statement that applies.
	Conditions []ConditionExplanation `json:"conditions,omitempty"`
}

// ConditionExplanation is a condition that holds.
type ConditionExplanation struct {
	Operator string   `json:"operator"`
	Key      string   `json:"key"`
	Wanted   []string `json:"wanted"`
	Got      []string `json:"got"`
}

func (o Outcome) String() string {
	switch o {
	case Allowed:
		return "allow"
	case ExplicitDeny:
		return "explicit deny"
	default:
		return "implicit deny"
	}
}

// Explain decides again and says why.
func (a *Access) Explain(r *Request) Explanation {
	verdict := a.Decide(r)
	e := Explanation{Outcome: verdict.Outcome.String(), Reason: a.reason(r, verdict)}
	for _, layer := range layers {
		decision, _, asked := a.ask(layer, r)
		if !asked {
			continue
		}
		l := LayerExplanation{Layer: layer.String(), Outcome: decision.Outcome.String()}
		policies := a.policies(layer)
		if len(policies) == 0 {
			l.Problem = "there is no policy, so nothing is allowed"
		}
		for _, d := range policies {
			l.Statements = append(l.Statements, d.Explain(r)...)
		}
		e.Layers = append(e.Layers, l)
	}
	return e
}

// policies returns those of a layer.
func (a *Access) policies(layer Layer) Set {
	guard := a.Network
	switch layer {
	case Identity:
		return a.Identity
	case Service:
		guard = a.Service
	}
	if guard.Policy == nil {
		return nil
	}
	return Set{guard.Policy}
}

// reason returns the verdict in one sentence.
func (a *Access) reason(r *Request, v Verdict) string {
	if !a.Needed() {
		return "neither the service network nor the service asks for authorization (authType NONE)"
	}
	if v.Allowed() {
		var by []string
		for _, layer := range layers {
			if decision, policy, asked := a.ask(layer, r); asked {
				by = append(by, a.statement(layer, policy, decision.Statement)+" of the "+layer.String()+" policy")
			}
		}
		return "allowed by " + strings.Join(by, " and ")
	}
	policies := a.policies(v.Layer)
	switch {
	case v.Outcome == ExplicitDeny:
		at := max(v.Policy, 0)
		s := &policies[at].Statements[v.Statement]
		reason := a.statement(v.Layer, v.Policy, v.Statement) + " of the " + v.Layer.String() + " policy denies"
		if len(s.Conditions) == 0 {
			return reason
		}
		return reason + ", as " + s.held(r)
	case len(policies) == 0:
		return "there is no " + v.Layer.String() + " policy, so nothing is allowed"
	}
	return "no statement of the " + v.Layer.String() + " policy allows: " + policies.nearMiss(r)
}

// statement names a statement of a layer.
func (a *Access) statement(layer Layer, policy, index int) string {
	return a.policies(layer)[max(policy, 0)].Name(index)
}

// Name returns what a statement is called in explanations: its Sid, or its number.
func (d *Document) Name(index int) string {
	if sid := d.Statements[index].Sid; sid != "" {
		return strconv.Quote(sid)
	}
	return "statement " + strconv.Itoa(index+1)
}

// nearMiss says of each Allow statement what keeps it from applying.
func (s Set) nearMiss(r *Request) string {
	var list []string
	for _, d := range s {
		for i, e := range d.Explain(r) {
			if e.Effect == Allow {
				list = append(list, d.Name(i)+" "+e.why())
			}
		}
	}
	return cmp.Or(strings.Join(list, "; "), "it has no statement that allows")
}

// Explain returns for each statement whether it applies to a request.
func (d *Document) Explain(r *Request) []StatementExplanation {
	list := make([]StatementExplanation, len(d.Statements))
	for i := range d.Statements {
		list[i] = d.Statements[i].explain(r)
		list[i].Statement = strings.Trim(d.Name(i), `"`)
	}
	return list
}

func (s *Statement) explain(r *Request) StatementExplanation {
	e := StatementExplanation{Effect: s.Effect}
	not := func(negated bool, name string) string {
		if negated {
			return "Not" + name
		}
		return name
	}
	switch on := s.failing(r); on {
	case applies:
		e.Applies = true
		for i := range s.Conditions {
			c := &s.Conditions[i]
			e.Conditions = append(e.Conditions, ConditionExplanation{c.operator.name, c.Key.String(), c.Values(), c.got(r)})
		}
	case onPrincipal:
		e.Element = not(s.Principals.Not, "Principal")
		e.Wanted, e.Got = []string{s.Principals.String()}, []string{r.Caller.name()}
	case onAction:
		e.Element = not(s.NotAction, "Action")
		e.Wanted, e.Got = sources(s.Actions), []string{r.Action}
	case onResource:
		e.Element = not(s.NotResource, "Resource")
		e.Wanted, e.Got = sources(s.Resources), []string{r.Resource + r.Path}
	default:
		c := &s.Conditions[on-onCondition]
		e.Element, e.Key = "Condition."+c.operator.name, c.Key.String()
		e.Wanted, e.Got = c.Values(), c.got(r)
	}
	return e
}

// why says in words what keeps a statement from applying.
func (e *StatementExplanation) why() string {
	if e.Applies {
		return "applies"
	}
	what := e.Element
	if e.Key != "" {
		what += " " + e.Key
	}
	return fmt.Sprintf("does not apply by its %s: the policy has %s, the request has %s", what, quoted(e.Wanted), quoted(e.Got))
}

// held lists the conditions of a statement that applies.
func (s *Statement) held(r *Request) string {
	var list []string
	for i := range s.Conditions {
		c := &s.Conditions[i]
		list = append(list, fmt.Sprintf("%s %s has %s, and the request has %s", c.operator.name, c.Key, quoted(c.Values()), quoted(c.got(r))))
	}
	return strings.Join(list, "; ")
}

// got returns the values that a request has under a condition's key.
func (c *Condition) got(r *Request) []string {
	list := []string{}
	value, next := r.value(&c.Key, 0)
	for ; next > 0; value, next = r.value(&c.Key, next) {
		list = append(list, strings.Clone(value))
	}
	return list
}

func quoted(values []string) string {
	if len(values) == 0 {
		return "nothing"
	}
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = strconv.Quote(v)
	}
	return strings.Join(list, ", ")
}

func sources(patterns []Pattern) []string {
	list := make([]string, len(patterns))
	for i, p := range patterns {
		list[i] = p.Source
	}
	return list
}
