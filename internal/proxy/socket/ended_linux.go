package socket

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Ended reports whether the peer has closed its side. It asks for the state of the connection, since what the peer sent before,
// such as the alert that ends TLS, may not have been read yet.
func Ended(raw syscall.RawConn) bool {
	ended := false
	err := raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			ended = true
			return
		}
		switch info.State {
		case unix.BPF_TCP_TIME_WAIT, unix.BPF_TCP_CLOSE, unix.BPF_TCP_CLOSE_WAIT, unix.BPF_TCP_LAST_ACK, unix.BPF_TCP_CLOSING:
			ended = true
		}
	})
	return ended || err != nil
}
