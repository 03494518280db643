package trellistest

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// NeedAddress skips a test if this machine lacks an address: only Linux has all of 127.0.0.0/8, and some machines have no IPv6. What
// else keeps a socket from the address fails the test.
func NeedAddress(t testing.TB, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Skip("this machine lacks an address:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
}
