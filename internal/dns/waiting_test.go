package dns

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"codeberg.org/miekg/dns"

	"trellis/test/trellistest"
)

func TestSourcesTakeTurns(t *testing.T) {
	w := newWaiting()
	add := func(client string, id int) bool {
		p := packet{client: netip.AddrPortFrom(netip.MustParseAddr(client), 53), index: id}
		if !w.hasRoom(p.from()) {
			return false
		}
		w.add(p)
		return true
	}
	const flood = maxWaiting / 2
	for i := range flood {
		if !add("10.0.0.1", i) {
			t.Fatalf("query %d of a source does not wait", i)
		}
	}
	if add("10.0.0.1", flood) {
		t.Error("a source leaves others no room")
	}
	add("10.0.0.2", 10_000)
	add("fd00::1", 20_000)
	add("fd00::2", 20_001) // of the same /64
	var order []int
	for w.count > 0 {
		order = append(order, w.next().index)
	}
	if got, want := fmt.Sprint(order[:6]), "[0 10000 20000 1 20001 2]"; got != want {
		t.Errorf("the first turns are %s, want %s", got, want)
	}
	if len(order) != flood+3 || len(w.of) != 0 || len(w.turns) != 0 {
		t.Errorf("%d queries had a turn; %d sources are left", len(order), len(w.of))
	}
	for i := range maxWaiting + 10 {
		add(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String(), 0)
	}
	if w.count != maxWaiting {
		t.Errorf("%d queries of as many sources wait", w.count)
	}
}

func TestSourcesThatFloodLeaveRoomForAnother(t *testing.T) {
	w := newWaiting()
	for range 2 * maxWaiting {
		for flooding := range byte(10) {
			p := packet{client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, flooding}), 53)}
			if w.hasRoom(p.from()) {
				w.add(p)
			}
		}
	}
	if !w.hasRoom(netip.MustParseAddr("10.0.0.99")) {
		t.Errorf("%d queries of ten sources wait, and no other source has room", w.count)
	}
}

func TestQueriesWithoutRoomAreDroppedAndCounted(t *testing.T) {
	s := &Server{cfg: Config{Names: names()}}
	known, unknown := newWaiting(), newWaiting()
	const flood = maxWaiting/2 + 10
	for range flood {
		s.take(packet{client: netip.MustParseAddrPort("10.0.0.1:53")}, known, unknown)
	}
	if s.Dropped() != 10 || unknown.count != flood-10 || known.count != 0 {
		t.Errorf("of %d queries %d wait and %d are dropped", flood, unknown.count, s.Dropped())
	}
}

