//go:build unix

package function

import "syscall"

// readNow reads what has arrived, and fails with EAGAIN if that is nothing.
func readNow(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }
