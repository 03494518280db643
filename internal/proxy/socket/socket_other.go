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

func writeMore(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func closeWrite(uintptr) error { return errors.ErrUnsupported }

func peek(uintptr) bool { return true }

// Ended always returns false: this system does not show whether the peer has closed its side.
func Ended(syscall.RawConn) bool { return false }
