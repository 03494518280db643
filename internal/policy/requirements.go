package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Requirements are what a kind of policy asks for beyond the grammar.
type Requirements struct {
	// Principal is set for policies that are attached to resources: each statement must say whom it is about.
	Principal bool
	// ActionPrefixes are the services whose actions may stand in the policy, such as "vpc-lattice-svcs:".
	ActionPrefixes []string
	// ResourcePrefix is how a resource that is not a pattern begins. Empty: resources are not checked.
	ResourcePrefix string
	// Resource is set where each statement must name a resource.
	Resource bool
}

// Require returns what of the requirements the policy does not meet: a *SyntaxError for each, joined.
func (d *Document) Require(r Requirements) error {
	var problems []error
	for i := range d.Statements {
		s := &d.Statements[i]
		where := fmt.Sprintf("Statement[%d]", i)
		if r.Principal && s.Principals == nil {
			problems = append(problems, syntax(where+".Principal", "is missing"))
		}
		if !r.Principal && s.Principals != nil {
			problems = append(problems, syntax(where+".Principal", "does not belong into an identity policy"))
		}
		for _, action := range s.Actions {
			if !mayBegin(action, r.ActionPrefixes) {
				problems = append(problems, syntax(where+".Action", "is %q; it must begin with %s", action, strings.Join(r.ActionPrefixes, " or ")))
			}
		}
		if r.Resource && len(s.Resources) == 0 {
			problems = append(problems, syntax(where+".Resource", "is missing"))
		}
		for _, resource := range s.Resources {
			if r.ResourcePrefix != "" && !mayBegin(resource, []string{r.ResourcePrefix}) {
				problems = append(problems, syntax(where+".Resource", "is %q; it must begin with %s or with a wildcard", resource, r.ResourcePrefix))
			}
		}
	}
	return errors.Join(problems...)
}

// mayBegin says whether a pattern begins with one of the prefixes, or has a wildcard before its end is reached.
func mayBegin(pattern string, prefixes []string) bool {
	fixed := pattern
	wild := strings.IndexAny(pattern, "*?$")
	if wild >= 0 {
		fixed = pattern[:wild]
	}
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		if wild >= 0 && len(fixed) < len(prefix) {
			return strings.EqualFold(prefix[:len(fixed)], fixed)
		}
		return len(fixed) >= len(prefix) && strings.EqualFold(fixed[:len(prefix)], prefix)
	})
}
