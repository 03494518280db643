package outbound

import (
	"context"
	"net"
	"net/netip"
	"os"
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
	reset  unix.Linger
}

// NewBeginner returns a Beginner to which the rules of a Dialer apply.
func NewBeginner(d *Dialer) *Beginner {
	return &Beginner{dialer: d, reset: unix.Linger{Onoff: 1}}
}

// Begin returns a socket in non-blocking mode that is connected or will be. The error is a *RefusedError if this node must not
// connect to the address.
func (b *Beginner) Begin(ctx context.Context, address netip.AddrPort) (fd int, err error) {
	if err := b.dialer.check(ctx, address); err != nil {
		return -1, &RefusedError{Address: address, Err: err}
	}
	fd, errno := begin(address, 0, true)
	if errno != 0 {
		return -1, errno
	}
	return fd, nil
}

// Begin begins a connection that its user waits for, and returns a socket in non-blocking mode. The error is a *RefusedError if
// this node must not connect to the address. Unlike Connect, it leaves the socket to its user, and not to the runtime's poller, and
// Nagle's algorithm is on. speaksFirst says that the user has something to send at once.
func (d *Dialer) Begin(ctx context.Context, address netip.AddrPort, speaksFirst bool) (fd int, err error) {
	if err := d.check(ctx, address); err != nil {
		return -1, &RefusedError{Address: address, Err: err}
	}
	scope := uint32(0)
	if zone := address.Addr().Zone(); zone != "" {
		link, err := net.InterfaceByName(zone)
		if err != nil {
			return -1, err
		}
		scope = uint32(link.Index)
	}
	fd, errno := begin(address, scope, speaksFirst)
	if errno != 0 {
		return -1, NewConnectError(address, errno)
	}
	return fd, nil
}

// NewConnectError returns the error of a connection that could not be made, as Connect has it.
func NewConnectError(address netip.AddrPort, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(address), Err: os.NewSyscallError("connect", err)}
}

// begin begins a connection. If there is something to be sent at once, the target's part of the handshake is acknowledged with
// that, which saves a packet.
func begin(address netip.AddrPort, scope uint32, speaksFirst bool) (int, unix.Errno) {
	var inet4 unix.RawSockaddrInet4
	var inet6 unix.RawSockaddrInet6
	var to unsafe.Pointer
	var family, size uintptr
	if at := address.Addr().Unmap(); at.Is4() {
		inet4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: at.As4(), Port: networkOrder(address.Port())}
		to, family, size = unsafe.Pointer(&inet4), unix.AF_INET, unix.SizeofSockaddrInet4
	} else {
		inet6 = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: at.As16(), Port: networkOrder(address.Port()), Scope_id: scope}
		to, family, size = unsafe.Pointer(&inet6), unix.AF_INET6, unix.SizeofSockaddrInet6
	}
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if errno != 0 {
		return -1, errno
	}
	if speaksFirst {
		off := int32(0)
		syscall.RawSyscall6(unix.SYS_SETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_QUICKACK, uintptr(unsafe.Pointer(&off)), unsafe.Sizeof(off), 0)
	}
	if _, _, errno = syscall.RawSyscall(unix.SYS_CONNECT, fd, uintptr(to), size); errno != 0 && errno != unix.EINPROGRESS && errno != unix.EINTR {
		syscall.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
		return -1, errno
	}
	return int(fd), 0
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
