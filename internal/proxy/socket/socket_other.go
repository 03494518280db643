//go:build !unix

package socket

import (
	"errors"
	"syscall"
)

const supported = false

func read(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func write(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func writeBoth(uintptr, []byte, []byte) (int, error) { return 0, errors.ErrUnsupported }

func peek(uintptr) bool { return true }

// Ended reports whether the peer has closed its side. Here it cannot be seen.
func Ended(syscall.RawConn) bool { return false }
