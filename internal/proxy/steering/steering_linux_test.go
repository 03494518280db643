package steering

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"trellis/internal/lattice"
	"trellis/test/trellistest"
)

var (
	addresses = lattice.ResourceRange{IPv4: trellistest.ResourceRange()}
	first     = addresses.Addresses(1)[0]
)

// steered returns a table that is attached to a socket of each family, and the sockets.
func steered(t *testing.T, addresses lattice.ResourceRange) (*Table, []net.Listener) {
	t.Helper()
	table, err := New(addresses)
	if errors.Is(err, os.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	var sockets []net.Listener
	var attached []syscall.Conn
	for _, gate := range Gates(addresses) {
		at := netip.AddrPortFrom(gate.Addr(), 0)
		if gate.Addr().Is6() {
			at = netip.MustParseAddrPort("[::1]:0") // No route leads to the first address of the network here.
		}
		var config net.ListenConfig
		config.SetMultipathTCP(false) // The kernel steers nothing to sockets of Multipath TCP.
		socket, err := config.Listen(t.Context(), "tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { socket.Close() })
		sockets, attached = append(sockets, socket), append(attached, socket.(syscall.Conn))
	}
	if err := table.Attach(attached); err != nil {
		t.Fatal(err)
	}
	return table, sockets
}

// reaches connects to a place and reports whether the socket accepts the connection, as one to that place.
func reaches(t *testing.T, socket net.Listener, place netip.AddrPort) bool {
	t.Helper()
	conn, err := net.Dial("tcp", place.String())
	if errors.Is(err, syscall.ECONNREFUSED) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := socket.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if got := accepted.LocalAddr().String(); got != place.String() {
		t.Errorf("a connection to %s is accepted as one to %s", place, got)
	}
	return true
}

func TestConnectionsToTheRangesOfAnAddressAreSteered(t *testing.T) {
	table, sockets := steered(t, addresses)
	second, third := addresses.Addresses(2)[0], addresses.Addresses(3)[0]
	expect := func(want map[netip.AddrPort]bool) {
		t.Helper()
		for place, want := range want {
			if got := reaches(t, sockets[0], place); got != want {
				t.Errorf("%s is reached: %v, want %v", place, got, want)
			}
		}
	}
	set := func(address netip.Addr, ranges ...lattice.PortRange) {
		t.Helper()
		if err := table.Set(address, ranges); err != nil {
			t.Fatal(err)
		}
	}
	at := netip.AddrPortFrom
	set(first, lattice.PortRange{From: 1, To: 65535})
	set(second, lattice.PortRange{From: 5432, To: 5432}, lattice.PortRange{From: 6000, To: 6999})
	expect(map[netip.AddrPort]bool{
		at(first, 1): true, at(first, 22): true, at(first, 65535): true,
		at(second, 5432): true, at(second, 5431): false, at(second, 6000): true, at(second, 6999): true, at(second, 5999): false, at(second, 7000): false,
		at(third, 5432): false,
	})
	set(first, lattice.PortRange{From: 80, To: 80})
	set(second, lattice.PortRange{From: 1, To: 65535})
	expect(map[netip.AddrPort]bool{at(first, 80): true, at(first, 81): false, at(second, 5432): true, at(second, 7000): true})
	set(first, lattice.PortRange{From: 1, To: 65535})
	table.Remove(second)
	expect(map[netip.AddrPort]bool{at(first, 81): true, at(second, 5432): false})
}

func TestAddressIsSteeredThoughSomebodyListensOnAllAddresses(t *testing.T) {
	table, sockets := steered(t, addresses)
	everywhere, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer everywhere.Close()
	port := uint16(everywhere.Addr().(*net.TCPAddr).Port)
	address := first
	place := netip.AddrPortFrom(address, port)
	for _, test := range []struct {
		ranges []lattice.PortRange
		want   bool
	}{{[]lattice.PortRange{{From: 1024, To: 65535}}, true}, {[]lattice.PortRange{{From: 80, To: 80}}, false}} {
		if err := table.Set(address, test.ranges); err != nil {
			t.Fatal(err)
		}
		if got := reaches(t, sockets[0], place); got != test.want {
			t.Errorf("with the ranges %v, %s is reached: %v, want %v", test.ranges, place, got, test.want)
		}
	}
	table.Remove(address)
	conn, err := net.Dial("tcp", place.String())
	if err != nil {
		t.Fatalf("an address that is not steered: %v", err)
	}
	conn.Close()
}

func TestIPv6ConnectionsAreSteered(t *testing.T) {
	// The last network that holds ::1, whose number is 1.
	both := lattice.ResourceRange{IPv4: addresses.IPv4, IPv6: netip.MustParsePrefix("::/126")}
	if _, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6")
	}
	table, sockets := steered(t, both)
	address := netip.IPv6Loopback()
	if err := table.Set(address, []lattice.PortRange{{From: 7, To: 9}}); err != nil {
		t.Fatal(err)
	}
	if !reaches(t, sockets[1], netip.AddrPortFrom(address, 8)) || reaches(t, sockets[1], netip.AddrPortFrom(address, 10)) {
		t.Error("the steered ports are not those of the range")
	}
	if !reaches(t, sockets[0], netip.AddrPortFrom(first, 7)) {
		t.Error("the IPv4 address with the same number is not steered")
	}
}

func TestSteeringEndsWithItsTable(t *testing.T) {
	table, sockets := steered(t, addresses)
	place := netip.AddrPortFrom(first, 5432)
	if err := table.Set(place.Addr(), []lattice.PortRange{{From: 1, To: 65535}}); err != nil {
		t.Fatal(err)
	}
	if !reaches(t, sockets[0], place) {
		t.Error("connections are not steered before the table is closed")
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if reaches(t, sockets[0], place) {
		t.Error("connections are still steered after the table is closed")
	}
}

func TestSecondTableTakesOverWhenTheFirstEnds(t *testing.T) {
	table, sockets := steered(t, addresses)
	place := netip.AddrPortFrom(first, 5432)
	all := []lattice.PortRange{{From: 1, To: 65535}}
	if err := table.Set(place.Addr(), all); err != nil {
		t.Fatal(err)
	}
	next, nextSockets := steered(t, addresses)
	if err := next.Set(place.Addr(), all); err != nil {
		t.Fatal(err)
	}
	if !reaches(t, sockets[0], place) {
		t.Error("the first does not go on")
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if !reaches(t, nextSockets[0], place) {
		t.Error("the second does not take over")
	}
}

func TestPortRangesOfAnAddressAreBounded(t *testing.T) {
	table, sockets := steered(t, addresses)
	place := netip.AddrPortFrom(first, 5432)
	var odd []lattice.PortRange
	for port := 1; port < 65535; port += 2 {
		odd = append(odd, lattice.PortRange{From: port, To: port})
	}
	if err := table.Set(place.Addr(), odd); !errors.Is(err, errTooMany) {
		t.Errorf("error %v, want %v", err, errTooMany)
	}
	if reaches(t, sockets[0], place) {
		t.Error("the port is steered")
	}
}

func TestRemovedAddressesLeaveNothingInTheTable(t *testing.T) {
	table, _ := steered(t, addresses)
	entries := func() (count int) {
		var k key
		var v uint32
		for each := table.ports.Iterate(); each.Next(&k, &v); {
			count++
		}
		return count
	}
	for number := range uint32(200) {
		for _, address := range addresses.Addresses(number + 1) {
			for _, ranges := range [][]lattice.PortRange{{{From: 2, To: 65534}}, {{From: 1, To: 65535}}, {{From: 443, To: 443}, {From: 8443, To: 9443}}} {
				if err := table.Set(address, ranges); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if got := entries(); got < 400 {
		t.Errorf("the table has %d entries, want at least 400", got)
	}
	for number := range uint32(200) {
		table.Remove(addresses.Addresses(number + 1)[0])
	}
	if got := entries(); got != 0 || len(table.prefixes) != 0 {
		t.Errorf("%d entries and %d addresses are left", got, len(table.prefixes))
	}
}
