package lattice

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

// UnmarshalJSON reads the record, and has its targets know whose they are. There are many more targets than anything
// else, and a start reads them all: the form in which targets are written is read by hand, several times as fast, and
// any other by package json.
func (t *Targets) UnmarshalJSON(value []byte) error {
	if read, ok := readTargets(string(value)); ok {
		*t = read
	} else {
		type plain Targets // without this method
		if err := json.Unmarshal(value, (*plain)(t)); err != nil {
			return err
		}
	}
	for _, member := range t.Members {
		if member == nil {
			return errors.New("a target is null")
		}
		member.Scope, member.TargetGroupID = t.Scope, t.TargetGroupID
	}
	return nil
}

// readTargets reads what package json writes for targets whose strings need no escapes. All strings are parts of one
// copy of the text.
func readTargets(text string) (Targets, bool) {
	var t Targets
	r := jsonReader{text}
	if !r.text(`{"scope":{"account":`, &t.Scope.Account) || !r.text(`,"region":`, &t.Scope.Region) ||
		!r.text(`},"targetGroupId":`, &t.TargetGroupID) || !r.number(`,"registrations":`, &t.Registrations) || !r.skip(`,"members":[`) {
		return Targets{}, false
	}
	members := make([]Target, strings.Count(r.rest, `{"number":`))
	t.Members = make([]*Target, len(members))
	for i := range members {
		if i > 0 && !r.skip(",") || !r.target(&members[i]) {
			return Targets{}, false
		}
		t.Members[i] = &members[i]
	}
	return t, r.rest == "]}"
}

// jsonReader takes one piece after the other off the beginning of a text. Its methods return false for what is not there.
type jsonReader struct{ rest string }

func (r *jsonReader) target(t *Target) bool {
	if !r.number(`{"number":`, &t.Number) || !r.text(`,"id":`, &t.ID) {
		return false
	}
	if port := int64(0); r.number(`,"port":`, &port) {
		if t.Port = int32(port); int64(t.Port) != port {
			return false
		}
	}
	if !r.time(`,"registeredAt":`, &t.RegisteredAt) {
		return false
	}
	return r.skip("}") || r.time(`,"drainingUntil":`, &t.DrainingUntil) && r.skip("}")
}

func (r *jsonReader) skip(prefix string) (ok bool) {
	r.rest, ok = strings.CutPrefix(r.rest, prefix)
	return ok
}

// text takes a prefix and a string of plain ASCII.
func (r *jsonReader) text(prefix string, value *string) bool {
	if !r.skip(prefix) || !r.skip(`"`) {
		return false
	}
	for i := range len(r.rest) {
		switch c := r.rest[i]; {
		case c == '"':
			*value, r.rest = r.rest[:i], r.rest[i+1:]
			return true
		case c < ' ' || c >= 0x7f || c == '\\':
			return false
		}
	}
	return false
}

// number takes a prefix and a number that is neither negative nor begins with a zero that JSON would not have.
func (r *jsonReader) number(prefix string, value *int64) bool {
	rest, ok := strings.CutPrefix(r.rest, prefix)
	if !ok {
		return false
	}
	digits := 0
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseInt(rest[:digits], 10, 64)
	if err != nil || rest[0] == '0' && digits > 1 {
		return false
	}
	*value, r.rest = n, rest[digits:]
	return true
}

func (r *jsonReader) time(prefix string, value *time.Time) bool {
	var text string
	return r.text(prefix, &text) && value.UnmarshalText([]byte(text)) == nil
}
