package socket

import (
	"net"
	"net/netip"
	"syscall"
	"time"
)

// TCP is what can be done with any TCP connection: a *net.TCPConn, or a *Bare.
type TCP interface {
	Close() error
	CloseWrite() error
	SetLinger(seconds int) error
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
}

// Accepted is a connection that has been accepted, and the addresses of its two ends.
type Accepted struct {
	TCP
	Source, Destination netip.AddrPort
}

// Acceptor is a listening socket. Accept is for one goroutine.
type Acceptor interface {
	syscall.Conn
	Accept() (Accepted, error)
	Addr() net.Addr
	Close() error
}

// AcceptTCP returns an acceptor of connections that are each a *net.TCPConn.
func AcceptTCP(listener *net.TCPListener) Acceptor { return tcpAcceptor{listener} }

type tcpAcceptor struct{ *net.TCPListener }

func (a tcpAcceptor) Accept() (Accepted, error) {
	conn, err := a.AcceptTCP()
	if err != nil {
		return Accepted{}, err
	}
	return AcceptedTCP(conn), nil
}

// AcceptedTCP returns a connection with the addresses of its two ends.
func AcceptedTCP(conn *net.TCPConn) Accepted {
	return Accepted{TCP: conn, Source: AddressOf(conn.RemoteAddr()), Destination: AddressOf(conn.LocalAddr())}
}

// AddressOf returns the address and the port of an end of a TCP connection.
func AddressOf(address net.Addr) netip.AddrPort {
	if tcp, ok := address.(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
