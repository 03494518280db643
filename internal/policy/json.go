package policy

import (
	"bytes"
	"encoding/json"
	"io"
)

// member is a member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// object returns the members of a JSON object in their order. A name that occurs twice is refused: two readers of such a
// policy could understand two different things.
func object(raw json.RawMessage, where string) ([]member, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	start, err := decoder.Token()
	if err != nil {
		return nil, syntax(where, "is not JSON: %v", err)
	}
	if start != json.Delim('{') {
		return nil, syntax(where, "must be a JSON object")
	}
	var members []member
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, syntax(where, "is not JSON: %v", err)
		}
		// Within an object, a string precedes each value.
		name := token.(string)
		if seen[name] {
			return nil, syntax(where, "has the element %s twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, syntax(where, "is not JSON: %v", err)
		}
		members = append(members, member{name, value})
	}
	if _, err := decoder.Token(); err != nil {
		return nil, syntax(where, "is not JSON: %v", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, syntax(where, "has something after its end")
	}
	return members, nil
}

// first returns the first byte of a value that is not white space.
func first(raw json.RawMessage) byte {
	if trimmed := bytes.TrimLeft(raw, " \t\r\n"); len(trimmed) > 0 {
		return trimmed[0]
	}
	return 0
}

// oneOrMany returns the elements of an array, or the value itself.
func oneOrMany(raw json.RawMessage) []json.RawMessage {
	var many []json.RawMessage
	if first(raw) == '[' && json.Unmarshal(raw, &many) == nil {
		return many
	}
	return []json.RawMessage{raw}
}

func text1(raw json.RawMessage, where string) (string, error) {
	var s string
	if first(raw) != '"' || json.Unmarshal(raw, &s) != nil {
		return "", syntax(where, "must be a string")
	}
	return s, nil
}

// texts returns a string or a list of strings as a list, which must not be empty.
func texts(raw json.RawMessage, where string) ([]string, error) {
	var list []string
	for _, e := range oneOrMany(raw) {
		s, err := text1(e, where)
		if err != nil {
			return nil, syntax(where, "must be a string or a list of strings")
		}
		list = append(list, s)
	}
	if len(list) == 0 {
		return nil, syntax(where, "is empty")
	}
	return list, nil
}

// scalar is a value of a condition. Numbers and booleans need no quotes.
type scalar struct {
	text string
	// bare reports that the value has no quotes.
	bare bool
}

// scalars returns a value or a list of values.
func scalars(raw json.RawMessage, where string) ([]scalar, error) {
	list := []scalar{}
	for _, e := range oneOrMany(raw) {
		switch c := first(e); {
		case c == '"':
			s, err := text1(e, where)
			if err != nil {
				return nil, err
			}
			list = append(list, scalar{text: s})
		case c == 't', c == 'f', c == '-', '0' <= c && c <= '9':
			list = append(list, scalar{text: string(bytes.TrimSpace(e)), bare: true})
		default:
			return nil, syntax(where, "must be a string, a number, a boolean or a list of these")
		}
	}
	return list, nil
}
