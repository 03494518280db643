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

// A file in the documentation is a block of JSON behind its name.
var documentedFile = regexp.MustCompile("(?s)`([a-z]+\\.json)`[^`\n]*:\n\n```json\n(.*?)```")

// The commands of a page are in blocks of the language console, each behind a dollar and before what it prints.
var documentedCommands = regexp.MustCompile("(?s)\n```console\n(.*?)```")

// TestThePageOnPoliciesShowsWhatItsCommandsPrint runs the commands of docs/policies.md on the files that stand there.
func TestThePageOnPoliciesShowsWhatItsCommandsPrint(t *testing.T) {
	page, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, file := range documentedFile.FindAllStringSubmatch(string(page), -1) {
		if err := os.WriteFile(filepath.Join(folder, file[1]), []byte(file[2]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := trellistest.BuildFast(t)
	blocks := documentedCommands.FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 5 {
		t.Fatalf("the page has %d blocks of commands", len(blocks))
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
		got, _ := cmd.CombinedOutput() // Some commands fail, as the page says.
		if string(got) != want.String() {
			t.Errorf("%s\nprints\n%s\nthe page has\n%s", script.String(), got, want.String())
		}
	}
}
