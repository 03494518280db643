//go:build unix && (!linux || race)

package socket

import "syscall"

// With the race detector these calls are made on Linux too: it sees what they read and write.

func read(fd uintptr, p []byte) (n int, err error) {
	for {
		n, err = syscall.Read(int(fd), p)
		switch err {
		case syscall.EAGAIN:
			return 0, errWait
		case syscall.EINTR:
		default:
			return n, err
		}
	}
}

func write(fd uintptr, p []byte) (n int, err error) {
	for {
		n, err = syscall.Write(int(fd), p)
		switch err {
		case syscall.EAGAIN:
			return 0, errWait
		case syscall.EINTR:
		default:
			return n, err
		}
	}
}

// writeBoth writes only the first.
func writeBoth(fd uintptr, p, _ []byte) (n int, err error) { return write(fd, p) }

func writeMore(fd uintptr, p []byte) (n int, err error) { return write(fd, p) }

func closeWrite(fd uintptr) error { return syscall.Shutdown(int(fd), syscall.SHUT_WR) }

// peek reports whether there is nothing to read, not even an end.
func peek(fd uintptr) (silent bool) {
	var b [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err != syscall.EINTR {
			return err == syscall.EAGAIN
		}
	}
}
