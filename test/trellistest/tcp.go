package trellistest

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// ServeTCP listens at an address of the loopback, which it returns, and serves each connection on a goroutine of its own.
func ServeTCP(t testing.TB, serve func(conn *net.TCPConn)) *net.TCPAddr {
	t.Helper()
	listener := listen(t)
	Serve(t, listener, serve)
	return listener.Addr().(*net.TCPAddr)
}

// Serve serves each connection to a TCP listener on a goroutine of its own, and then closes it. At the end of the test it
// closes the listener, interrupts the connections and waits for the goroutines.
func Serve(t testing.TB, listener net.Listener, serve func(conn *net.TCPConn)) {
	t.Helper()
	var serving sync.WaitGroup
	over, end := context.WithCancel(context.Background())
	t.Cleanup(func() {
		listener.Close()
		end()
		serving.Wait()
	})
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("accepting a connection: %v", err)
				}
				return
			}
			serving.Go(func() {
				defer conn.Close()
				stop := context.AfterFunc(over, func() { conn.SetDeadline(time.Unix(1, 0)) })
				defer stop()
				serve(conn.(*net.TCPConn))
			})
		}
	})
}

// ConnectTCP returns both ends of a TCP connection on the loopback: the one that has dialed and the one that was accepted.
func ConnectTCP(t testing.TB) (dialed, accepted *net.TCPConn) {
	t.Helper()
	listener := listen(t)
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{near, far} {
		conn.SetDeadline(time.Now().Add(50 * time.Second))
		t.Cleanup(func() { conn.Close() })
	}
	return near.(*net.TCPConn), far.(*net.TCPConn)
}

// RefusingAddress returns an address of the loopback at which nobody listens while the test runs: it is the client's end of a
// connection, which keeps its port from other programs.
func RefusingAddress(t testing.TB) *net.TCPAddr {
	t.Helper()
	dialed, _ := ConnectTCP(t)
	return dialed.LocalAddr().(*net.TCPAddr)
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
