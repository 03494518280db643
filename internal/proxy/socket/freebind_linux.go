package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// FreeBind lets a socket of IPv6 be bound to an address that no interface has (ip(7), IP_FREEBIND). It is a
// net.ListenConfig.Control.
func FreeBind(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
	})
	if err != nil {
		return err
	}
	return failed
}
