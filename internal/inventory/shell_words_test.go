package inventory

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestCommandLineIsSplitAsAShellSplitsWords(t *testing.T) {
	for _, test := range []struct {
		line string
		want []string
	}{
		{"python3 -m awslambdaric app.handler", []string{"python3", "-m", "awslambdaric", "app.handler"}},
		{"  ./orders\t ", []string{"./orders"}},
		{`node 'a b' "c d" e\ f`, []string{"node", "a b", "c d", "e f"}},
		{`sh -c 'exec "$0"' "it's"`, []string{"sh", "-c", `exec "$0"`, "it's"}},
		{`a "" ''b`, []string{"a", "", "b"}},
		{`a "\x\"\\"`, []string{"a", `\x"\`}},
	} {
		if words, err := splitWords(test.line); err != nil || !slices.Equal(words, test.want) {
			t.Errorf("%s is %q, %v, not %q", test.line, words, err, test.want)
		}
	}
	for line, want := range map[string]error{"": errNoProgram, " ": errNoProgram, `""`: errNoProgram, `a "b`: errOpenQuote, `a 'b`: errOpenQuote, `a \`: errBackslash} {
		if words, err := splitWords(line); !errors.Is(err, want) {
			t.Errorf("%q is %q, %v, want the error %v", line, words, err, want)
		}
	}
}

// FuzzSplitWords compares with a shell, on lines in which a shell expands nothing.
func FuzzSplitWords(f *testing.F) {
	f.Add("a 'b c' \"d\\\"e\" f\\ g")
	f.Add(`a "\a\b" ''`)
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range line {
			if !strings.ContainsRune(" abc./-_'\"\\", c) {
				t.Skip()
			}
		}
		words, err := splitWords(line)
		if err != nil {
			t.Skip()
		}
		out, err := exec.Command("sh", "-c", `printf '%s\n' `+line).Output()
		if err != nil || string(out) != strings.Join(words, "\n")+"\n" {
			t.Errorf("%q is %q, and sh says %q, %v", line, words, out, err)
		}
	})
}
