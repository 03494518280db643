package socket

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Epoll is an epoll instance that the runtime's poller watches, so that waiting for its events takes no thread.
type Epoll struct {
	// File closes the instance, and its read deadline ends a wait. FD is its descriptor, and Raw waits for it.
	File *os.File
	FD   int
	Raw  syscall.RawConn
}

// NewEpoll returns a new instance.
func NewEpoll() (Epoll, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return Epoll{}, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // Otherwise the runtime would not watch the file.
		unix.Close(fd)
		return Epoll{}, os.NewSyscallError("fcntl", err)
	}
	e := Epoll{File: os.NewFile(uintptr(fd), "epoll"), FD: fd}
	if e.Raw, err = e.File.SyscallConn(); err == nil {
		err = e.File.SetReadDeadline(time.Time{}) // This fails if the runtime does not watch the file.
	}
	if err != nil {
		e.File.Close()
		return Epoll{}, err
	}
	return e, nil
}
