package trellistest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// LimitFiles returns a program that runs another one with a limit of open files, which it cannot raise.
func LimitFiles(t testing.TB, program string, files int) string {
	t.Helper()
	limited := filepath.Join(t.TempDir(), "limited")
	script := fmt.Sprintf("#!/bin/sh\nulimit -n %d && exec '%s' \"$@\"\n", files, program)
	if err := os.WriteFile(limited, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return limited
}
