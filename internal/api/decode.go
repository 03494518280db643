package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"trellis/internal/excerpt"
	"trellis/internal/shape"
)

// maxWrongFields bounds the list of wrong fields in an error. Otherwise a client that sends very many wrong fields could
// get a response far larger than its request. A-103.
const maxWrongFields = 100

// decoder holds one request while the generated code turns it into an operation's input. Decoding checks
// everything that the model says and goes on after a wrong field, so that the response can name them all.
type decoder struct {
	labels labels
	query  url.Values
	body   map[string]any
	// wrong holds the first maxWrongFields wrong fields, of wrongCount.
	wrong      []shape.ValidationExceptionField
	wrongCount int
}

// parseQuery reads the query string.
func (d *decoder) parseQuery(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return unparsable("The query string cannot be parsed: " + err.Error() + ".")
	}
	d.query = query
	return nil
}

// parseBody reads the body: one JSON object, or nothing at all, which is the same as {}. A-109.
func (d *decoder) parseBody(body []byte) error {
	if len(body) == 0 {
		return nil
	}
	if !utf8.Valid(body) {
		return unparsable("The body is not valid UTF-8.")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return unparsable("The body cannot be parsed as JSON: " + jsonProblem(err) + ".")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return unparsable("The body has more behind its JSON object.")
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return unparsable("The body must be a JSON object, not " + jsonType(tree) + ".")
	}
	d.body = object
	return nil
}

// jsonProblem puts what the JSON parser said into words for a reader who sees only the request.
func jsonProblem(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return "it ends too early"
	}
	return err.Error()
}

// err returns a ValidationException that names the wrong fields, or nil if there are none.
func (d *decoder) err() error {
	if d.wrongCount == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString(strconv.Itoa(d.wrongCount))
	b.WriteString(" validation error")
	if d.wrongCount > 1 {
		b.WriteByte('s')
	}
	b.WriteString(" detected:")
	for i, field := range d.wrong {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteByte(' ')
		b.WriteString(*field.Message)
	}
	return &shape.ValidationException{
		Message:   new(b.String()),
		Reason:    shape.ValidationExceptionReasonFieldValidationFailed,
		FieldList: d.wrong,
	}
}

// value is a JSON value, or text from the path or the query string, at a place in the input.
type value struct {
	d *decoder
	// in is the value that contains this one, nil for the members of the input itself.
	in *value
	// name is the member's name, or the key in a map; index is the place in a list.
	name  string
	index int
	step  step
	// json is nil when the value is absent or null, which are the same. A-110.
	json any
}

// step leads to a value from the value that contains it.
type step uint8

const (
	byName step = iota
	byIndex
	byKey
)

// text is a value from the path or the query string, of whatever type the model says.
type text string

// label is a member that is sent in the path.
func (d *decoder) label(name string, index int) value {
	return value{d: d, name: name, json: text(d.labels[index])}
}

// queryValue is a member that is sent in the query string. One that is given twice is wrong, since two readers of a request (a
// proxy, say, and this server) might take different ones. A-108.
func (d *decoder) queryValue(name string) value {
	v := value{d: d, name: name}
	values := d.query[name]
	if len(values) > 0 {
		v.json = text(values[0])
	}
	if len(values) > 1 {
		v.fail("'" + name + "' must not be given more than once.")
	}
	return v
}

// queryList is a member that is sent in the query string, once for each of its elements.
func (d *decoder) queryList(name string) value {
	v := value{d: d, name: name}
	if values, ok := d.query[name]; ok {
		list := make([]any, len(values))
		for i, s := range values {
			list[i] = text(s)
		}
		v.json = list
	}
	return v
}

// member is a member of the body.
func (d *decoder) member(name string) value {
	return value{d: d, name: name, json: d.body[name]}
}

// member is a member of a structure, for which v.json holds the JSON object.
func (v *value) member(name string) value {
	return value{d: v.d, in: v, name: name, json: v.json.(map[string]any)[name]}
}

// required returns v, and remembers it as wrong if it is absent.
func (v value) required() value {
	if v.json == nil {
		v.fail("Value null at '" + v.path() + "' failed to satisfy constraint: Member must not be null")
	}
	return v
}

// isObject reports whether v can be decoded as a structure or map. It is false for an absent value too.
func (v *value) isObject() bool {
	_, ok := v.json.(map[string]any)
	if !ok {
		v.wrongType("an object")
	}
	return ok
}

// exactlyOne remembers a union as wrong unless one of its members is set, and only one. Members that are not
// known do not count.
func (v *value) exactlyOne(names ...string) {
	object := v.json.(map[string]any)
	set := 0
	for _, name := range names {
		if object[name] != nil {
			set++
		}
	}
	if set != 1 {
		v.fail("The value at '" + v.path() + "' must have exactly one member of " + strings.Join(names, ", ") +
			"; it has " + strconv.Itoa(set) + ".")
	}
}

// string decodes a string of minimum to maximum Unicode characters that matches p, which may be nil.
func (v value) string(minimum, maximum int, p *pattern) *string {
	s, ok := v.characters()
	if !ok {
		return nil
	}
	if must := wrongLength(utf8.RuneCountInString(s), minimum, maximum); must != "" {
		v.unsatisfied(s, must)
	} else if p != nil && !p.match(s) {
		v.unsatisfied(s, p.must)
	}
	return &s
}

