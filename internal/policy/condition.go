package policy

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// Condition is one operator with a key and the values that it compares.
type Condition struct {
	Key      Key
	operator operator
	values   []value
}

// value is a value of a condition, compiled for its operator.
type value struct {
	scalar
	pattern Pattern
	decimal decimal
	instant instant
	prefix  netip.Prefix
	flag    bool
	bytes   string
}

// Values returns the values as the policy spells them.
func (c *Condition) Values() []string {
	list := make([]string, len(c.values))
	for i, v := range c.values {
		list[i] = v.text
	}
	return list
}

func parseConditions(raw json.RawMessage, where string, variables bool) ([]Condition, error) {
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
			problems = append(problems, syntax(at, "is not a condition operator%s", nearOperator(o.name)))
			continue
		}
		keys, err := object(o.value, at)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		seen := map[Key]bool{}
		for _, k := range keys {
			condition, err := parseCondition(op, k, at, variables)
			if err == nil && seen[condition.Key] {
				err = syntax(at, "has the key %s twice", condition.Key)
			}
			if err != nil {
				problems = append(problems, err)
				continue
			}
			seen[condition.Key] = true
			conditions = append(conditions, condition)
		}
	}
	return conditions, errors.Join(problems...)
}

func parseCondition(op operator, m member, where string, variables bool) (Condition, error) {
	key, err := parseKey(m.name)
	if err != nil {
		return Condition{}, syntax(where, "has a key that is not known: %v", err)
	}
	c := Condition{Key: key, operator: op}
	given, err := scalars(m.value, where+"."+m.name)
	if err != nil {
		return c, err
	}
	if len(given) == 0 {
		return c, syntax(where+"."+m.name, "is empty")
	}
	for _, one := range given {
		v, needs := op.compile(one, variables)
		if needs != "" {
			return c, syntax(where+"."+m.name, "is %q; %s needs %s", one.text, op.name, needs)
		}
		c.values = append(c.values, v)
	}
	return c, nil
}

// compile reads a value. If the operator does not accept it, needs says what the operator accepts. Only operators of
// strings and ARNs have variables (IAM, Variables).
func (op operator) compile(given scalar, variables bool) (v value, needs string) {
	v.scalar = given
	ok := true
	switch op.kind {
	case kindNumeric:
		v.decimal, ok = parseDecimal(given.text)
		needs = "a number such as 443 or 0.5"
	case kindDate:
		v.instant, ok = parseInstant(given.text)
		needs = "a date such as 2026-01-02T15:04:05Z"
	case kindBool, kindNull:
		v.flag = strings.EqualFold(given.text, "true")
		ok = v.flag || strings.EqualFold(given.text, "false")
		needs = "true or false"
	case kindBinary:
		decoded, err := base64.StdEncoding.DecodeString(given.text)
		v.bytes, ok = string(decoded), err == nil
		needs = "a value in base64"
	case kindIP:
		v.prefix, ok = parsePrefix(given.text)
		needs = "an address or a range such as 10.0.0.0/8"
	default:
		var err error
		v.pattern, err = compilePattern(given.text, syntaxOf{
			wildcards: op.kind == kindStringLike || op.kind == kindARN,
			variables: variables,
			fold:      op.kind == kindStringFolded,
			arn:       op.kind == kindARN,
		})
		if err != nil {
			return v, "another value, as " + err.Error()
		}
	}
	if ok {
		needs = ""
	}
	return v, needs
}

func parsePrefix(s string) (netip.Prefix, bool) {
	if addr, ok := parseAddr(s); ok {
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(s)
	return prefix.Masked(), err == nil
}

// parseAddr reads an address, without a zone and, if it is one of IPv4, as such.
func parseAddr(s string) (netip.Addr, bool) {
	// netip allocates an error for texts that are not addresses. The first byte or the length rules most of them out.
	if s == "" || len(s) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") || !strings.Contains("0123456789abcdefABCDEF:", s[:1]) {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(s)
	return addr.Unmap().WithZone(""), err == nil && addr.Zone() == ""
}

// holds reports whether a condition holds for a request, if that can be decided.
func (c *Condition) holds(r *Request) (holds, decided bool) {
	for i := range c.values {
		if c.values[i].pattern.meaning(r) == undecided {
			return false, false
		}
	}
	op := &c.operator
	if op.kind == kindDate && c.Key.isNow() { // without formatting the time and parsing it again
		return c.matches(r, "") != op.negated, true
	}
	if op.kind == kindIP && c.Key.id == idSourceIP && op.set == single { // without formatting the address and parsing it again
		if t, ok := r.Values.(*Traffic); ok {
			if address, known := t.address(); known {
				return c.contains(address) != op.negated, true
			}
		}
	}
	got, next := r.value(&c.Key, 0)
	if next == Undecided {
		return false, false
	}
	present := next > 0
	if op.kind == kindNull {
		// "true" requires the key to be absent.
		for i := range c.values {
			if c.values[i].flag != present {
				return true, true
			}
		}
		return false, true
	}
	if present && op.set != single && got == "" {
		// An empty text is an empty set (IAM, Set operators; A-566).
		if _, more := r.value(&c.Key, next); more < 0 {
			return op.set == allValues, true
		}
	}
	if !present {
		// An absent key matches nothing, so negated operators hold, and so does ForAllValues.
		return op.ifExists || op.negated && op.set != anyValue || op.set == allValues, true
	}
	// One value is enough, or all are needed: a negated operator holds if none of several values matches.
	each := op.set == allValues || op.set == single && op.negated
	if c.Key.once {
		return c.matches(r, got) != op.negated, true
	}
	for ; next > 0; got, next = r.value(&c.Key, next) {
		if c.matches(r, got) != op.negated {
			if !each {
				return true, true
			}
		} else if each {
			return false, true
		}
	}
	return each, true
}

// matches reports whether one value of the request matches one of the policy's.
func (c *Condition) matches(r *Request, got string) bool {
	switch c.operator.kind {
	case kindNumeric:
		number, ok := parseDecimal(got)
		for i := range c.values {
			if ok && c.operator.order.has(number.compare(c.values[i].decimal)) {
				return true
			}
		}
	case kindDate:
		var at instant
		ok := true
		if c.Key.isNow() {
			at = instant(r.Now.Unix() * int64(time.Second))
		} else {
			at, ok = parseInstant(got)
		}
		for i := range c.values {
			if ok && c.operator.order.has(compareInstants(at, c.values[i].instant)) {
				return true
			}
		}
	case kindBool:
		flag := strings.EqualFold(got, "true")
		ok := flag || strings.EqualFold(got, "false")
		for i := range c.values {
			if ok && c.values[i].flag == flag {
				return true
			}
		}
	case kindBinary:
		for i := range c.values {
			if c.values[i].bytes == got {
				return true
			}
		}
	case kindIP:
		addr, ok := parseAddr(got)
		return ok && c.contains(addr)
	default:
		for i := range c.values {
			p := &c.values[i].pattern
			if p.meaning(r) == known && p.matches(r, text{a: got}) {
				return true
			}
		}
	}
	return false
}

// contains reports whether an address is in one of the ranges of the values.
func (c *Condition) contains(address netip.Addr) bool {
	for i := range c.values {
		if c.values[i].prefix.Contains(address) {
			return true
		}
	}
	return false
}

func compareInstants(a, b instant) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
