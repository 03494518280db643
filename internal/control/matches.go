package control

import (
	"fmt"
	"strings"

	"trellis/internal/api"
	"trellis/internal/shape"
)

// ruleMatch returns a match as a rule stores it: as the client sent it, but with an empty list of header matches
// instead of none, as AWS shows it, and without an empty method, which matches everything.
// field is the member of the input that holds the match.
func ruleMatch(in *shape.RuleMatch, field string) (*shape.RuleMatch, error) {
	m := *in.HttpMatch
	if value(m.Method) == "" {
		m.Method = nil
	}
	if m.HeaderMatches == nil {
		m.HeaderMatches = []shape.HeaderMatch{}
	}
	at := field + ".httpMatch"
	// A rule consists of one or more conditions (API CreateRule; A-048).
	if m.Method == nil && m.PathMatch == nil && len(m.HeaderMatches) == 0 {
		return nil, api.Invalid(at, fmt.Sprintf("The value at '%s' must have at least one condition: method, pathMatch or headerMatches.", at))
	}
	if m.Method != nil && !isToken(*m.Method) {
		return nil, api.Invalid(at+".method", fmt.Sprintf("The value at '%s.method' cannot be a method of HTTP.", at))
	}
	for i, header := range m.HeaderMatches {
		if at := fmt.Sprintf("%s.headerMatches[%d].name", at, i); !isToken(*header.Name) {
			return nil, api.Invalid(at, fmt.Sprintf("The value at '%s' cannot be the name of a header.", at))
		}
	}
	return &shape.RuleMatch{HttpMatch: &m}, nil
}

// isToken reports whether s is a token, as names of methods and of headers are (RFC 9110 5.6.2).
func isToken(s string) bool {
	for _, r := range s {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return false
		}
	}
	return s != ""
}
