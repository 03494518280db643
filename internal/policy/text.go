package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// text is what a pattern is compared with: two strings, one after the other. The resource of a request is the ARN of a
// service and the path of the request, and joining the two for every request would cost an allocation.
type text struct{ a, b string }

func (t text) len() int { return len(t.a) + len(t.b) }

func (t text) at(i int) byte {
	if i < len(t.a) {
		return t.a[i]
	}
	return t.b[i-len(t.a)]
}

func (t text) String() string { return t.a + t.b }

// from returns the text from a position to the end of the string that contains it.
func (t text) from(i int) string {
	if i < len(t.a) {
		return t.a[i:]
	}
	return t.b[i-len(t.a):]
}

// has reports whether s is at a position.
func (t text) has(i int, s string) bool {
	if i >= len(t.a) {
		return strings.HasPrefix(t.b[i-len(t.a):], s)
	}
	head := t.a[i:]
	if len(s) <= len(head) {
		return head[:len(s)] == s
	}
	return s[:len(head)] == head && strings.HasPrefix(t.b, s[len(head):])
}

// index returns the first position at or after i at which s, which is not empty, stands, or -1.
func (t text) index(i int, s string) int {
	if i < len(t.a) {
		if at := strings.Index(t.a[i:], s); at >= 0 {
			return i + at
		}
		if t.b == "" {
			return -1
		}
		// s may begin in the first string and end in the second.
		for i = max(i, len(t.a)-len(s)+1); i < len(t.a); i++ {
			if t.has(i, s) {
				return i
			}
		}
	}
	if at := strings.Index(t.b[i-len(t.a):], s); at >= 0 {
		return i + at
	}
	return -1
}

// character returns the size of the character at a position, which is before the end. A byte that is not UTF-8 is a
// character by itself.
func (t text) character(i int) int {
	if t.at(i) < utf8.RuneSelf {
		return 1
	}
	_, size := utf8.DecodeRuneInString(t.from(i))
	return size
}

// hasFolded reports whether s is at a position, without regard to case, and its length there: letters of different case may
// differ in length.
func (t text) hasFolded(i int, s string) (size int, ok bool) {
	if i >= len(t.a) {
		i, t = i-len(t.a), text{a: t.b}
	}
	if head := t.a[i:]; len(head) >= len(s) && head[:len(s)] == s {
		return len(s), true
	}
	start := i
	for _, want := range s {
		if i >= t.len() {
			return 0, false
		}
		got, n := utf8.DecodeRuneInString(t.from(i))
		if got != want && !sameLetter(got, want) {
			return 0, false
		}
		i += n
	}
	return i - start, true
}

// sameLetter reports whether two runes differ in case only.
func sameLetter(a, b rune) bool {
	for r := unicode.SimpleFold(a); r != a; r = unicode.SimpleFold(r) {
		if r == b {
			return true
		}
	}
	return false
}

// sixth returns where the sixth part of an ARN begins, or -1 if there are fewer.
func (t text) sixth() int {
	colons := 0
	for i := range t.len() {
		if t.at(i) == ':' {
			if colons++; colons == 5 {
				return i + 1
			}
		}
	}
	return -1
}
