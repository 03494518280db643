package server

import (
	"strings"
	"testing"
)

func TestTheVersionHasCommitAndDate(t *testing.T) {
	text := ReadBuild("v1.2.3", "0123456789abcdef", "2026-01-02T03:04:05Z").String()
	for _, want := range []string{"trellis v1.2.3\n", "commit  0123456789abcdef\n", "date    2026-01-02T03:04:05Z\n", "built   go1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if b := ReadBuild("", "", ""); b.Version == "" {
		t.Error("a program that is not of a package has no version")
	}
}
