package policy

import (
	"errors"
	"fmt"
	"strings"
)

// Pattern is a text of a policy, compiled: with wildcards where the element has them, and with variables.
type Pattern struct {
	// Source is the text as the policy has it.
	Source string
	parts  []part
	form   form
	// fold compares without regard to case. arn keeps wildcards from reaching over the colons between an ARN's parts.
	fold, arn bool
	variables bool
}

// part is a piece of a pattern.
type part struct {
	kind partKind
	// text is that of a literal, and the default of a variable.
	text       string
	key        Key
	hasDefault bool
}

type partKind uint8

const (
	literal partKind = iota
	anyCharacter
	anyText
	variable
)

// form classifies patterns: most can be matched without a search.
type form uint8

const (
	formGeneral form = iota
	formAny          // *
	formExact        // text
	formPrefix       // text*
	formFolded       // text, without regard to case
)

// syntaxOf returns what a text may contain in an element.
type syntaxOf struct{ wildcards, variables, fold, arn bool }

func compilePattern(source string, syntax syntaxOf) (Pattern, error) {
	p := Pattern{Source: source, fold: syntax.fold, arn: syntax.arn}
	var literals strings.Builder
	flush := func() {
		if literals.Len() > 0 {
			p.parts = append(p.parts, part{kind: literal, text: literals.String()})
			literals.Reset()
		}
	}
	for rest := source; rest != ""; {
		c := rest[0]
		switch {
		case syntax.wildcards && c == '*':
			flush()
			if n := len(p.parts); n == 0 || p.parts[n-1].kind != anyText {
				p.parts = append(p.parts, part{kind: anyText})
			}
			rest = rest[1:]
		case syntax.wildcards && c == '?':
			flush()
			p.parts = append(p.parts, part{kind: anyCharacter})
			rest = rest[1:]
		case syntax.variables && strings.HasPrefix(rest, "${"):
			name, after, closed := strings.Cut(rest[2:], "}")
			if !closed {
				return p, fmt.Errorf("the variable %s is not closed by }", rest)
			}
			rest = after
			if name == "*" || name == "?" || name == "$" { // The characters themselves (IAM, Variables).
				literals.WriteString(name)
				continue
			}
			v, err := parseVariable(name)
			if err != nil {
				return p, err
			}
			flush()
			p.parts = append(p.parts, v)
			p.variables = true
		default:
			literals.WriteByte(c)
			rest = rest[1:]
		}
	}
	flush()
	p.form = p.simplest()
	return p, nil
}

// parseVariable parses the text in the brackets of ${key} or ${key, 'default'}. A star in a default is a star, as it is in
// a value.
func parseVariable(name string) (part, error) {
	name, fallback, hasDefault := strings.Cut(name, ",")
	v := part{kind: variable, hasDefault: hasDefault}
	var err error
	if v.key, err = parseKey(strings.TrimSpace(name)); err != nil {
		return v, fmt.Errorf("the variable %w", err)
	}
	if !hasDefault {
		return v, nil
	}
	quoted := strings.TrimSpace(fallback)
	if len(quoted) < 2 || quoted[0] != '\'' || quoted[len(quoted)-1] != '\'' {
		return v, errors.New("the default of a variable stands in single quotes, as in ${aws:PrincipalTag/team, 'none'}")
	}
	v.text = quoted[1 : len(quoted)-1]
	return v, nil
}

func (p *Pattern) simplest() form {
	switch {
	case p.variables:
		return formGeneral
	case len(p.parts) == 1 && p.parts[0].kind == anyText:
		return formAny
	case p.fold && len(p.parts) == 1 && p.parts[0].kind == literal:
		return formFolded
	case p.arn, p.fold:
		return formGeneral
	case len(p.parts) == 1 && p.parts[0].kind == literal:
		return formExact
	case len(p.parts) == 2 && p.parts[0].kind == literal && p.parts[1].kind == anyText:
		return formPrefix
	}
	return formGeneral
}

// meaning is what is known about the meaning of a policy's text for a request.
type meaning int

const (
	known meaning = iota
	// nothing: a variable in it has no value, so that no text matches it.
	nothing
	// undecided: a variable in it is ambiguous.
	undecided
)

// meaning reports whether the variables in a pattern have values.
func (p *Pattern) meaning(r *Request) meaning {
	if !p.variables {
		return known
	}
	return p.resolve(r)
}

func (p *Pattern) resolve(r *Request) meaning {
	is := known
	for i := range p.parts {
		v := &p.parts[i]
		if v.kind != variable {
			continue
		}
		switch _, state := v.value(r); state {
		case undecided:
			return undecided
		case nothing:
			is = nothing
		}
	}
	return is
}

// value returns what a variable stands for. A key with several values stands for none of them (IAM, Variables).
func (v *part) value(r *Request) (string, meaning) {
	value, next := r.value(&v.key, 0)
	if next > 0 {
		if _, more := r.value(&v.key, next); more < 0 {
			return value, known
		}
		next = None
	}
	switch {
	case next == Undecided:
		return "", undecided
	case v.hasDefault:
		return v.text, known
	}
	return "", nothing
}

// matches reports whether a text matches the pattern, whose meaning is known.
func (p *Pattern) matches(r *Request, t text) bool {
	switch p.form {
	case formAny:
		return true
	case formExact:
		return t.len() == len(p.parts[0].text) && t.has(0, p.parts[0].text)
	case formPrefix:
		return t.has(0, p.parts[0].text)
	case formFolded:
		size, ok := t.hasFolded(0, p.parts[0].text)
		return ok && size == t.len()
	}
	return p.search(r, t)
}

// search compares part by part. If a part does not match, the last star takes one more character. Going back to an earlier
// star would not help, since the last one can take whatever the earlier one would. So the cost is bounded by the product of
// the lengths.
func (p *Pattern) search(r *Request, t text) bool {
	// Before the sixth part of an ARN no wildcard takes a colon.
	barrier := 0
	if p.arn {
		if barrier = t.sixth(); barrier < 0 {
			return false
		}
	}
	star, mark := -1, 0
	for i, pos := 0, 0; ; {
		if i == len(p.parts) && pos == t.len() {
			return true
		}
		if i < len(p.parts) {
			if p.parts[i].kind == anyText {
				star, mark = i, pos
				i++
				continue
			}
			if size, ok := p.step(r, &p.parts[i], t, pos, barrier); ok {
				pos += size
				i++
				continue
			}
		}
		if star < 0 || mark >= t.len() || mark < barrier && t.at(mark) == ':' {
			return false
		}
		mark += t.character(mark)
		if next := star + 1; !p.fold && mark >= barrier && next < len(p.parts) && p.parts[next].kind == literal {
			if mark = t.index(mark, p.parts[next].text); mark < 0 {
				return false
			}
		}
		i, pos = star+1, mark
	}
}

// step reports whether a part that is not a star matches at a position, and how much of the text it takes.
func (p *Pattern) step(r *Request, part *part, t text, pos, barrier int) (size int, ok bool) {
	if part.kind == anyCharacter {
		if pos >= t.len() || pos < barrier && t.at(pos) == ':' {
			return 0, false
		}
		return t.character(pos), true
	}
	want := part.text
	if part.kind == variable {
		want, _ = part.value(r)
	}
	if p.fold {
		return t.hasFolded(pos, want)
	}
	return len(want), t.has(pos, want)
}
