package socket

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bare is a TCP connection that the runtime's poller does not watch. Its user waits for it with an Epoll. One
// goroutine may use it at a time.
type Bare struct{ fd int }

// FD returns its descriptor, or -1 once it is closed.
func (b *Bare) FD() int { return b.fd }

// Close closes it.
func (b *Bare) Close() error {
	if b.fd < 0 {
		return net.ErrClosed
	}
	Close(uintptr(b.fd), false)
	b.fd = -1
	return nil
}

// CloseWrite tells the peer that no more will be sent.
func (b *Bare) CloseWrite() error { return closeWrite(uintptr(b.fd)) }

// SetLinger does what that of a *net.TCPConn does.
func (b *Bare) SetLinger(seconds int) error {
	linger := unix.Linger{Onoff: 1, Linger: int32(seconds)}
	if seconds < 0 {
		linger = unix.Linger{}
	}
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(b.fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger))
}

// SetDeadline does nothing: no read or write of a Bare waits.
func (b *Bare) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing either.
func (b *Bare) SetReadDeadline(time.Time) error { return nil }

// bareAcceptor accepts connections that are each a *Bare. net's Accept has the runtime's poller watch each, and close it when it is
// forgotten. That took a tenth of the time of a short connection that passes through.
type bareAcceptor struct {
	file    *os.File // what the runtime's poller waits for
	raw     syscall.RawConn
	address net.Addr

	accept func(fd uintptr) bool
	conn   int // that accept has accepted
	source netip.AddrPort
	err    error
}

// AcceptBare returns an acceptor of connections that are each a *Bare. It takes the listener's place, which is closed.
func AcceptBare(listener *net.TCPListener) (Acceptor, error) {
	defer listener.Close()
	file, err := listener.File()
	if err != nil {
		return nil, err
	}
	a := &bareAcceptor{file: file, address: listener.Addr()}
	a.accept = a.acceptOne
	if a.raw, err = file.SyscallConn(); err == nil {
		err = file.SetReadDeadline(time.Time{}) // It fails if the runtime does not watch the file.
	}
	if err == nil { // Connections inherit it.
		err = a.raw.Control(func(fd uintptr) { SendAtOnce(fd) })
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return a, nil
}

func (a *bareAcceptor) Accept() (Accepted, error) {
	if err := a.raw.Read(a.accept); err != nil {
		return Accepted{}, net.ErrClosed // Nothing else ends the wait.
	}
	if a.err != nil {
		return Accepted{}, a.err
	}
	return Accepted{TCP: &Bare{a.conn}, Source: a.source, Destination: LocalAddress(uintptr(a.conn))}, nil
}

// acceptOne accepts a connection, and reports whether it need not be tried again.
func (a *bareAcceptor) acceptOne(fd uintptr) bool {
	var room unix.RawSockaddrInet6 // which has room for an address of IPv4, too
	for {
		size := uint32(unsafe.Sizeof(room))
		conn, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, fd, uintptr(unsafe.Pointer(&room)), uintptr(unsafe.Pointer(&size)),
			unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			a.conn, a.source, a.err = int(conn), addressIn(&room), nil
			return true
		case unix.EAGAIN:
			return false
		case unix.EINTR, unix.ECONNABORTED: // The client has gone while it waited.
		default:
			a.err = os.NewSyscallError("accept4", errno)
			return true
		}
	}
}

func (a *bareAcceptor) Addr() net.Addr                        { return a.address }
func (a *bareAcceptor) Close() error                          { return a.file.Close() }
func (a *bareAcceptor) SyscallConn() (syscall.RawConn, error) { return a.raw, nil }
