package proxy

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// arrived reports whether all that was written to a connection, and its end, has reached the other side's system.
func arrived(conn *net.TCPConn) (all bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true // It is closed.
	}
	err = raw.Control(func(fd uintptr) {
		waiting, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		if err != nil {
			all = true
			return
		}
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			all = true
			return
		}
		switch info.State {
		case unix.BPF_TCP_FIN_WAIT1, unix.BPF_TCP_CLOSING, unix.BPF_TCP_LAST_ACK: // The end is under way.
		default:
			all = waiting == 0
		}
	})
	return all || err != nil
}

// awaitArrival waits until all that was written to a connection, and its end, has reached the other side's system. Targets
// call it too, from goroutines of their own.
func awaitArrival(t testing.TB, conn net.Conn) {
	t.Helper()
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	again := time.NewTicker(100 * time.Microsecond)
	defer again.Stop()
	for limit := time.Now().Add(time.Minute); !arrived(conn.(*net.TCPConn)); <-again.C {
		if time.Now().After(limit) {
			t.Error("what was sent does not arrive")
			return
		}
	}
}
