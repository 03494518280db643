package health

import (
	"fmt"
	"strings"
)

// maxStatusCode is the largest status code that a Matcher can hold. HTTP has none above (RFC 9110 15).
const maxStatusCode = 599

// Matcher is a set of status codes. The zero Matcher is empty. Matchers can be compared with ==.
type Matcher struct {
	codes [(maxStatusCode + 64) / 64]uint64 // bit n%64 of word n/64 stands for code n.
}

// parseMatcher parses the API's matcher.httpCode: codes and ranges of codes, separated by commas, such as "200", "200,202",
// "200-299" or a mix. It is not known whether AWS admits a mix, but the member's pattern does.
func parseMatcher(s string) (Matcher, error) {
	var m Matcher
	for item := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(item, "-")
		from, ok := parseStatusCode(first)
		to := from
		if ok && isRange {
			to, ok = parseStatusCode(last)
		}
		if !ok || from > to {
			return Matcher{}, fmt.Errorf("matcher %q: %q is neither a status code nor a range of them", s, item)
		}
		for code := from; code <= to; code++ {
			m.codes[code/64] |= 1 << (code % 64)
		}
	}
	return m, nil
}

func parseStatusCode(s string) (code int, ok bool) {
	if len(s) != 3 {
		return 0, false
	}
	for _, digit := range []byte(s) {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		code = code*10 + int(digit-'0')
	}
	return code, code >= 100 && code <= maxStatusCode
}

// Match reports whether a status code is in the set.
func (m Matcher) Match(code int) bool {
	return code >= 0 && code <= maxStatusCode && m.codes[code/64]&(1<<(code%64)) != 0
}
