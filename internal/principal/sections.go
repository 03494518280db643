package principal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// section is a section of a credentials file: a principal. It has the lines between its head and the next one, and no defaults
// from elsewhere.
type section struct {
	name string
	// values are by key, in lower case.
	values map[string]string
}

// sectionReader reads a file in the form of AWS's shared credentials file. AWS's tools disagree about details of that form:
// quotes, comments after values, continued lines, repeated keys, other delimiters. It refuses what they read differently,
// since a client could use another key from the file than the server expects.
type sectionReader struct {
	path     string
	sections []section
	problems []error

	line int
	// inSection is false until the first section begins, and after a head that is wrong.
	inSection bool
	// nested is set after a key of other tools without a value: such a key may have indented lines below it.
	nested bool
}

// parseSections returns the sections in their order. The error joins everything that is wrong. It shows no values, which may
// be secrets.
func parseSections(path, text string) ([]section, error) {
	r := &sectionReader{path: path}
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		r.line++
		r.read(strings.TrimRight(line, " \t\r\n"))
	}
	return r.sections, errors.Join(r.problems...)
}

// problem notes what is wrong with the current line.
func (r *sectionReader) problem(format string, args ...any) {
	where := fmt.Sprintf("credentials file %s, line %d", r.path, r.line)
	if r.inSection {
		where = fmt.Sprintf("credentials file %s, section [%s], line %d", r.path, r.sections[len(r.sections)-1].name, r.line)
	}
	r.problems = append(r.problems, fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...)))
}

func (r *sectionReader) read(line string) {
	bare := strings.TrimLeft(line, " \t")
	isControl := func(c rune) bool { return unicode.IsControl(c) && c != '\t' }
	switch {
	case bare == "" || bare[0] == '#' || bare[0] == ';':
	case !utf8.ValidString(line) || strings.ContainsFunc(line, isControl):
		r.problem("the line must be text in UTF-8 without control characters")
	case line[0] == ' ' || line[0] == '\t':
		if !r.nested {
			r.problem("the line must not begin with white space: AWS's tools would take it for a part of the one before")
		}
	case line[0] == '[':
		r.head(line)
	default:
		r.value(line)
	}
}

// head begins a section.
func (r *sectionReader) head(line string) {
	r.inSection, r.nested = false, false
	name, rest, closed := strings.Cut(line[1:], "]")
	name, rest = strings.TrimSpace(name), strings.TrimLeft(rest, " \t")
	switch {
	case !closed || name == "" || strings.ContainsAny(name, "[\"'`") || rest != "" && rest[0] != '#' && rest[0] != ';':
		r.problem("a section must begin with its name in brackets, as in [name]")
		return
	case name == "DEFAULT":
		r.problem("section [DEFAULT]: some of AWS's tools take a section of this name for defaults of all others; name it otherwise, as in [default]")
		return
	case strings.HasPrefix(name, "profile "):
		r.problem("section [%s]: in a credentials file there is no \"profile\" before the name", name)
		return
	case slices.ContainsFunc(r.sections, func(s section) bool { return s.name == name }):
		r.problem("section [%s]: another section has the same name", name)
	}
	r.sections = append(r.sections, section{name, map[string]string{}})
	r.inSection = true
}

// value reads a key and its value.
func (r *sectionReader) value(line string) {
	r.nested = false
	key, value, found := strings.Cut(line, "=")
	key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
	notOfKey := func(c rune) bool { return c == ':' || c == '"' || c == '\'' || c == '`' || unicode.IsSpace(c) }
	if end := strings.IndexFunc(key, notOfKey); end >= 0 || !found || key == "" {
		r.problem("the line must be of the form key = value")
		return
	}
	if !r.inSection {
		if len(r.sections) == 0 {
			r.problem("%s stands before the first section, such as [default]", key)
		}
		return // The error in the section's head has been reported.
	}
	values := r.sections[len(r.sections)-1].values
	if _, twice := values[key]; twice {
		r.problem("%s is given twice", key)
		return
	}
	values[key] = value
	if !isOurs(key) {
		r.nested = value == ""
		return
	}
	if key == keyPolicy {
		return // JSON, in which quotes and the marks of comments have a meaning of their own.
	}
	if first := strings.IndexAny(value, "\"'`"); first == 0 && len(value) > 1 && value[len(value)-1] == value[0] {
		r.problem("the value of %s must not have quotes, which some of AWS's tools would take for a part of it", key)
	}
	if strings.HasPrefix(value, "#") || strings.HasPrefix(value, ";") || slices.ContainsFunc([]string{" #", " ;", "\t#", "\t;"}, func(mark string) bool { return strings.Contains(value, mark) }) {
		r.problem("the value of %s must not have a comment behind it, which some of AWS's tools would take for a part of it; put it on a line of its own", key)
	}
}
