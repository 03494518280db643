package policy

import (
	"fmt"
	"strings"

	"trellis/internal/nearest"
)

// operator is a condition operator: what it compares, how, and what it makes of several and of absent values.
type operator struct {
	name string
	kind kind
	// order has the results of comparing the request's value with the policy's for which the condition holds, for numbers and
	// dates.
	order order
	// negated makes the condition hold if no value of the policy matches.
	negated bool
	// ifExists makes the condition hold if the request does not have the key.
	ifExists bool
	set      set
}

// kind is the type of the values that an operator takes.
type kind uint8

const (
	kindString kind = iota
	kindStringFolded
	kindStringLike
	kindNumeric
	kindDate
	kindBool
	kindBinary
	kindIP
	kindARN
	kindNull
)

// order is a set of results of a comparison.
type order uint8

const (
	less order = 1 << iota
	equal
	greater
)

// has reports whether the result of a comparison, which is negative, 0 or positive, is in the set.
func (o order) has(result int) bool {
	switch {
	case result < 0:
		return o&less != 0
	case result > 0:
		return o&greater != 0
	default:
		return o&equal != 0
	}
}

// set is how a key with several values is compared.
type set uint8

const (
	single set = iota
	anyValue
	allValues
)

// parseOperator reads an operator such as ForAnyValue:StringNotLikeIfExists.
func parseOperator(name string) (operator, bool) {
	op := operator{name: name}
	rest := name
	if prefix, after, found := strings.Cut(name, ":"); found {
		switch prefix {
		case "ForAnyValue":
			op.set = anyValue
		case "ForAllValues":
			op.set = allValues
		default:
			return op, false
		}
		rest = after
	}
	rest, op.ifExists = strings.CutSuffix(rest, "IfExists")
	switch rest {
	case "StringEquals", "StringNotEquals":
		op.kind = kindString
	case "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase":
		op.kind = kindStringFolded
	case "StringLike", "StringNotLike":
		op.kind = kindStringLike
	case "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike": // The two are the same (IAM, ARN condition operators).
		op.kind = kindARN
	case "IpAddress", "NotIpAddress":
		op.kind = kindIP
	case "Bool":
		op.kind = kindBool
	case "BinaryEquals":
		op.kind = kindBinary
	case "Null":
		op.kind = kindNull
		return op, !op.ifExists && op.set == single
	default:
		return op, op.parseOrder(rest)
	}
	op.negated = strings.Contains(rest, "Not")
	return op, true
}

// parseOrder parses the operators of numbers and dates.
func (op *operator) parseOrder(name string) bool {
	comparison, numeric := strings.CutPrefix(name, "Numeric")
	if op.kind = kindNumeric; !numeric {
		op.kind = kindDate
		var date bool
		if comparison, date = strings.CutPrefix(name, "Date"); !date {
			return false
		}
	}
	switch comparison {
	case "Equals":
		op.order = equal
	case "NotEquals":
		op.order, op.negated = equal, true
	case "LessThan":
		op.order = less
	case "LessThanEquals":
		op.order = less | equal
	case "GreaterThan":
		op.order = greater
	case "GreaterThanEquals":
		op.order = greater | equal
	default:
		return false
	}
	return true
}

// nearOperator asks whether another operator was meant, if one has a similar name.
func nearOperator(name string) string {
	_, bare, found := strings.Cut(name, ":")
	if !found {
		bare = name
	}
	operators := []string{
		"StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike", "StringNotLike",
		"NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan", "NumericGreaterThanEquals",
		"DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals",
		"Bool", "BinaryEquals", "IpAddress", "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null",
	}
	if near := nearest.Name(strings.TrimSuffix(bare, "IfExists"), operators); near != "" && near != bare {
		return fmt.Sprintf("; did you mean %s?", near)
	}
	return ""
}
