package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The kernel's buffers grow to megabytes for each connection, even if its peer reads nothing. When all buffers together come
// near a limit of the machine, the kernel drops what others receive (tcp(7), tcp_mem). These functions bound what waits for a
// reader. A kernel that does not know an option buffers more.

// BoundUnsent makes a socket, or those that a listening one accepts, take bytes only while fewer than the given number wait to
// be sent. It does not bound the bytes on their way.
func BoundUnsent(conn syscall.Conn, bytes int) {
	control(conn, func(fd int) { BoundUnsentAt(fd, bytes) })
}

// BoundUnsentAt is BoundUnsent for a socket that only the caller uses.
func BoundUnsentAt(fd, bytes int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
}

// HoldReceiveBuffer keeps the receive buffer from growing.
func HoldReceiveBuffer(conn syscall.Conn) {
	control(conn, func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUF_LOCK, unix.SOCK_RCVBUF_LOCK) })
}

// WidenReceiveBuffer undoes HoldReceiveBuffer. The kernel lets a buffer grow when more is read in a round trip than ever
// before. That cannot happen with a buffer that has always been full, so it gets some room to begin with.
func WidenReceiveBuffer(conn syscall.Conn, bytes int) {
	control(conn, func(fd int) {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, bytes)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUF_LOCK, 0)
	})
}

func control(conn syscall.Conn, set func(fd int)) {
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { set(int(fd)) })
	}
}
