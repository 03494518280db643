// Package policy is IAM's policy language: it reads documents, says what is wrong with them, compiles them, and decides
// about requests, of the API and of traffic alike. A decision can be explained: which statement, which condition, with
// the values on both sides.
//
// It knows the language, the condition keys that exist and AWS's words for a refusal. It does not know where policies
// are kept, who has signed a request or what a request is made of: callers hand it a Request, a small view of these.
//
// Invariant: a Document is immutable and compiled when it is read. Evaluating it allocates nothing; explanations may.
package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Document is a policy, parsed and compiled. It is immutable.
type Document struct {
	Version    string
	ID         string
	Statements []Statement
}

// Statement is one statement of a policy.
type Statement struct {
	Sid    string
	Effect Effect
	// Principals is nil if the statement names none, as in identity policies.
	Principals *Principals
	Actions    []Pattern
	// NotAction reports that the statement is about all actions except Actions; NotResource says the same of resources.
	NotAction   bool
	Resources   []Pattern
	NotResource bool
	Conditions  []Condition

	// Precomputed for most requests: whether the statement is about the actions of requests through the network, and whether
	// it is about every resource.
	invoke, connect, everything bool
}

// Effect is Allow or Deny.
type Effect string

// The effects.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// SyntaxError is one thing that is wrong with a document.
type SyntaxError struct {
	// Where is the path of the element, such as Statement[0].Effect, and empty for the document itself.
	Where   string
	Problem string
}

func (e *SyntaxError) Error() string {
	if e.Where == "" {
		return "the policy " + e.Problem
	}
	return e.Where + " " + e.Problem
}

func syntax(where, format string, args ...any) error {
	return &SyntaxError{Where: where, Problem: fmt.Sprintf(format, args...)}
}

// variablesVersion is the first version of the policy language that has variables. In policies of the older version, which
// is also that of policies that name none, they are plain text (IAM, Version).
const variablesVersion = "2012-10-17"

// versions are the versions of the policy language.
var versions = []string{variablesVersion, "2008-10-17"}

// Parse reads and compiles a policy document. The error joins a *SyntaxError for each thing that is wrong.
func Parse(text string) (*Document, error) {
	members, err := object([]byte(text), "")
	if err != nil {
		return nil, err
	}
	d := &Document{}
	var problems []error
	note := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	var statements []byte
	for _, m := range members {
		switch m.name {
		case "Version":
			d.Version, err = text1(m.value, m.name)
			note(err)
			if err == nil && !slices.Contains(versions, d.Version) {
				note(syntax(m.name, "is %q; it must be %s", d.Version, strings.Join(versions, " or ")))
			}
		case "Id":
			d.ID, err = text1(m.value, m.name)
			note(err)
		case "Statement":
			statements = m.value
		default:
			note(syntax(m.name, "is not an element of a policy"))
		}
	}
	// Statements come last: the version decides whether they have variables, and may follow them.
	if statements != nil {
		for i, raw := range oneOrMany(statements) {
			s, err := parseStatement(raw, fmt.Sprintf("Statement[%d]", i), d.Version == variablesVersion)
			note(err)
			d.Statements = append(d.Statements, s)
		}
	}
	if len(d.Statements) == 0 {
		note(syntax("Statement", "is missing"))
	}
	note(uniqueSids(d.Statements))
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return d, nil
}

func uniqueSids(statements []Statement) error {
	seen := map[string]bool{}
	for i, s := range statements {
		if s.Sid != "" && seen[s.Sid] {
			return syntax(fmt.Sprintf("Statement[%d].Sid", i), "%q is used twice", s.Sid)
		}
		seen[s.Sid] = true
	}
	return nil
}

func parseStatement(raw []byte, where string, variables bool) (Statement, error) {
	members, err := object(raw, where)
	if err != nil {
		return Statement{}, err
	}
	var s Statement
	var problems []error
	given := map[string]bool{}
	for _, m := range members {
		at := where + "." + m.name
		given[m.name] = true
		var err error
		switch m.name {
		case "Sid":
			s.Sid, err = text1(m.value, at)
		case "Effect":
			var effect string
			effect, err = text1(m.value, at)
			s.Effect = Effect(effect)
			if err == nil && s.Effect != Allow && s.Effect != Deny {
				err = syntax(at, "is %q; it must be Allow or Deny", effect)
			}
		case "Principal", "NotPrincipal":
			s.Principals, err = parsePrincipals(m.value, at)
			if s.Principals != nil {
				s.Principals.Not = m.name == "NotPrincipal"
			}
		case "Action", "NotAction":
			// Actions are compared without regard to case and have no variables (IAM, Action; Variables).
			s.Actions, err = parsePatterns(m.value, at, syntaxOf{wildcards: true, fold: true})
			s.NotAction = m.name == "NotAction"
		case "Resource", "NotResource":
			s.Resources, err = parsePatterns(m.value, at, syntaxOf{wildcards: true, variables: variables})
			s.NotResource = m.name == "NotResource"
		case "Condition":
			s.Conditions, err = parseConditions(m.value, at, variables)
		default:
			err = syntax(at, "is not an element of a statement")
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	if !given["Effect"] {
		problems = append(problems, syntax(where+".Effect", "is missing"))
	}
	for _, pair := range [][2]string{{"Principal", "NotPrincipal"}, {"Action", "NotAction"}, {"Resource", "NotResource"}} {
		if given[pair[0]] && given[pair[1]] {
			problems = append(problems, syntax(where, "has both %s and %s", pair[0], pair[1]))
		}
	}
	if !given["Action"] && !given["NotAction"] {
		problems = append(problems, syntax(where+".Action", "is missing"))
	}
	s.invoke, s.connect = s.matchesAction(ActionInvoke), s.matchesAction(ActionConnect)
	s.everything = len(s.Resources) == 0 || !s.NotResource && slices.ContainsFunc(s.Resources, func(p Pattern) bool { return p.form == formAny })
	return s, errors.Join(problems...)
}

func parsePatterns(raw []byte, where string, form syntaxOf) ([]Pattern, error) {
	list, err := texts(raw, where)
	if err != nil {
		return nil, err
	}
	patterns := make([]Pattern, len(list))
	var problems []error
	for i, text := range list {
		if patterns[i], err = compilePattern(text, form); err != nil {
			problems = append(problems, syntax(where, "is %q; %v", text, err))
		}
	}
	return patterns, errors.Join(problems...)
}
