package lattice

import (
	"encoding/json"
	"strconv"
	"strings"
)

// UnmarshalJSON reads a target. There are many more targets than other records, and a start reads them all: the form
// that targets are written in is read by hand, five times as fast, and any other by package json.
func (t *Target) UnmarshalJSON(value []byte) error {
	if target, ok := parseTarget(string(value)); ok {
		*t = target
		return nil
	}
	type plain Target // without this method
	return json.Unmarshal(value, (*plain)(t))
}

// parseTarget reads what package json writes for a target whose strings need no escapes. All strings are parts of one
// copy of the text.
func parseTarget(text string) (Target, bool) {
	var t Target
	rest := text
	for _, member := range []struct {
		prefix string
		value  *string
	}{
		{`{"scope":{"account":"`, &t.Scope.Account},
		{`,"region":"`, &t.Scope.Region},
		{`},"targetGroupId":"`, &t.TargetGroupID},
		{`,"id":"`, &t.ID},
	} {
		var ok bool
		if *member.value, rest, ok = cutString(rest, member.prefix); !ok {
			return Target{}, false
		}
	}
	if after, ok := strings.CutPrefix(rest, `,"port":`); ok {
		digits, _, _ := strings.Cut(after, ",")
		port, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || digits[0] < '1' || digits[0] > '9' { // "+1" and "01" are not JSON.
			return Target{}, false
		}
		t.Port, rest = int32(port), after[len(digits):]
	}
	registered, rest, ok := cutString(rest, `,"registeredAt":"`)
	if !ok || t.RegisteredAt.UnmarshalText([]byte(registered)) != nil {
		return Target{}, false
	}
	if draining, after, ok := cutString(rest, `,"drainingUntil":"`); ok {
		if t.DrainingUntil.UnmarshalText([]byte(draining)) != nil {
			return Target{}, false
		}
		rest = after
	}
	return t, rest == "}"
}

// cutString returns the JSON string that follows a prefix, which ends with its opening quote, and what follows the
// string. It is false if the string is not plain ASCII.
func cutString(text, prefix string) (value, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, prefix)
	if !ok {
		return "", "", false
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"':
			return text[:i], text[i+1:], true
		case c < ' ' || c >= 0x7f || c == '\\':
			return "", "", false
		}
	}
	return "", "", false
}
