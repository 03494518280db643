package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// The kernel's buffers grow to megabytes for each connection, also for one whose peer takes nothing. When all of them
// come near a limit of the machine, it drops what others receive (tcp(7), tcp_mem). These functions bound what waits
// for nobody. A kernel that does not know an option buffers more.

// BoundUnsent lets a socket, or those that a listening one accepts, take bytes only as long as fewer than so many wait
// for being sent; what is on its way is not bounded by it.
func BoundUnsent(conn syscall.Conn, bytes int) {
	control(conn, func(fd int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) })
}

// HoldReceiveBuffer keeps the receive buffer from growing.
func HoldReceiveBuffer(conn syscall.Conn) {
	control(conn, func(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUF_LOCK, unix.SOCK_RCVBUF_LOCK) })
}

// WidenReceiveBuffer ends what HoldReceiveBuffer began. The kernel lets a buffer grow when more than ever is read in a
// round trip, which cannot happen with a buffer that was full in each; so it gets some room to begin with.
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
