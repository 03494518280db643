//go:build unix && !linux

package stories_test

import "syscall"

func lowestPriority() error { return syscall.Setpriority(syscall.PRIO_PROCESS, 0, 20) }
