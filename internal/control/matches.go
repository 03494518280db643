package control

import (
	"fmt"

	"golang.org/x/net/http/httpguts"

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
	// A method is a token, as the name of a header is (RFC 9110 9.1).
	if m.Method != nil && !httpguts.ValidHeaderFieldName(*m.Method) {
		return nil, api.Invalid(at+".method", fmt.Sprintf("The value at '%s.method' cannot be a method of HTTP.", at))
	}
	for i, header := range m.HeaderMatches {
		if at := fmt.Sprintf("%s.headerMatches[%d].name", at, i); !httpguts.ValidHeaderFieldName(*header.Name) {
			return nil, api.Invalid(at, fmt.Sprintf("The value at '%s' cannot be the name of a header.", at))
		}
	}
	return &shape.RuleMatch{HttpMatch: &m}, nil
}
