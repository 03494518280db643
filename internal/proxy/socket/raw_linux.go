package socket

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The functions below are for sockets that only the caller uses.

// Close closes a socket, by a reset if the peer must see that it was no orderly end.
func Close(fd uintptr, reset bool) {
	if reset {
		now := unix.Linger{Onoff: 1}
		syscall.RawSyscall6(unix.SYS_SETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&now)), unsafe.Sizeof(now), 0)
	}
	syscall.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
}

// SendAtOnce turns Nagle's algorithm off, which holds small pieces back while others are on their way (RFC 1122 4.2.3.4).
func SendAtOnce(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// Err returns why a socket could not be connected, or what has broken it.
func Err(fd uintptr) error {
	code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = syscall.Errno(code)
	}
	return err
}

// LocalAddress returns the address of our end of a TCP connection.
func LocalAddress(fd uintptr) netip.AddrPort {
	var room unix.RawSockaddrInet6 // it has room for an IPv4 address, too
	size := uint32(unsafe.Sizeof(room))
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETSOCKNAME, fd, uintptr(unsafe.Pointer(&room)), uintptr(unsafe.Pointer(&size))); errno != 0 {
		return netip.AddrPort{}
	}
	return addressIn(&room)
}

// addressIn returns the address in a structure that the kernel has written.
func addressIn(room *unix.RawSockaddrInet6) netip.AddrPort {
	port := (*[2]byte)(unsafe.Pointer(&room.Port))
	number := uint16(port[0])<<8 | uint16(port[1])
	switch room.Family {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(room)).Addr), number)
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(room.Addr), number)
	}
	return netip.AddrPort{}
}
