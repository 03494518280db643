//go:build linux && !race

package socket

import (
	"syscall"
	"unsafe"
)

// These calls never block, since the sockets are in non-blocking mode, and last a few microseconds. So they are made without
// telling the scheduler. When it is told, its monitor wakes up every 20 microseconds to see whether another thread should get
// the processor, which took a fifth of the proxy's time on one core.

func read(fd uintptr, p []byte) (n int, err error) { return call(syscall.SYS_READ, fd, p) }

func write(fd uintptr, p []byte) (n int, err error) { return call(syscall.SYS_WRITE, fd, p) }

// writeBoth writes from both, of which neither may be empty.
func writeBoth(fd uintptr, p, q []byte) (n int, err error) {
	both := [2]syscall.Iovec{{Base: &p[0]}, {Base: &q[0]}}
	both[0].SetLen(len(p))
	both[1].SetLen(len(q))
	return rawCall(syscall.SYS_WRITEV, fd, unsafe.Pointer(&both), uintptr(len(both)))
}

func call(number, fd uintptr, p []byte) (int, error) {
	return rawCall(number, fd, unsafe.Pointer(unsafe.SliceData(p)), uintptr(len(p)))
}

func rawCall(number, fd uintptr, p unsafe.Pointer, length uintptr) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(number, fd, uintptr(p), length)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EAGAIN: // An errno would escape to the heap as an error.
			return 0, errWait
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

// writeMore is write for bytes that are followed by more, or by the end. The kernel waits for that.
func writeMore(fd uintptr, p []byte) (n int, err error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			syscall.MSG_MORE|syscall.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EAGAIN:
			return 0, errWait
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}

func closeWrite(fd uintptr) error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SHUTDOWN, fd, syscall.SHUT_WR, 0); errno != 0 {
		return errno
	}
	return nil
}

// peek reports whether there is nothing to read, not even an end.
func peek(fd uintptr) (silent bool) {
	var b [1]byte
	for {
		_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b)), 1,
			syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
		if errno != syscall.EINTR {
			return errno == syscall.EAGAIN
		}
	}
}
