package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Requirements are what a kind of policy must have beyond the grammar.
type Requirements struct {
	// Principal is set for policies that are attached to resources: each statement must name principals.
	Principal bool
	// ActionPrefixes are the services whose actions the policy may have, such as "vpc-lattice-svcs:".
	ActionPrefixes []string
	// KeyPrefixes are the services whose condition keys the policy may have, such as "aws:". Nil means any.
	KeyPrefixes []string
	// ResourcePrefix begins each resource that is not a pattern. Empty means that resources are not checked.
	ResourcePrefix string
	// Resource is set if each statement must name a resource.
	Resource bool
}

// AuthPolicyRequirements are what an auth policy has besides IAM's grammar (UG auth-policies). The policies of a
// self-hosted network are about its own resources, whose ARNs are in the partition aws.
func AuthPolicyRequirements() Requirements {
	return Requirements{
		Principal:      true,
		ActionPrefixes: []string{trafficPrefix},
		KeyPrefixes:    []string{"aws:", trafficPrefix},
		Resource:       true,
		ResourcePrefix: "arn:aws:vpc-lattice:",
	}
}

// ResourcePolicyRequirements are what a resource policy has besides IAM's grammar: it admits other accounts to
// operations of this API (API PutResourcePolicy; A-234). A statement may leave out the Resource, which can only be what
// the policy is attached to. That its actions are exactly those of a RAM permission is
// not checked.
func ResourcePolicyRequirements() Requirements {
	return Requirements{
		Principal:      true,
		ActionPrefixes: []string{"vpc-lattice:"},
		KeyPrefixes:    []string{"aws:", "vpc-lattice:"},
		ResourcePrefix: "arn:aws:vpc-lattice:",
	}
}

// IdentityPolicyRequirements are the requirements of callers' policies: they are about the services of Trellis.
func IdentityPolicyRequirements() Requirements {
	return Requirements{ActionPrefixes: []string{"vpc-lattice:", trafficPrefix, "sts:", "tag:", "trellis:"}, Resource: true}
}

// Require returns the requirements that the policy does not meet: a *SyntaxError for each, joined.
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
			if !mayBegin(action.Source, r.ActionPrefixes) {
				problems = append(problems, syntax(where+".Action", "is %q; it must begin with %s", action.Source, strings.Join(r.ActionPrefixes, " or ")))
			}
		}
		for _, c := range s.Conditions {
			if r.KeyPrefixes != nil && !slices.ContainsFunc(r.KeyPrefixes, func(prefix string) bool { return strings.HasPrefix(c.Key.Name, prefix) }) {
				problems = append(problems, syntax(where+".Condition."+c.operator.name, "has the key %s; keys here begin with %s", c.Key, strings.Join(r.KeyPrefixes, " or ")))
			}
		}
		if r.Resource && len(s.Resources) == 0 {
			problems = append(problems, syntax(where+".Resource", "is missing"))
		}
		for _, resource := range s.Resources {
			if r.ResourcePrefix != "" && !mayBegin(resource.Source, []string{r.ResourcePrefix}) {
				problems = append(problems, syntax(where+".Resource", "is %q; it must begin with %s or with a wildcard", resource.Source, r.ResourcePrefix))
			}
		}
	}
	return errors.Join(problems...)
}

// mayBegin reports whether a pattern begins with one of the prefixes, or has a wildcard before its end is reached.
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
