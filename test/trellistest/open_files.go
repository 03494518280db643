package trellistest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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

// OpenFiles returns how many files a process has open. It skips the test on systems that do not list them.
func OpenFiles(t testing.TB, pid int) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("this system does not list the open files of a process")
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