// enum decodes one of the values of an enum, to which the empty string never belongs. A-110.
func enum[E ~string](v value, values ...E) E {
	s, ok := v.characters()
	if !ok {
		return ""
	}
	for _, e := range values {
		if s == string(e) {
			return e
		}
	}
	names := make([]string, len(values))
	for i, e := range values {
		names[i] = string(e)
	}
	v.unsatisfied(s, "satisfy enum value set: ["+strings.Join(names, ", ")+"]")
	return ""
}

func (v value) characters() (string, bool) {
	switch s := v.json.(type) {
	case string:
		return s, true
	case text:
		return string(s), true
	}
	v.wrongType("a string")
	return "", false
}

// integer decodes a whole number. Numbers with a fraction or an exponent are refused, even whole ones. A-104.
func (v value) integer(minimum, maximum int32) *int32 {
	var digits string
	switch s := v.json.(type) {
	case json.Number:
		digits = string(s)
	case text:
		digits = string(s)
	default:
		v.wrongType("a whole number")
		return nil
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		v.wrongValue(digits, "must be a whole number")
		return nil
	}
	switch { // the nearest value, if an int32 cannot hold it
	case n < int64(minimum) || err != nil && n < 0:
		v.unsatisfied(digits, "have value greater than or equal to "+strconv.Itoa(int(minimum)))
	case n > int64(maximum) || err != nil:
		v.unsatisfied(digits, "have value less than or equal to "+strconv.Itoa(int(maximum)))
	}
	return new(int32(n))
}

// boolean decodes true or false.
func (v value) boolean() *bool {
	switch b := v.json.(type) {
	case bool:
		return &b
	case text:
		if b == "true" || b == "false" {
			return new(b == "true")
		}
		v.wrongValue(string(b), "must be true or false")
		return nil
	}
	v.wrongType("true or false")
	return nil
}

// list decodes a list of minimum to maximum elements. It does not look at the elements of a list that is too long.
func list[T any](v value, minimum, maximum int, element func(value) *T) []T {
	elements, ok := v.json.([]any)
	if !ok {
		v.wrongType("a list")
		return nil
	}
	if must := wrongLength(len(elements), minimum, maximum); must != "" {
		v.unsatisfied(v.text(), must)
		return nil
	}
	decoded := make([]T, 0, len(elements))
	for i, e := range elements {
		at := value{d: v.d, in: &v, index: i, step: byIndex, json: e}
		if t := element(at.required()); t != nil {
			decoded = append(decoded, *t)
		}
	}
	return decoded
}

// stringMap decodes a map of minimum to maximum strings. It does not look at the entries of a map that is too large.
func stringMap(v value, minimum, maximum int, key, element func(value) *string) map[string]string {
	if !v.isObject() {
		return nil
	}
	entries := v.json.(map[string]any)
	if must := wrongLength(len(entries), minimum, maximum); must != "" {
		v.unsatisfied(v.text(), must)
		return nil
	}
	keys := make([]string, 0, len(entries))
	for k := range entries {
		keys = append(keys, k)
	}
	sort.Strings(keys) // so that the same request always gets the same response
	decoded := make(map[string]string, len(entries))
	for _, k := range keys {
		at := value{d: v.d, in: &v, name: k, step: byKey, json: k}
		key(at)
		at.json = entries[k]
		if s := element(at.required()); s != nil {
			decoded[k] = *s
		}
	}
	return decoded
}

// wrongLength says what a length must be if it is not from minimum to maximum, and returns "" if it is.
func wrongLength(n, minimum, maximum int) string {
	switch {
	case n < minimum:
		return "have length greater than or equal to " + strconv.Itoa(minimum)
	case n > maximum:
		return "have length less than or equal to " + strconv.Itoa(maximum)
	}
	return ""
}

// text returns a list or a map as the client may have written it.
func (v *value) text() string {
	b, err := encode(v.json)
	if err != nil { // This cannot fail: the value was decoded from JSON.
		return ""
	}
	return string(b)
}

// wrongType remembers v as wrong if it is present: its type is not the model's.
func (v *value) wrongType(wanted string) {
	if v.json != nil {
		v.fail("The value at '" + v.path() + "' must be " + wanted + ", not " + jsonType(v.json) + ".")
	}
}

// unsatisfied remembers v as wrong because it breaks a constraint of the model. The words are those that AWS's services
// have in common, down to the missing full stop.
func (v *value) unsatisfied(s, must string) {
	v.fail("Value '" + excerpt.Of(s, excerpt.Shown) + "' at '" + v.path() + "' failed to satisfy constraint: Member must " + must)
}

// wrongValue remembers v as wrong because it cannot be read as what it must be.
func (v *value) wrongValue(s, must string) {
	v.fail("Value '" + excerpt.Of(s, excerpt.Shown) + "' at '" + v.path() + "' " + must + ".")
}

func (v *value) fail(message string) {
	v.d.wrongCount++
	if len(v.d.wrong) < maxWrongFields {
		v.d.wrong = append(v.d.wrong, shape.ValidationExceptionField{Name: new(v.path()), Message: &message})
	}
}

// path names v as in "config.healthCheck.path", "targets[3].port" or `tags["team"]`. A-105.
func (v *value) path() string {
	var outer string
	if v.in != nil {
		outer = v.in.path()
	}
	switch {
	case v.step == byIndex:
		return outer + "[" + strconv.Itoa(v.index) + "]"
	case v.step == byKey:
		return outer + `["` + excerpt.Of(v.name, excerpt.Shown) + `"]`
	case outer == "":
		return v.name
	}
	return outer + "." + v.name
}

func jsonType(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string, text:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "a boolean"
	case []any:
		return "a list"
	}
	return "an object"
}
