package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// helpful is a program that says what the real one says when it is asked for help, in short.
const helpful = `#!/bin/sh
case "$2" in
dev) printf 'Usage: trellis dev [flags]\n\nFlags:\n  -h, --help          Show help.\n      --api-addr="a"  Where.\n      --[no-]demo     Also --api-addr.\n' ;;
*) printf 'Usage: trellis <command> [flags]\n\nFlags:\n  -h, --help    Show help.\n\nCommands:\n  dev            Run it: with a\n                 long help.\n  dns install    Write names.\n  dns check      Show names.\n' ;;
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
	for shell, scripts := range map[string][2]string{ // for a command, and for a flag
		"bash": {
			`source ./completion.bash; COMP_WORDS=(trellis d); COMP_CWORD=1; _trellis; printf '%s\n' "${COMPREPLY[@]}"`,
			`source ./completion.bash; COMP_WORDS=(trellis dev --a); COMP_CWORD=2; _trellis; printf '%s\n' "${COMPREPLY[@]}"`,
		},
		"zsh": {
			`compadd() { print -l -- "${(@P)2}" }; words=(trellis d) CURRENT=2; source ./completion.zsh`,
			`compadd() { print -l -- "${(@P)2}" }; words=(trellis dev --a) CURRENT=3; source ./completion.zsh`,
		},
		"fish": {
			`source ./completion.fish; complete -C 'trellis d'`,
			`source ./completion.fish; complete -C 'trellis dev --a'`,
		},
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(err)
			}
			for i, want := range []string{"dev dns", "--api-addr"} {
				cmd := exec.Command(path, "-c", scripts[i])
				cmd.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"), "HOME="+folder)
				out, err := cmd.Output()
				got := strings.Join(strings.Fields(string(out)), " ")
				if shell == "zsh" && i == 1 { // It is zsh that leaves out what does not begin with the word.
					want = "--api-addr --help"
				}
				if err != nil || got != want {
					t.Errorf("%s completes %q, want %q: %v", shell, got, want, err)
				}
			}
		})
	}
}
