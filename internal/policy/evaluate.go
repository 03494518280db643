package policy

// Outcome is what policies decide about a request.
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
func (d *Document) Evaluate(r *Request) Decision {
	decision := Decision{ImplicitDeny, -1}
	for i := range d.Statements {
		s := &d.Statements[i]
		if decision.Outcome == Allowed && s.Effect == Allow || s.failing(r) != applies {
			continue
		}
		if s.Effect == Deny {
			return Decision{ExplicitDeny, i}
		}
		decision = Decision{Allowed, i}
	}
	return decision
}

// element is a part of a statement that keeps it from applying to a request: one of the constants, or onCondition plus
// the index of a condition.
type element int

const (
	applies element = iota
	onPrincipal
	onAction
	onResource
	onCondition
)

// failing returns the first element of a statement that keeps it from applying to a request, or applies. Of two possible
// results, it takes the one that denies more.
func (s *Statement) failing(r *Request) element {
	denies := s.Effect == Deny
	if s.Principals != nil && !s.Principals.apply(&r.Caller, s.Effect) {
		return onPrincipal
	}
	if !s.isAbout(r.Action) {
		return onAction
	}
	if !s.everything && matchesAny(s.Resources, r, text{r.Resource, r.Path}, denies != s.NotResource) == s.NotResource {
		return onResource
	}
	for i := range s.Conditions {
		if holds, decided := s.Conditions[i].holds(r); decided && !holds || !decided && !denies {
			return onCondition + element(i)
		}
	}
	return applies
}

// isAbout reports whether a statement is about an action.
func (s *Statement) isAbout(action string) bool {
	switch action {
	case ActionInvoke:
		return s.invoke
	case ActionConnect:
		return s.connect
	}
	return s.matchesAction(action)
}

func (s *Statement) matchesAction(action string) bool {
	// Actions have no variables, so the request does not matter.
	return matchesAny(s.Actions, nil, text{a: action}, false) != s.NotAction
}

// matchesAny reports whether a text matches one of the patterns. ifUndecided is the result for a pattern whose meaning is
// undecided.
func matchesAny(patterns []Pattern, r *Request, t text, ifUndecided bool) bool {
	for i := range patterns {
		p := &patterns[i]
		switch p.meaning(r) {
		case undecided:
			if ifUndecided {
				return true
			}
		case known:
			if p.matches(r, t) {
				return true
			}
		}
	}
	return false
}
