package policy

import (
	"cmp"
	"strings"
)

// decimal is a number as numeric conditions compare it: exactly, however many digits it has.
type decimal struct {
	negative bool
	// whole has no leading zeros, fraction no trailing ones.
	whole, fraction string
}

// parseDecimal reads a number such as 443, -1 or 0.25.
func parseDecimal(s string) (d decimal, ok bool) {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	whole, fraction, hasFraction := strings.Cut(s, ".")
	if !digits(whole) || hasFraction && !digits(fraction) {
		return d, false
	}
	d.whole, d.fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if d.whole == "" && d.fraction == "" {
		d.negative = false
	}
	return d, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// compare returns a negative number if d is less than e, 0 if they are equal, and a positive one otherwise.
func (d decimal) compare(e decimal) int {
	if d.negative != e.negative {
		if d.negative {
			return -1
		}
		return 1
	}
	result := cmp.Or(cmp.Compare(len(d.whole), len(e.whole)), strings.Compare(d.whole, e.whole), strings.Compare(d.fraction, e.fraction))
	if d.negative {
		return -result
	}
	return result
}
