package routing

// Request is the part of a request that rules look at.
type Request struct {
	Method []byte
	// Path is the path as received: not decoded, not normalised, without the query.
	Path    []byte
	Headers Headers
}

// Headers is a lookup in the header lines of a request.
type Headers interface {
	// Header returns the value of the first line of that name (which is in lower case) at or after the position
	// from, and the position after it, from which the search goes on. The first search starts at 0. next is negative
	// when there is no such line; the value is nil then.
	Header(name string, from int) (value []byte, next int)
}

// match has the conditions of a rule, all of which must hold. Without conditions it always matches.
type match struct {
	method  string // empty means any
	path    pattern
	headers []headerMatch
}

type headerMatch struct {
	name  string // in lower case
	value pattern
}

// pattern is a condition on a text.
type pattern struct {
	form form
	fold bool   // compare without regard to the case of ASCII letters
	text string // in lower case if fold is set
}

type form uint8

const (
	formAny form = iota
	formExact
	formPrefix
	formContains
)

// mismatch says which condition of a match did not hold: matched, onMethod, onPath, or onHeader plus the index of the
// header match.
type mismatch int

const (
	matched mismatch = iota
	onMethod
	onPath
	onHeader
)

// test compares a request with the match. It stops at the first condition that does not hold.
func (m *match) test(r *Request) mismatch {
	if m.method != "" && m.method != string(r.Method) {
		return onMethod
	}
	if m.path.form != formAny && !m.path.holds(r.Path) {
		return onPath
	}
	for i := range m.headers {
		if !m.headers[i].holds(r.Headers) {
			return onHeader + mismatch(i)
		}
	}
	return matched
}

// holds reports whether any line of the name has a matching value.
func (m *headerMatch) holds(headers Headers) bool {
	if headers == nil {
		return false
	}
	value, next := headers.Header(m.name, 0)
	for next >= 0 {
		if m.value.holds(value) {
			return true
		}
		value, next = headers.Header(m.name, next)
	}
	return false
}

func (p *pattern) holds(text []byte) bool {
	if len(text) < len(p.text) {
		return false
	}
	switch p.form {
	case formExact:
		return len(text) == len(p.text) && p.startsAt(text, 0)
	case formPrefix:
		return p.startsAt(text, 0)
	case formContains:
		return p.within(text)
	default:
		return true
	}
}

// startsAt reports whether the pattern's text is in text at a position. From there on, text must be long enough.
func (p *pattern) startsAt(text []byte, at int) bool {
	text = text[at : at+len(p.text)]
	if !p.fold {
		return string(text) == p.text
	}
	for i := range text {
		if c := text[i]; c != p.text[i] && lower(c) != p.text[i] {
			return false
		}
	}
	return true
}

// within reports whether the pattern's text is anywhere in text.
func (p *pattern) within(text []byte) bool {
	if len(p.text) == 0 {
		return true
	}
	first := p.text[0]
	upper := first
	if p.fold && 'a' <= first && first <= 'z' {
		upper -= 'a' - 'A'
	}
	for at := 0; at+len(p.text) <= len(text); at++ {
		if c := text[at]; (c == first || c == upper) && p.startsAt(text, at) {
			return true
		}
	}
	return false
}

// lower folds the case of ASCII letters. Other bytes stay as they are.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// foldInPlace folds a text and reports whether that changed it.
func foldInPlace(text []byte) bool {
	changed := false
	for i, c := range text {
		if folded := lower(c); folded != c {
			text[i] = folded
			changed = true
		}
	}
	return changed
}

// foldString returns a text folded.
func foldString(text string) string {
	folded := []byte(text)
	foldInPlace(folded)
	return string(folded)
}
