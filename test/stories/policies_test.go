package stories_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"trellis/test/trellistest"
)

// A file in the documentation is a block of JSON after its name.
var documentedFile = regexp.MustCompile("(?s)`([a-z]+\\.json)`[^`\n]*:\n\n```json\n(.*?)```")

// The commands of a page are in blocks of the language console, each after a dollar and before what it prints.
var documentedCommands = regexp.MustCompile("(?s)\n```console\n(.*?)```")

// TestPagesOnPoliciesShowWhatTheirCommandsPrint runs the commands of the pages on the files that the pages show.
func TestPagesOnPoliciesShowWhatTheirCommandsPrint(t *testing.T) {
	program := trellistest.BuildFast(t)
	for name, blocks := range map[string]int{"docs/policies.md": 6, "README.md": 1} {
		t.Run(name, func(t *testing.T) { runPage(t, program, "../../"+name, blocks) })
	}
}

func runPage(t *testing.T, program, name string, wantBlocks int) {
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, file := range documentedFile.FindAllStringSubmatch(string(page), -1) {
		if err := os.WriteFile(filepath.Join(folder, file[1]), []byte(file[2]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	blocks := documentedCommands.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < wantBlocks {
		t.Fatalf("the page has %d blocks of commands, fewer than %d", len(blocks), wantBlocks)
	}
	for _, block := range blocks {
		var script, want strings.Builder
		for line := range strings.Lines(block[1]) {
			if command, found := strings.CutPrefix(line, "$ "); found {
				script.WriteString(command)
			} else {
				want.WriteString(line)
			}
		}
		cmd := exec.Command("sh", "-c", script.String())
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
		got, _ := cmd.CombinedOutput() // some commands fail, as the page says
		if string(got) != want.String() {
			t.Errorf("%s\nprints\n%s\nthe page has\n%s", script.String(), got, want.String())
		}
	}
}