// arrivedBefore runs a server at which queries have arrived before it reads any.
func arrivedBefore(t *testing.T, names Names, send func(s *Server)) {
	t.Helper()
	s, err := Listen(t.Context(), Config{
		Address: netip.MustParseAddrPort("127.0.0.1:0"), Domain: "localhost", Names: names, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	send(s)
	serve(t, s)
}

// client is a socket that sends queries from an address.
type client struct {
	t    *testing.T
	conn *net.UDPConn
}

func newClient(t *testing.T, from string, s *Server) client {
	t.Helper()
	trellistest.NeedAddress(t, from)
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(s.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return client{t, conn}
}

func (c client) send(name string, id uint16) {
	c.t.Helper()
	m := dns.NewMsg(name+".", dns.TypeA)
	m.ID = id
	if err := m.Pack(); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.conn.Write(m.Data); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) receive() *dns.Msg {
	c.t.Helper()
	buffer := make([]byte, 1500)
	n, err := c.conn.Read(buffer)
	if err != nil {
		c.t.Fatal(err)
	}
	m := &dns.Msg{Data: buffer[:n]}
	if err := m.Unpack(); err != nil {
		c.t.Fatal(err)
	}
	return m
}

// As many as the kernel keeps for a server whose buffer is not larger than usual.
const storm = 200

func TestKnownNameIsAnsweredBeforeAStormOfUnknownOnesThatCameFirst(t *testing.T) {
	for _, unknown := range []string{"no-%d.7d67968.vpc-lattice-svcs.us-west-2.localhost", "www-%d.example.com"} {
		var c client
		arrivedBefore(t, names(), func(s *Server) {
			c = newClient(t, "127.0.0.1", s)
			for i := range storm {
				c.send(fmt.Sprintf(unknown, i), uint16(i))
			}
			c.send(serviceName, storm)
		})
		before := 0
		for c.receive().ID != storm {
			before++
		}
		if most := (storm/packetsAtOnce + 1) * answeredAtOnce; before > most {
			t.Errorf(unknown+": %d of %d were answered before the known name, want at most %d", 0, before, storm, most)
		}
	}
}

// lookups notes whose names are looked up: once when a query is read, and again when it is answered.
type lookups struct {
	Names
	mu      sync.Mutex
	clients []netip.Addr
}

func (l *lookups) Find(name string, client netip.Addr) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clients = append(l.clients, client)
	return l.Names.Find(name, client)
}

func TestStormOfASourceLeavesOtherSourcesTheirAnswers(t *testing.T) {
	const unknown, missing = "www.example.com", "no-such.7d67968.vpc-lattice-svcs.us-west-2.localhost"
	for _, c := range []struct {
		flood, name string
		rcode       uint16
	}{
		{serviceName, serviceName, dns.RcodeSuccess}, {serviceName, unknown, dns.RcodeRefused}, {unknown, serviceName, dns.RcodeSuccess},
		{unknown, unknown, dns.RcodeRefused}, {unknown, missing, dns.RcodeNameError},
	} {
		seen := &lookups{Names: names()}
		var other client
		arrivedBefore(t, seen, func(s *Server) {
			flooding := newClient(t, "127.0.0.1", s)
			other = newClient(t, "127.0.0.2", s)
			for i := range storm {
				flooding.send(c.flood, uint16(i))
			}
			other.send(c.name, storm)
		})
		if m := other.receive(); m.ID != storm || m.Rcode != c.rcode {
			t.Errorf("%+v: the other source gets %s for query %d", c, text(m), m.ID)
		}
		seen.mu.Lock()
		var at []int // when the other source's query was read, and when it was answered
		for i, client := range seen.clients {
			if client == netip.MustParseAddr("127.0.0.2") {
				at = append(at, i)
			}
		}
		seen.mu.Unlock()
		if len(at) != 2 {
			t.Errorf("%+v: the name in the other source's query was looked up %d times, want 2", c, len(at))
			continue
		}
		answered := at[1]
		if before, most := answered-storm-1, (storm/packetsAtOnce+1)*answeredAtOnce; before > most {
			t.Errorf("%+v: %d of %d queries of the source that floods were answered before that of another, want at most %d", c, before, storm, most)
		}
	}
}

// A query has its place for as long as a server that does not answer is waited for.
func TestForwardedStormOfASourceLeavesOtherSourcesTheirPlaces(t *testing.T) {
	f := newForwarder(nil)
	end := make(chan struct{})
	forwards := func(client string) bool { return f.start(netip.MustParseAddr(client), func() { <-end }) }
	for range maxOfSource {
		if !forwards("192.0.2.1") {
			t.Fatalf("a source has fewer than %d places", maxOfSource)
		}
	}
	if forwards("192.0.2.1") {
		t.Errorf("a source has more than %d places", maxOfSource)
	}
	if !forwards("192.0.2.2") {
		t.Error("another source has no place")
	}
	close(end)
	f.wait()
	if len(f.shares.of) != 0 {
		t.Errorf("%d sources are still counted", len(f.shares.of))
	}
}

func TestConnectionsOfASourceLeaveOtherSourcesTheirs(t *testing.T) {
	s := start(t, nil)
	dial := func(from string) net.Conn {
		trellistest.NeedAddress(t, from)
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := dialer.DialContext(t.Context(), "tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		return conn
	}
	// answered asks for the service, and reports whether there is an answer and not the end of the connection.
	answered := func(conn net.Conn) bool {
		m := dns.NewMsg(serviceName+".", dns.TypeA)
		if err := m.Pack(); err != nil {
			t.Fatal(err)
		}
		_ = writeMessage(conn, m.Data)
		_, err := readMessage(conn)
		return err == nil
	}
	for range maxOfSource {
		if !answered(dial("127.0.0.1")) {
			t.Fatalf("a source has fewer than %d connections", maxOfSource)
		}
	}
	if answered(dial("127.0.0.1")) {
		t.Errorf("a source has more than %d connections", maxOfSource)
	}
	if !answered(dial("127.0.0.2")) {
		t.Error("another source has no connection")
	}
}
