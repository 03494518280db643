package inventory

import (
	"errors"
	"strings"
)

var (
	errNoProgram = errors.New("names no program")
	errOpenQuote = errors.New("has a quotation mark that nothing closes")
	errBackslash = errors.New("ends with a backslash")
)

// splitWords splits a line as a POSIX shell splits words, quoting included (POSIX.1-2017 XCU 2.2). Nothing is expanded:
// a line that needs a shell calls one, as in sh -c '...'.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	begun, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == '\'' && c != '\'', quote == '"' && c != '"' && c != '\\':
			word.WriteByte(c)
		case quote != 0 && c == quote:
			quote = 0
		case c == '\'' || c == '"':
			quote, begun = c, true
		case c == '\\':
			if i++; i == len(line) {
				return nil, errBackslash
			}
			// Between double quotes a backslash quotes only what has a meaning there.
			if quote == '"' && !strings.ContainsRune("$`\"\\\n", rune(line[i])) {
				word.WriteByte('\\')
			}
			if line[i] != '\n' {
				word.WriteByte(line[i])
			}
			begun = true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(c)
			begun = true
		}
	}
	if quote != 0 {
		return nil, errOpenQuote
	}
	if begun {
		words = append(words, word.String())
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errNoProgram
	}
	return words, nil
}
