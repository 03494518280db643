package trellistest

import (
	"strings"
	"testing"
)

// Block returns the first block of a language in a text of Markdown that begins with some words.
func Block(t testing.TB, text, language, words string) string {
	t.Helper()
	for _, after := range strings.Split(text, "```"+language+"\n")[1:] {
		if block, _, _ := strings.Cut(after, "```"); strings.HasPrefix(block, words) {
			return block
		}
	}
	t.Fatalf("there is no block of %s that begins with %q", language, words)
	return ""
}
