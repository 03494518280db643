//go:build unix

package server

import (
	"fmt"
	"syscall"
)

// maxOpenFiles returns how many files the process may have open, after raising the soft limit to the hard one. Go does the
// same at the start of a process, but not if somebody has lowered the limit since, or where it would have to ask for a
// little less.
func maxOpenFiles() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("asking how many files the process may have open: %w", err)
	}
	if limit.Cur < limit.Max {
		raised := limit
		raised.Cur = limit.Max
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	if uint64(limit.Cur) > maxFiles {
		return maxFiles, nil
	}
	return int(limit.Cur), nil
}
