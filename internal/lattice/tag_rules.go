package lattice

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// maxTags is how many tags a resource can have. AWS states the limit for its services in general.
const maxTags = 50

// TagProblems says what is wrong with a client's tags, beyond what the model states: the characters (API TagKey, TagValue),
// the reserved prefix, spaces at the ends (UG tags). It names the keys in order.
func TagProblems(tags map[string]string) []FieldProblem {
	var problems []FieldProblem
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		for _, message := range []string{tagKeyProblem(key), tagTextProblem("Tag value", tags[key])} {
			if message != "" {
				problems = append(problems, FieldProblem{fmt.Sprintf("tags[%q]", key), message})
			}
		}
	}
	return problems
}

// TagCountProblem says when a resource would have too many tags.
func TagCountProblem(tags map[string]string) []FieldProblem {
	if len(tags) <= maxTags {
		return nil
	}
	return []FieldProblem{{"tags", fmt.Sprintf("A resource must have at most %d tags; this one would have %d.", maxTags, len(tags))}}
}

// tagKeyProblem refuses the prefix in upper case too, as the services of AWS do.
func tagKeyProblem(key string) string {
	if len(key) >= 4 && strings.EqualFold(key[:4], "aws:") {
		return fmt.Sprintf("Tag key '%s' must not begin with aws:, which is reserved.", key)
	}
	return tagTextProblem("Tag key", key)
}

// tagCharacters are letters, with the marks that belong to them, digits and white space.
var tagCharacters = []*unicode.RangeTable{unicode.L, unicode.M, unicode.N, unicode.White_Space}

func tagTextProblem(what, text string) string {
	if strings.TrimSpace(text) != text {
		return fmt.Sprintf("%s '%s' must not begin or end with white space.", what, text)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.In(r, tagCharacters...) && !strings.ContainsRune("_.:/=+-@", r) }) {
		return fmt.Sprintf("%s '%s' must consist of letters, digits, white space and _ . : / = + - @ only.", what, text)
	}
	return ""
}
