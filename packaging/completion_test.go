package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// helpful is a program that prints a short form of the real one's help.
const helpful = `#!/bin/sh
case "$2 $3" in
"dev ") printf 'Usage: trellis dev [flags]\n\nFlags:\n  -h, --help          Show help.\n      --api-addr="a"  Where.\n      --[no-]demo     Also --api-addr.\n' ;;
"dns ") printf 'Usage: trellis dns <command> [flags]\n\nFlags:\n  -h, --help    Show help.\n\nCommands:\n  dns install    Write names.\n  dns check      Show names: with a\n                 long help.\n' ;;
"dns check") printf 'Usage: trellis dns check [flags]\n\nFlags:\n  -h, --help          Show help.\n      --admin="a"  Where.\n' ;;
*) printf 'Usage: trellis <command> [flags]\n\nFlags:\n  -h, --help    Show help.\n\nCommands:\n  dev    Run it: with a\n         long help.\n  dns    Find names.\n' ;;
esac
`

// TestShellsCompleteCommandsAndFlags has each shell that is there complete words.
func TestShellsCompleteCommandsAndFlags(t *testing.T) {
	if out, err := exec.Command("../scripts/debian_packages.sh", "zsh fish", "zsh", "fish").CombinedOutput(); err != nil {
		t.Logf("not all shells are there: %s", out)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "trellis"), []byte(helpful), 0o755); err != nil {
		t.Fatal(err)
	}
	for shell, script := range map[string]func(words ...string) string{ // what completes the last word
		"bash": func(words ...string) string {
			return fmt.Sprintf(`source ./completion.bash; COMP_WORDS=(%s); COMP_CWORD=%d; _trellis; printf '%%s\n' "${COMPREPLY[@]}"`, strings.Join(words, " "), len(words)-1)
		},
		"zsh": func(words ...string) string {
			return fmt.Sprintf(`_files() { }; compadd() { print -l -- "${(@P)2}" }; words=(%s) CURRENT=%d; source ./completion.zsh`, strings.Join(words, " "), len(words))
		},
		"fish": func(words ...string) string {
			return fmt.Sprintf(`source ./completion.fish; complete -C '%s'`, strings.Join(words, " "))
		},
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(err)
			}
			for _, tc := range []struct {
				words []string
				want  string
			}{
				{[]string{"trellis", "d"}, "dev dns"},
				{[]string{"trellis", "dev", "--a"}, "--api-addr"},
				{[]string{"trellis", "dns", "c"}, "check"},
				{[]string{"trellis", "dns", "check", "--a"}, "--admin"},
			} {
				cmd := exec.Command(path, "-c", script(tc.words...))
				cmd.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"), "HOME="+folder)
				out, err := cmd.Output()
				words := strings.Fields(string(out))
				if shell == "zsh" { // It is zsh that leaves out what does not begin with the word.
					words = slices.DeleteFunc(words, func(word string) bool { return !strings.HasPrefix(word, tc.words[len(tc.words)-1]) })
				}
				got, want := strings.Join(words, " "), tc.want
				if err != nil || got != want {
					t.Errorf("%s completes %q to %q, want %q: %v", shell, tc.words, got, want, err)
				}
			}
		})
	}
}
