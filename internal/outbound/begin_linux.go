package outbound

import (
	"context"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Beginner begins connections that its user waits for, and ends them. It is for one goroutine, and allocates nothing.
//
// Its system calls never wait, and last some ten microseconds. So they are made without telling the scheduler, whose
// monitor would wake up every 20 microseconds to see whether another thread should have the processor.
type Beginner struct {
	dialer *Dialer
	inet4  unix.RawSockaddrInet4
	inet6  unix.RawSockaddrInet6
	off    int32
	reset  unix.Linger
}

// NewBeginner returns a Beginner to which the rules of a Dialer apply.
func NewBeginner(d *Dialer) *Beginner {
	return &Beginner{
		dialer: d, reset: unix.Linger{Onoff: 1},
		inet4: unix.RawSockaddrInet4{Family: unix.AF_INET}, inet6: unix.RawSockaddrInet6{Family: unix.AF_INET6},
	}
}

// Begin returns a socket in non-blocking mode that is being connected, or is connected already. The error is a
// *RefusedError if this node must not connect to the address.
func (b *Beginner) Begin(ctx context.Context, address netip.AddrPort) (fd int, err error) {
	if err := b.dialer.check(ctx, address); err != nil {
		return -1, &RefusedError{Address: address, Err: err}
	}
	var to unsafe.Pointer
	var family, size uintptr
	if at := address.Addr().Unmap(); at.Is4() {
		b.inet4.Addr, b.inet4.Port = at.As4(), networkOrder(address.Port())
		to, family, size = unsafe.Pointer(&b.inet4), unix.AF_INET, unix.SizeofSockaddrInet4
	} else {
		b.inet6.Addr, b.inet6.Port = at.As16(), networkOrder(address.Port())
		to, family, size = unsafe.Pointer(&b.inet6), unix.AF_INET6, unix.SizeofSockaddrInet6
	}
	socket, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if errno != 0 {
		return -1, errno
	}
	// The target's part of the handshake is acknowledged with the first bytes, which saves a packet.
	syscall.RawSyscall6(unix.SYS_SETSOCKOPT, socket, unix.IPPROTO_TCP, unix.TCP_QUICKACK, uintptr(unsafe.Pointer(&b.off)), unsafe.Sizeof(b.off), 0)
	if _, _, errno = syscall.RawSyscall(unix.SYS_CONNECT, socket, uintptr(to), size); errno != 0 && errno != unix.EINPROGRESS && errno != unix.EINTR {
		b.End(int(socket), false)
		return -1, errno
	}
	return int(socket), nil
}

// End closes a connection, by a reset if the caller asks for one: then neither side remembers it for a minute.
func (b *Beginner) End(fd int, reset bool) {
	if reset {
		syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&b.reset)), unsafe.Sizeof(b.reset), 0)
	}
	syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
}

// networkOrder returns a number whose bytes are in network order in memory.
func networkOrder(port uint16) (n uint16) {
	*(*[2]byte)(unsafe.Pointer(&n)) = [2]byte{byte(port >> 8), byte(port)}
	return n
}
