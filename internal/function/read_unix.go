//go:build unix

package function

import "syscall"

// readNow reads what has arrived. If nothing has, it fails with EAGAIN.
func readNow(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }
