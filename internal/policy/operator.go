package policy

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// operator is a condition operator: a comparison, and how it treats several and absent values.
type operator struct {
	name    string
	compare comparison
	negated bool
	// ifExists makes the condition hold when the request has no such key.
	ifExists bool
	set      set
}

// set says how a key with several values is compared.
type set int

const (
	single set = iota
	anyValue
	allValues
)

// comparison compares one value of the request with one of the policy.
type comparison struct {
	kind  kind
	match func(request, policy string) bool
}

// kind is the type of values that a comparison takes.
type kind int

const (
	kindText kind = iota
	kindNumber
	kindDate
	kindBool
	kindIP
	kindARN
	kindNull
)

// base returns the comparison of an operator without prefix, suffix and negation.
func base(name string) (c comparison, negated, ok bool) {
	switch name {
	case "StringEquals":
		return comparison{kindText, func(r, p string) bool { return r == unmark(p) }}, false, true
	case "StringNotEquals":
		return comparison{kindText, func(r, p string) bool { return r == unmark(p) }}, true, true
	case "StringEqualsIgnoreCase":
		return comparison{kindText, func(r, p string) bool { return strings.EqualFold(r, unmark(p)) }}, false, true
	case "StringNotEqualsIgnoreCase":
		return comparison{kindText, func(r, p string) bool { return strings.EqualFold(r, unmark(p)) }}, true, true
	case "StringLike":
		return comparison{kindText, like}, false, true
	case "StringNotLike":
		return comparison{kindText, like}, true, true
	case "NumericEquals":
		return comparison{kindNumber, numbers(func(r, p float64) bool { return r == p })}, false, true
	case "NumericNotEquals":
		return comparison{kindNumber, numbers(func(r, p float64) bool { return r == p })}, true, true
	case "NumericLessThan":
		return comparison{kindNumber, numbers(func(r, p float64) bool { return r < p })}, false, true
	case "NumericLessThanEquals":
		return comparison{kindNumber, numbers(func(r, p float64) bool { return r <= p })}, false, true
	case "NumericGreaterThan":
		return comparison{kindNumber, numbers(func(r, p float64) bool { return r > p })}, false, true
	case "NumericGreaterThanEquals":
		return comparison{kindNumber, numbers(func(r, p float64) bool { return r >= p })}, false, true
	case "DateEquals":
		return comparison{kindDate, dates(func(r, p time.Time) bool { return r.Equal(p) })}, false, true
	case "DateNotEquals":
		return comparison{kindDate, dates(func(r, p time.Time) bool { return r.Equal(p) })}, true, true
	case "DateLessThan":
		return comparison{kindDate, dates(func(r, p time.Time) bool { return r.Before(p) })}, false, true
	case "DateLessThanEquals":
		return comparison{kindDate, dates(func(r, p time.Time) bool { return !r.After(p) })}, false, true
	case "DateGreaterThan":
		return comparison{kindDate, dates(func(r, p time.Time) bool { return r.After(p) })}, false, true
	case "DateGreaterThanEquals":
		return comparison{kindDate, dates(func(r, p time.Time) bool { return !r.Before(p) })}, false, true
	case "Bool":
		return comparison{kindBool, strings.EqualFold}, false, true
	case "IpAddress":
		return comparison{kindIP, inRange}, false, true
	case "NotIpAddress":
		return comparison{kindIP, inRange}, true, true
	case "ArnEquals", "ArnLike":
		return comparison{kindARN, arnLike}, false, true
	case "ArnNotEquals", "ArnNotLike":
		return comparison{kindARN, arnLike}, true, true
	case "Null":
		return comparison{kindNull, nil}, false, true
	}
	return comparison{}, false, false
}

// parseOperator reads an operator such as ForAnyValue:StringNotLikeIfExists.
func parseOperator(name string) (operator, bool) {
	op := operator{name: name}
	rest := name
	switch prefix, after, found := strings.Cut(name, ":"); {
	case found && prefix == "ForAnyValue":
		op.set, rest = anyValue, after
	case found && prefix == "ForAllValues":
		op.set, rest = allValues, after
	case found:
		return operator{}, false
	}
	if bare, found := strings.CutSuffix(rest, "IfExists"); found {
		op.ifExists, rest = true, bare
	}
	var ok bool
	op.compare, op.negated, ok = base(rest)
	if op.compare.kind == kindNull && (op.ifExists || op.set != single) {
		return operator{}, false
	}
	return op, ok
}

// check refuses values that the operator can never compare.
func (op operator) check(values []string, where string) error {
	for _, v := range values {
		if strings.Contains(v, "${") {
			continue
		}
		switch op.compare.kind {
		case kindNumber:
			if _, err := strconv.ParseFloat(v, 64); err != nil {
				return syntax(where, "is %q; %s needs a number", v, op.name)
			}
		case kindDate:
			if _, ok := parseDate(v); !ok {
				return syntax(where, "is %q; %s needs a date such as 2026-01-02T15:04:05Z", v, op.name)
			}
		case kindBool, kindNull:
			if !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
				return syntax(where, "is %q; %s needs true or false", v, op.name)
			}
		case kindIP:
			if _, ok := parsePrefix(v); !ok {
				return syntax(where, "is %q; %s needs an address or a range such as 10.0.0.0/8", v, op.name)
			}
		}
	}
	return nil
}

// holds says whether a condition holds for the values that the request has under its key.
func (op operator) holds(request []string, present bool, policy []string) bool {
	if op.compare.kind == kindNull {
		// "true" asks for the key to be absent.
		for _, v := range policy {
			if strings.EqualFold(v, "true") == !present {
				return true
			}
		}
		return false
	}
	if !present || len(request) == 0 {
		// An absent key fails every comparison; a negated one therefore holds, and ForAllValues of nothing too.
		return op.ifExists || op.negated && op.set != anyValue || op.set == allValues
	}
	one := func(value string) bool {
		for _, v := range policy {
			if op.compare.match(value, v) {
				return !op.negated
			}
		}
		return op.negated
	}
	if op.set == allValues {
		for _, value := range request {
			if !one(value) {
				return false
			}
		}
		return true
	}
	if op.set == single && op.negated {
		// None of the values may match.
		for _, value := range request {
			if !one(value) {
				return false
			}
		}
		return true
	}
	for _, value := range request {
		if one(value) {
			return true
		}
	}
	return false
}

// A star or a question mark that a policy variable brought in stands for itself: whoever chooses a tag's value must
// not be able to widen a policy. Expansion writes these marks in their place, and like compares them as the characters.
const (
	markStar     = '\x01'
	markQuestion = '\x02'
)

var marker = strings.NewReplacer("*", string(markStar), "?", string(markQuestion))
var unmarker = strings.NewReplacer(string(markStar), "*", string(markQuestion), "?")

func unmark(s string) string {
	if strings.ContainsAny(s, "\x01\x02") {
		return unmarker.Replace(s)
	}
	return s
}

// same says whether a byte of a pattern stands for this byte.
func same(pattern, c byte) bool {
	return pattern == c || pattern == markStar && c == '*' || pattern == markQuestion && c == '?'
}

// like matches a pattern with * for any text and ? for any character.
func like(s, pattern string) bool {
	// Iterative, with one point to come back to: the cost is bounded by the product of the lengths.
	star, mark := -1, 0
	i, j := 0, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, mark = j, i
			j++
		case j < len(pattern) && pattern[j] == '?':
			_, size := utf8.DecodeRuneInString(s[i:])
			i += size
			j++
		case j < len(pattern) && same(pattern[j], s[i]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = mark, star+1
		default:
			return false
		}
	}
	for j < len(pattern) && pattern[j] == '*' {
		j++
	}
	return j == len(pattern)
}

// arnLike compares the six parts of ARNs one by one, each with wildcards, so that none reaches over a colon but
// in the last part.
func arnLike(s, pattern string) bool {
	if pattern == "*" {
		return true
	}
	request, policy := strings.SplitN(s, ":", 6), strings.SplitN(pattern, ":", 6)
	if len(request) != 6 || len(policy) != 6 {
		return false
	}
	for i := range policy {
		if !like(request[i], policy[i]) {
			return false
		}
	}
	return true
}

func numbers(compare func(r, p float64) bool) func(string, string) bool {
	return func(request, policy string) bool {
		r, err1 := strconv.ParseFloat(request, 64)
		p, err2 := strconv.ParseFloat(policy, 64)
		return err1 == nil && err2 == nil && compare(r, p)
	}
}

func dates(compare func(r, p time.Time) bool) func(string, string) bool {
	return func(request, policy string) bool {
		r, ok1 := parseDate(request)
		p, ok2 := parseDate(policy)
		return ok1 && ok2 && compare(r, p)
	}
}

// parseDate reads a W3C date or seconds since 1970.
func parseDate(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(seconds, 0), true
	}
	return time.Time{}, false
}

func inRange(request, policy string) bool {
	addr, err := netip.ParseAddr(request)
	prefix, ok := parsePrefix(policy)
	return err == nil && ok && prefix.Contains(addr.Unmap())
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), true
	}
	prefix, err := netip.ParsePrefix(s)
	return prefix, err == nil
}
