package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"trellis/internal/lattice"
	"trellis/test/trellistest"
)

// interfaceAddress returns an address of this machine other than the loopback's.
func interfaceAddress(t *testing.T) netip.Addr {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range list {
		if network, err := netip.ParsePrefix(entry.String()); err == nil && network.Addr().Is4() && !network.Addr().IsLoopback() {
			return network.Addr()
		}
	}
	t.Skip("this machine has no address but those of the loopback")
	return netip.Addr{}
}

// isRefused reports whether the dialer refuses an address, rather than try to connect.
func isRefused(t *testing.T, d *Dialer, address netip.AddrPort) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := d.Connect(ctx, address)
	if err == nil {
		conn.Close()
		return false
	}
	_, refused := errors.AsType[*RefusedError](err)
	return refused
}

// listenAt listens at an address and returns it, with the port that it got.
func listenAt(t *testing.T, address string) net.Addr {
	t.Helper()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	trellistest.NeedAddress(t, host)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr()
}

func TestNodeDoesNotConnectToItself(t *testing.T) {
	other := interfaceAddress(t)
	for _, test := range []struct {
		listens string
		refused map[string]bool
	}{
		{"127.0.0.1:0", map[string]bool{
			"127.0.0.1": true, "::ffff:127.0.0.1": true, "0.0.0.0": true, "::": true, "::ffff:0.0.0.0": true,
			"127.0.0.2": false, other.String(): false,
		}},
		{"0.0.0.0:0", map[string]bool{
			"127.0.0.1": true, "127.0.0.2": true, "::ffff:127.0.0.3": true, "0.0.0.0": true, other.String(): true, "::ffff:" + other.String(): true,
			"::1": true,
		}},
		{"[::]:0", map[string]bool{"127.0.0.1": true, "127.8.9.10": true, "::1": true, "::": true, "0.0.0.0": true, other.String(): true}},
		{other.String() + ":0", map[string]bool{other.String(): true, "::ffff:" + other.String(): true, "127.0.0.1": false}},
	} {
		t.Run(test.listens, func(t *testing.T) {
			address := listenAt(t, test.listens)
			port := address.(*net.TCPAddr).AddrPort().Port()
			d := New(Config{})
			d.SetOwn("admin", address)
			for to, want := range test.refused {
				if got := isRefused(t, d, netip.AddrPortFrom(netip.MustParseAddr(to), port)); got != want {
					t.Errorf("%s: refused is %v, want %v", to, got, want)
				}
			}
			if isRefused(t, d, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port^1)) {
				t.Error("another port is refused")
			}
			d.SetOwn("admin")
			if isRefused(t, d, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)) {
				t.Error("a port that is not this node's any more is refused")
			}
		})
	}
}

func TestRefusalNamesTheAddressAndWhatIsThere(t *testing.T) {
	d := New(Config{})
	d.SetOwn("admin", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7601})
	_, err := d.Connect(t.Context(), netip.MustParseAddrPort("[::ffff:127.0.0.1]:7601"))
	want := "127.0.0.1:7601 is the admin port of this node, which cannot be a target; register the address and port of another program"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestNodeDoesNotConnectTargetsToItsStore(t *testing.T) {
	local := interfaceAddress(t)
	d := New(Config{Stores: []string{"http://127.0.0.1:2379", "localhost:2390", "https://192.0.2.1:2391/", "http://[2001:db8::1]:2392", "unix://socket", "http://no-such-host.invalid:2393"}})
	for address, want := range map[string]bool{
		"127.0.0.1:2379":          true,
		local.String() + ":2379":  true, // The store may listen at all addresses.
		"127.0.0.1:2390":          true, // That is where localhost resolves to.
		"192.0.2.1:2391":          true,
		"[::ffff:192.0.2.1]:2391": true,
		"[2001:db8::1]:2392":      true,
		"127.0.0.1:2393":          true, // The store's address is not known.
		"127.0.0.1:2378":          false,
		"127.0.0.1:2391":          false,
	} {
		if got := isRefused(t, d, netip.MustParseAddrPort(address)); got != want {
			t.Errorf("%s: refused is %v, want %v", address, got, want)
		}
	}
}

func TestNodeConnectsOnlyToAddressesThatAreAllowed(t *testing.T) {
	address := listenAt(t, "127.0.0.1:0").(*net.TCPAddr).AddrPort()
	if !isRefused(t, New(Config{Permit: lattice.AddressPolicy{}.Check}), address) {
		t.Errorf("%s is not refused", address)
	}
	allowed := lattice.AddressPolicy{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	if isRefused(t, New(Config{Permit: allowed.Check}), address) {
		t.Errorf("%s is refused though it is allowed", address)
	}
}

func BenchmarkCheck(b *testing.B) {
	d := New(Config{Permit: lattice.AddressPolicy{}.Check})
	d.SetOwn("API", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7600})
	d.SetOwn("data-plane", &net.TCPAddr{IP: net.IPv4zero, Port: 80})
	for name, address := range map[string]string{"other port": "10.0.0.1:8080", "same port": "10.0.0.1:80"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := d.check(b.Context(), netip.MustParseAddrPort(address)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
