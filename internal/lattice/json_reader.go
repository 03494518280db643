package lattice

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// jsonReader reads a record's JSON piece by piece. A method that reads a piece returns false and reads nothing if the piece is
// not there, so that callers can try optional ones.
type jsonReader struct {
	rest    []byte
	key     Key // the same JSON as a string, whose parts need not be copied
	decoder *Decoder

	// The last text and the last time, which often repeat.
	lastText     string
	lastTimeText []byte
	lastTime     time.Time
}

func (r *jsonReader) skip(prefix string) bool {
	if len(r.rest) < len(prefix) || string(r.rest[:len(prefix)]) != prefix {
		return false
	}
	r.rest = r.rest[len(prefix):]
	return true
}

// ends reports whether only the given text is left.
func (r *jsonReader) ends(prefix string) bool { return string(r.rest) == prefix }

// quoted takes a prefix and a string of plain ASCII.
func (r *jsonReader) quoted(prefix string) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(r.rest, []byte(prefix))
	if !ok || len(rest) == 0 || rest[0] != '"' {
		return nil, false
	}
	rest = rest[1:]
	for i, c := range rest {
		switch {
		case c == '"':
			r.rest = rest[i+1:]
			return rest[:i], true
		case c < ' ' || c >= 0x7f || c == '\\':
			return nil, false
		}
	}
	return nil, false
}

// text takes a prefix and a string of plain ASCII.
func (r *jsonReader) text(prefix string, value *string) bool {
	text, ok := r.quoted(prefix)
	if !ok {
		return false
	}
	switch string(text) {
	case r.lastText:
		*value = r.lastText
	case r.key.Path:
		*value = r.key.Path
	case r.key.Scope.Account:
		*value = r.key.Scope.Account
	case r.key.Scope.Region:
		*value = r.key.Scope.Region
	default:
		*value = string(text)
		r.lastText = *value
	}
	return true
}

// number takes a prefix and a number that is neither negative nor begins with a zero that JSON would not have.
func (r *jsonReader) number(prefix string, value *int64) bool {
	rest, ok := bytes.CutPrefix(r.rest, []byte(prefix))
	if !ok {
		return false
	}
	digits := 0
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	n, err := strconv.ParseInt(string(rest[:digits]), 10, 64)
	if err != nil || rest[0] == '0' && digits > 1 {
		return false
	}
	*value, r.rest = n, rest[digits:]
	return true
}

// time takes a prefix and a time.
func (r *jsonReader) time(prefix string, value *time.Time) bool {
	text, ok := r.quoted(prefix)
	if !ok {
		return false
	}
	if r.lastTimeText == nil || !bytes.Equal(text, r.lastTimeText) {
		if r.lastTime.UnmarshalText(text) != nil {
			return false
		}
		r.lastTimeText = text
	}
	*value = r.lastTime
	return true
}

// object takes a prefix and an object with any content. Decoding finds out whether it is valid.
func (r *jsonReader) object(prefix string) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(r.rest, []byte(prefix))
	if !ok || len(rest) == 0 || rest[0] != '{' {
		return nil, false
	}
	depth, inString := 0, false
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				r.rest = rest[i+1:]
				return rest[:i+1], true
			}
		}
	}
	return nil, false
}

// scope takes a prefix and a scope.
func (r *jsonReader) scope(prefix string, value *Scope) bool {
	return r.skip(prefix) && r.text(`{"account":`, &value.Account) && r.text(`,"region":`, &value.Region) && r.skip("}")
}

// base takes the members that every resource has, which come first in its object.
func (r *jsonReader) base(b *Base) bool {
	if !r.text(`{"id":`, &b.ID) {
		return false
	}
	r.text(`,"name":`, &b.Name) // The member may be absent.
	if !r.scope(`,"scope":`, &b.Scope) || !r.time(`,"createdAt":`, &b.CreatedAt) || !r.time(`,"lastUpdatedAt":`, &b.UpdatedAt) {
		return false
	}
	if phase := ""; r.text(`,"lifecycle":{"phase":`, &phase) {
		b.Lifecycle.Phase = Phase(phase)
		if !r.time(`,"until":`, &b.Lifecycle.Until) || !r.skip("}") {
			return false // Failures are rare, and left to package json.
		}
	}
	if tags, ok := r.object(`,"tags":`); ok {
		return json.Unmarshal(tags, &b.Tags) == nil
	}
	return true
}
