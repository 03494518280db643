package internal_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unfollowable are citations that a reader cannot open: notes that are not in the repository, and whole books without a
// page. CONTRIBUTING.md says how to cite.
var unfollowable = regexp.MustCompile(`\bfacts \d|\b(?:clients|facts-lattice|design|style)\.md\b|\bCLI ex\b|\bTF\b|\((?:API|UG)\)|\b(?:API|UG), (?:API|UG)\b|\((?:API|UG)[;,]`)

func TestCitationsCanBeFollowed(t *testing.T) {
	for _, f := range readSourceTree(t).files {
		if f.path == "internal/citations_test.go" || f.isGenerated() {
			continue
		}
		checkCitations(t, f.path, f.text)
	}
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../bench/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			path := strings.TrimPrefix(filepath.ToSlash(page), "../")
			checkCitations(t, path, readProjectFile(t, path))
		}
	}
}

func checkCitations(t *testing.T, path, text string) {
	t.Helper()
	for i, line := range strings.Split(text, "\n") {
		if found := unfollowable.FindString(line); found != "" {
			t.Errorf("%s:%d cites %q, which a reader cannot open; CONTRIBUTING.md says how to cite", path, i+1, found)
		}
	}
}
