package policy

import (
	"slices"
	"strings"
)

// Request is what a policy is asked about.
type Request struct {
	// Principal is the caller's ARN, empty for an anonymous one. Account is the caller's account.
	Principal, Account string
	// Action is "service:Operation", Resource an ARN.
	Action, Resource string
	// Key returns the values of a condition key, whose name is compared without regard to case by IAM; the name is
	// given as the policy spells it. present is false when the request has no such key.
	Key func(name string) (values []string, present bool)
	// Ambiguous reports whether a request has several values of which IAM would take one or the other for that of a key.
	// Whatever depends on such a key cannot be decided: no statement allows by it, and any denies. Nil means never.
	Ambiguous func(name string) bool
}

func (r Request) isAmbiguous(name string) bool { return r.Ambiguous != nil && r.Ambiguous(name) }

// Outcome is what a policy says.
type Outcome int

// The outcomes. ImplicitDeny means that no statement applies.
const (
	ImplicitDeny Outcome = iota
	Allowed
	ExplicitDeny
)

// Decision is an outcome and the statement that decided, or -1.
type Decision struct {
	Outcome   Outcome
	Statement int
}

// Evaluate returns the policy's decision: an explicit deny wins over any allow.
func (d *Document) Evaluate(r Request) Decision {
	decision := Decision{ImplicitDeny, -1}
	expand := literally
	if d.Version == variablesVersion {
		expand = withVariables
	}
	for i := range d.Statements {
		s := &d.Statements[i]
		if decision.Outcome == Allowed && s.Effect == Allow || !s.applies(r, expand) {
			continue
		}
		if s.Effect == Deny {
			return Decision{ExplicitDeny, i}
		}
		decision = Decision{Allowed, i}
	}
	return decision
}

// expander turns what a policy says into what it means for a request.
type expander func(s string, r Request) (expanded string, is meaning)

// meaning is what can be known of what a text in a policy means.
type meaning int

const (
	known meaning = iota
	// nothing: a variable in it has no value.
	nothing
	// undecided: a variable in it is ambiguous.
	undecided
)

// variablesVersion is the first version of the policy language that has variables. In policies of the one before,
// which are also those that name none, they are text like any other (IAM, Version).
const variablesVersion = "2012-10-17"

func literally(s string, _ Request) (string, meaning) { return s, known }

func (s *Statement) applies(r Request, expand expander) bool {
	if s.Principals != nil && s.Principals.match(r) == s.Principals.Not {
		return false
	}
	// What cannot be decided is taken as it denies more.
	denies := s.Effect == Deny
	matches := func(patterns []string, value string, fold, not bool) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			pattern, is := expand(pattern, r)
			if is == undecided {
				return denies != not
			}
			if fold {
				value, pattern = strings.ToLower(value), strings.ToLower(pattern)
			}
			return is == known && like(value, pattern)
		})
	}
	if matches(s.Actions, r.Action, true, s.NotAction) == s.NotAction {
		return false
	}
	if len(s.Resources) > 0 && matches(s.Resources, r.Resource, false, s.NotResource) == s.NotResource {
		return false
	}
	for i := range s.Conditions {
		holds, decided := s.Conditions[i].holds(r, expand)
		if decided && !holds || !decided && !denies {
			return false
		}
	}
	return true
}

// holds reports whether a condition holds for a request, if that can be decided.
func (c *Condition) holds(r Request, expand expander) (holds, decided bool) {
	if r.isAmbiguous(c.Key) {
		return false, false
	}
	values, present := r.Key(c.Key)
	expected := make([]string, 0, len(c.Values))
	for _, v := range c.Values {
		switch v, is := expand(v, r); is {
		case known:
			expected = append(expected, v)
		case undecided:
			return false, false
		}
	}
	return c.Operator.holds(values, present, expected), true
}

func (p *Principals) match(r Request) bool {
	if p.Everyone {
		return true
	}
	if r.Principal == "" {
		return false
	}
	return slices.ContainsFunc(p.AWS, func(name string) bool {
		return name == r.Principal || name == r.Account || name == "arn:aws:iam::"+r.Account+":root" || role(r.Principal) == name
	})
}

// role returns the ARN of the role of an assumed-role session: a policy that names the role means its sessions.
func role(principal string) string {
	parts := strings.SplitN(principal, ":", 6)
	if len(parts) != 6 || parts[2] != "sts" {
		return ""
	}
	path := strings.Split(parts[5], "/")
	if len(path) < 3 || path[0] != "assumed-role" {
		return ""
	}
	return "arn:" + parts[1] + ":iam::" + parts[4] + ":role/" + strings.Join(path[1:len(path)-1], "/")
}

// withVariables replaces policy variables such as ${aws:PrincipalTag/team} by the request's values. If one of them has none,
// nothing must match, not even a value that looks like the variable, which anybody can send. ${*}, ${?} and ${$} stand for
// the characters themselves.
func withVariables(s string, r Request) (expanded string, is meaning) {
	if !strings.Contains(s, "${") {
		return s, known
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		b.WriteString(before)
		if !found {
			return b.String(), known
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString("${" + rest)
			return b.String(), known
		}
		name, fallback, hasFallback := strings.Cut(name, ", '")
		if r.isAmbiguous(name) {
			return "", undecided
		}
		switch values, present := r.Key(name); {
		case name == "*", name == "?", name == "$":
			b.WriteString(marker.Replace(name))
		case present && len(values) == 1:
			b.WriteString(marker.Replace(values[0]))
		case hasFallback:
			b.WriteString(strings.TrimSuffix(fallback, "'"))
		default:
			return "", nothing
		}
		s = after
	}
}
