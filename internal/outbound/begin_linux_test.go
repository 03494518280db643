package outbound

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"trellis/test/trellistest"
)

func TestBegunConnectionsReachTheirTargetsAndNobodyElse(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		trellistest.NeedAddress(t, address)
		listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		at := listener.Addr().(*net.TCPAddr).AddrPort()
		permitted := errors.New("not permitted")
		d := New(Config{Permit: func(netip.Addr) error { return permitted }})
		b := NewBeginner(d)
		if _, err := b.Begin(t.Context(), at); !errors.Is(err, permitted) {
			t.Errorf("%s: error %v", at, err)
		}
		permitted = nil
		fd, err := b.Begin(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte("hello")); err != nil {
			t.Error(err)
		}
		received := make([]byte, 5)
		if n, err := conn.Read(received); n != 5 || err != nil || string(received) != "hello" {
			t.Errorf("%s: received %q, %v", at, received[:n], err)
		}
		b.End(fd, true)
		if _, err := conn.Read(received); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("%s: ended with %v, want a reset", at, err)
		}
		conn.Close()
		d.SetOwn("API", listener.Addr())
		_, own := b.Begin(t.Context(), at)
		_, owned := d.Begin(t.Context(), at, false)
		for _, err := range []error{own, owned} {
			if err == nil {
				t.Errorf("%s: connected to this node's own port", at)
			} else if _, ok := errors.AsType[*RefusedError](err); !ok {
				t.Errorf("%s: error %v", at, err)
			}
		}
	}
}

func TestOnlyNamesOfStoresAndZonesMakeAConnectionWait(t *testing.T) {
	d := New(Config{Stores: []string{"http://etcd.test:2379", "http://10.0.0.1:2380"}})
	for address, want := range map[string]bool{
		"10.0.0.2:2379": true, "10.0.0.2:2380": false, "10.0.0.2:80": false, "[fe80::1%eth0]:80": true, "[fd00::1]:80": false,
	} {
		if got := d.Waits(netip.MustParseAddrPort(address)); got != want {
			t.Errorf("%s waits: %t, want %t", address, got, want)
		}
	}
}
