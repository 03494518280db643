package socket

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func bareAcceptorOn(t *testing.T, network, address string) Acceptor {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	a, err := AcceptBare(listener.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	if a.Addr().String() != listener.Addr().String() {
		t.Fatalf("it is at %s, and the listener was at %s", a.Addr(), listener.Addr())
	}
	return a
}

func TestBareConnectionsHaveTheAddressesOfTheirEndsAndSendAtOnce(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		a := bareAcceptorOn(t, "tcp", address)
		client, err := net.Dial("tcp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		conn, err := a.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if conn.Source != netip.MustParseAddrPort(client.LocalAddr().String()) || conn.Destination != netip.MustParseAddrPort(a.Addr().String()) {
			t.Errorf("a connection from %s to %s is accepted as one from %s to %s", client.LocalAddr(), a.Addr(), conn.Source, conn.Destination)
		}
		if on, err := unix.GetsockoptInt(conn.TCP.(*Bare).FD(), unix.IPPROTO_TCP, unix.TCP_NODELAY); err != nil || on == 0 {
			t.Errorf("TCP_NODELAY is %d, %v: small pieces are held back", on, err)
		}
	}
}

// Whoever closes a connection twice must not close another one, which may have got its number.
func TestBareConnectionIsClosedOnce(t *testing.T) {
	a := bareAcceptorOn(t, "tcp", "127.0.0.1:0")
	client, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := a.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client got %v, want the end", err)
	}
	if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closing it again: %v", err)
	}
}

func TestResetOfABareConnectionIsSeen(t *testing.T) {
	a := bareAcceptorOn(t, "tcp", "127.0.0.1:0")
	client, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := a.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the client got %v, want a reset", err)
	}
}

func TestClosingAnAcceptorEndsAccept(t *testing.T) {
	a := bareAcceptorOn(t, "tcp", "127.0.0.1:0")
	ended := make(chan error)
	go func() {
		_, err := a.Accept()
		ended <- err
	}()
	a.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
	if conn, err := net.Dial("tcp", a.Addr().String()); err == nil {
		conn.Close()
		t.Error("somebody still listens")
	}
}
