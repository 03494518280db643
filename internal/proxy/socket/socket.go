// Package socket makes system calls on sockets that the Go runtime polls. A read or a write through net.Conn takes
// locks, resets the poller and tells the scheduler of the system call each time. Here one call of syscall.RawConn covers a whole
// wait, so that an exchange makes no more system calls than it needs.
//
// It is for TCP on Unix. Elsewhere, and for TLS, the callers use net.Conn.
package socket

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Raw returns the raw connection of a TCP connection, or nil when there is none.
func Raw(conn net.Conn) syscall.RawConn {
	if !supported {
		return nil
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// errWait says that a call would have to wait.
var errWait = errors.New("the socket is not ready")

// Read reads what has come. wait says that nothing has; the end of the stream is io.EOF.
func Read(fd uintptr, p []byte) (n int, wait bool, err error) {
	n, err = read(fd, p)
	switch {
	case n > 0:
		return n, false, nil
	case err == errWait:
		return 0, true, nil
	case err != nil:
		return 0, false, err
	default:
		return 0, false, io.EOF
	}
}

// Write writes as much as the socket takes. wait says that it takes no more for now.
func Write(fd uintptr, p []byte) (n int, wait bool, err error) {
	return writeAll(fd, p, false)
}

// writeAll writes as much as the socket takes.
func writeAll(fd uintptr, p []byte, last bool) (n int, wait bool, err error) {
	for n < len(p) {
		m := 0
		if last {
			m, err = writeMore(fd, p[n:])
		} else {
			m, err = write(fd, p[n:])
		}
		if err == errWait {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
		n += m
	}
	return n, false, nil
}

// WriteLast is Write for bytes after which CloseWrite or a close follows at once: the end goes in one packet with them.
func WriteLast(fd uintptr, p []byte) (n int, wait bool, err error) {
	return writeAll(fd, p, true)
}

// CloseWrite tells the peer that no more will be sent.
func CloseWrite(fd uintptr) error { return closeWrite(fd) }

// WriteBoth is Write for two pieces that the kernel takes as one.
func WriteBoth(fd uintptr, p, q []byte) (n int, wait bool, err error) {
	for n < len(p) {
		m := 0
		if len(q) > 0 {
			m, err = writeBoth(fd, p[n:], q)
		} else {
			m, err = write(fd, p[n:])
		}
		if err == errWait {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
		n += m
	}
	m, wait, err := Write(fd, q[n-len(p):])
	return n + m, wait, err
}

// Silent reports whether there is nothing to read, neither bytes nor an end of the stream.
func Silent(fd uintptr) bool { return peek(fd) }
