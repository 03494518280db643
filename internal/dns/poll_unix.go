//go:build unix

package dns

import "golang.org/x/sys/unix"

// hasMore reports whether a packet has come that has not been read.
func (p *packetPort) hasMore() bool {
	more := false
	// If the port is closed, the next read returns the error.
	err := p.raw.Control(func(fd uintptr) {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds[:], 0)
		more = n > 0 || err != nil && err != unix.EINTR
	})
	return more || err != nil
}
