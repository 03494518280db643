package dns

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"codeberg.org/miekg/dns"
)

func TestSourcesTakeTurns(t *testing.T) {
	w := newWaiting()
	from := func(client string, id uint16) bool {
		address := netip.MustParseAddr(client)
		if !w.hasRoom(address) {
			return false
		}
		w.add(pending{query: query{Msg: &dns.Msg{MsgHeader: dns.MsgHeader{ID: id}}, client: address}})
		return true
	}
	for i := range maxOfSource {
		if !from("10.0.0.1", uint16(i)) {
			t.Fatalf("query %d of a source does not wait", i)
		}
	}
	if from("10.0.0.1", 999) {
		t.Error("a source has more queries waiting than it may have")
	}
	from("10.0.0.2", 100)
	from("fd00::1", 200)
	from("fd00::2", 201) // of the same /64
	var order []uint16
	for w.count > 0 {
		order = append(order, w.next().ID)
	}
	if got, want := fmt.Sprint(order[:6]), "[0 100 200 1 201 2]"; got != want {
		t.Errorf("the first turns are %s, want %s", got, want)
	}
	if len(order) != maxOfSource+3 || len(w.of) != 0 || len(w.turns) != 0 {
		t.Errorf("%d queries had a turn; %d sources are left", len(order), len(w.of))
	}
	for i := range maxWaiting + 10 {
		from(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String(), 0)
	}
	if w.count != maxWaiting {
		t.Errorf("%d queries of as many sources wait", w.count)
	}
}

// arrivedBefore returns a server at which queries have arrived before it reads any.
func arrivedBefore(t *testing.T, send func(s *Server)) *Server {
	t.Helper()
	s, err := Listen(t.Context(), Config{
		Address: netip.MustParseAddrPort("127.0.0.1:0"), Domain: "localhost", Names: names(), Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	send(s)
	serve(t, s)
	return s
}

// client is a socket that sends queries from an address.
type client struct {
	t    *testing.T
	conn *net.UDPConn
}

func newClient(t *testing.T, from string, s *Server) client {
	t.Helper()
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(s.Addr()))
	if err != nil {
		t.Skip(err)
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
		arrivedBefore(t, func(s *Server) {
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
		if most := (storm/packetsAtOnce + 1) * deniedAtOnce; before > most {
			t.Errorf(unknown+": %d of %d were answered before the known name, want at most %d", 0, before, storm, most)
		}
	}
}

func TestStormOfASourceLeavesOtherSourcesTheirAnswers(t *testing.T) {
	var flooding, other client
	s := arrivedBefore(t, func(s *Server) {
		flooding, other = newClient(t, "127.0.0.1", s), newClient(t, "127.0.0.2", s)
		for i := range storm {
			flooding.send("www.example.com", uint16(i))
		}
		other.send("www.example.com", 7)
		other.send("no-such.7d67968.vpc-lattice-svcs.us-west-2.localhost", 8)
	})
	for range 2 {
		switch m := other.receive(); {
		case m.ID == 7 && m.Rcode == dns.RcodeRefused, m.ID == 8 && m.Rcode == dns.RcodeNameError:
		default:
			t.Errorf("the other source gets %s for query %d", text(m), m.ID)
		}
	}
	if s.Dropped() < storm-maxOfSource-(storm/packetsAtOnce+1)*deniedAtOnce {
		t.Errorf("%d queries of the source that floods were dropped", s.Dropped())
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
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err := dialer.DialContext(t.Context(), "tcp", s.Addr().String())
		if err != nil {
			t.Skip(err)
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
