// Package policy reads IAM policy documents, says what is wrong with them, and evaluates them against a request,
// saying which statement decided. It knows the policy language only: which actions, resources and condition keys
// there are is its callers' business, who give the values of condition keys through a function.
package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Document is a parsed policy. It is immutable.
type Document struct {
	Version    string
	ID         string
	Statements []Statement
}

// Statement is one statement of a policy.
type Statement struct {
	Sid    string
	Effect Effect
	// Principals is nil where the statement names none, as in identity policies.
	Principals *Principals
	Actions    []string
	// NotAction says that Actions are those that the statement is not about; the others likewise.
	NotAction   bool
	Resources   []string
	NotResource bool
	Conditions  []Condition
}

// Effect is Allow or Deny.
type Effect string

// The effects.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Principals are who a statement is about.
type Principals struct {
	Not bool
	// Everyone is set by "*" and by {"AWS": "*"}.
	Everyone bool
	// AWS are account ids and ARNs. Others are the services and federated principals, which never match here.
	AWS, Others []string
}

// Condition is one operator with the keys and values that it compares.
type Condition struct {
	Operator operator
	Key      string
	Values   []string
}

// SyntaxError says where and why a document is no policy.
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

// versions are the versions of the policy language.
var versions = []string{"2012-10-17", "2008-10-17"}

// Parse reads a policy document. The error joins a *SyntaxError for each thing that is wrong.
func Parse(text string) (*Document, error) {
	members, err := object(json.RawMessage(text), "")
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
	seenStatement := false
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
			seenStatement = true
			for i, raw := range oneOrMany(m.value) {
				s, err := parseStatement(raw, fmt.Sprintf("Statement[%d]", i))
				note(err)
				d.Statements = append(d.Statements, s)
			}
		default:
			note(syntax(m.name, "is not an element of a policy"))
		}
	}
	if !seenStatement || len(d.Statements) == 0 {
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

func parseStatement(raw json.RawMessage, where string) (Statement, error) {
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
			s.Actions, err = texts(m.value, at)
			s.NotAction = m.name == "NotAction"
		case "Resource", "NotResource":
			s.Resources, err = texts(m.value, at)
			s.NotResource = m.name == "NotResource"
		case "Condition":
			s.Conditions, err = parseConditions(m.value, at)
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
	return s, errors.Join(problems...)
}

func parsePrincipals(raw json.RawMessage, where string) (*Principals, error) {
	if first(raw) == '"' {
		all, err := text1(raw, where)
		if err == nil && all != "*" {
			err = syntax(where, `is %q; it must be "*" or an object such as {"AWS": "111122223333"}`, all)
		}
		return &Principals{Everyone: true}, err
	}
	members, err := object(raw, where)
	if err != nil {
		return nil, err
	}
	p := &Principals{}
	var problems []error
	for _, m := range members {
		names, err := texts(m.value, where+"."+m.name)
		if err != nil {
			problems = append(problems, err)
		}
		switch m.name {
		case "AWS":
			p.AWS = append(p.AWS, names...)
			p.Everyone = p.Everyone || slices.Contains(names, "*")
		case "Service", "Federated", "CanonicalUser":
			p.Others = append(p.Others, names...)
		default:
			problems = append(problems, syntax(where+"."+m.name, "is not a type of principal"))
		}
	}
	if len(members) == 0 {
		problems = append(problems, syntax(where, "names nobody"))
	}
	return p, errors.Join(problems...)
}

func parseConditions(raw json.RawMessage, where string) ([]Condition, error) {
	operators, err := object(raw, where)
	if err != nil {
		return nil, err
	}
	var conditions []Condition
	var problems []error
	for _, o := range operators {
		at := where + "." + o.name
		op, ok := parseOperator(o.name)
		if !ok {
			problems = append(problems, syntax(at, "is not a condition operator"))
			continue
		}
		keys, err := object(o.value, at)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		for _, k := range keys {
			values, err := scalars(k.value, at+"."+k.name)
			if err == nil {
				err = op.check(values, at+"."+k.name)
			}
			if err != nil {
				problems = append(problems, err)
				continue
			}
			conditions = append(conditions, Condition{Operator: op, Key: k.name, Values: values})
		}
	}
	return conditions, errors.Join(problems...)
}

// member is a member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// object returns the members of a JSON object in their order. A name that stands twice is refused: two readers of
// such a policy could understand two different things.
func object(raw json.RawMessage, where string) ([]member, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	start, err := decoder.Token()
	if err != nil {
		return nil, syntax(where, "is not JSON: %v", err)
	}
	if start != json.Delim('{') {
		return nil, syntax(where, "must be a JSON object")
	}
	var members []member
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, syntax(where, "is not JSON: %v", err)
		}
		// Within an object, what stands before a value is always a string.
		name := token.(string)
		if seen[name] {
			return nil, syntax(where, "has the element %s twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, syntax(where, "is not JSON: %v", err)
		}
		members = append(members, member{name, value})
	}
	if _, err := decoder.Token(); err != nil {
		return nil, syntax(where, "is not JSON: %v", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, syntax(where, "has something after its end")
	}
	return members, nil
}

// first returns the first byte of a value that is not white space.
func first(raw json.RawMessage) byte {
	if trimmed := bytes.TrimLeft(raw, " \t\r\n"); len(trimmed) > 0 {
		return trimmed[0]
	}
	return 0
}

// oneOrMany returns the elements of an array, or the value itself.
func oneOrMany(raw json.RawMessage) []json.RawMessage {
	var many []json.RawMessage
	if first(raw) == '[' && json.Unmarshal(raw, &many) == nil {
		return many
	}
	return []json.RawMessage{raw}
}

func text1(raw json.RawMessage, where string) (string, error) {
	var s string
	if first(raw) != '"' || json.Unmarshal(raw, &s) != nil {
		return "", syntax(where, "must be a string")
	}
	return s, nil
}

// texts returns a string or a list of strings as a list, which must not be empty.
func texts(raw json.RawMessage, where string) ([]string, error) {
	var list []string
	for _, e := range oneOrMany(raw) {
		s, err := text1(e, where)
		if err != nil {
			return nil, syntax(where, "must be a string or a list of strings")
		}
		list = append(list, s)
	}
	if len(list) == 0 {
		return nil, syntax(where, "is empty")
	}
	return list, nil
}

// scalars returns a value or a list of values as texts: conditions may hold numbers and booleans without quotes.
func scalars(raw json.RawMessage, where string) ([]string, error) {
	list := []string{}
	for _, e := range oneOrMany(raw) {
		switch c := first(e); {
		case c == '"':
			s, err := text1(e, where)
			if err != nil {
				return nil, err
			}
			list = append(list, s)
		case c == 't', c == 'f', c == '-', '0' <= c && c <= '9':
			list = append(list, string(bytes.TrimSpace(e)))
		default:
			return nil, syntax(where, "must be a string, a number, a boolean or a list of these")
		}
	}
	return list, nil
}
