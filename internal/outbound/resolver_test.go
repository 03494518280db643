package outbound

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"trellis/test/trellistest"
)

// nameServer answers queries with addresses, for a TTL.
type nameServer struct {
	address netip.AddrPort

	mu    sync.Mutex // mu guards the fields below.
	now   []netip.Addr
	ttl   uint32
	code  dnsmessage.RCode
	asked int
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{address: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	var serving sync.WaitGroup
	serving.Go(func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var query dnsmessage.Message
			if query.Unpack(buffer[:n]) != nil {
				continue
			}
			response := s.answer(&query)
			wrong := *response
			wrong.ID++ // A response to another query comes first.
			for _, r := range []*dnsmessage.Message{&wrong, response} {
				if packed, err := r.Pack(); err == nil {
					conn.WriteTo(packed, from)
				}
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		serving.Wait()
	})
	return s
}

func (s *nameServer) answer(query *dnsmessage.Message) *dnsmessage.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	r := &dnsmessage.Message{Header: dnsmessage.Header{ID: query.ID, Response: true, RCode: s.code}, Questions: query.Questions}
	name := query.Questions[0].Name
	alias := dnsmessage.MustNewName("alias.test.")
	add := func(owner dnsmessage.Name, kind dnsmessage.Type, ttl uint32, body dnsmessage.ResourceBody) {
		r.Answers = append(r.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: owner, Type: kind, Class: dnsmessage.ClassINET, TTL: ttl}, Body: body})
	}
	if len(s.now) > 0 {
		add(name, dnsmessage.TypeCNAME, s.ttl, &dnsmessage.CNAMEResource{CNAME: alias})
	}
	for _, address := range s.now {
		if address.Is4() && query.Questions[0].Type == dnsmessage.TypeA {
			add(alias, dnsmessage.TypeA, 3600, &dnsmessage.AResource{A: address.As4()})
		}
		if address.Is6() && query.Questions[0].Type == dnsmessage.TypeAAAA {
			add(alias, dnsmessage.TypeAAAA, 3600, &dnsmessage.AAAAResource{AAAA: address.As16()})
		}
	}
	return r
}

func (s *nameServer) set(ttl uint32, code dnsmessage.RCode, addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.ttl, s.code = nil, ttl, code
	for _, text := range addresses {
		s.now = append(s.now, netip.MustParseAddr(text))
	}
}

func (s *nameServer) timesAsked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// lookedUp returns the addresses of db.test, as text.
func lookedUp(t *testing.T, r *Resolver, family string, servers ...netip.AddrPort) (string, error) {
	t.Helper()
	addresses, err := r.Lookup(t.Context(), "db.test", family, servers)
	var texts []string
	for _, address := range addresses {
		texts = append(texts, address.String())
	}
	return strings.Join(texts, " "), err
}

func TestAnswersAboutNamesAreKeptForTheirTTL(t *testing.T) {
	server := newNameServer(t)
	r := NewResolver(server.address)
	server.set(3600, 0, "10.0.0.1", "10.0.0.2", "fd00::1")
	for range 3 {
		if got, err := lookedUp(t, r, "ip4"); got != "10.0.0.1 10.0.0.2" {
			t.Fatalf("the addresses are %q, error %v", got, err)
		}
	}
	if asked := server.timesAsked(); asked != 1 {
		t.Errorf("the server was asked %d times within the TTL", asked)
	}
	if got, err := lookedUp(t, r, "ip6"); got != "fd00::1" {
		t.Errorf("the addresses of IPv6 are %q, error %v", got, err)
	}

	short := NewResolver(server.address)
	server.set(0, 0, "10.0.0.1") // The alias has a TTL of 0.
	lookedUp(t, short, "ip4")
	server.set(1, 0, "10.0.0.9")
	if got, err := lookedUp(t, short, "ip4"); got != "10.0.0.9" {
		t.Errorf("after a change the address is %q, error %v", got, err)
	}
	server.set(1, 0, "10.0.0.8")
	trellistest.Await(t, func() bool { got, _ := lookedUp(t, short, "ip4"); return got == "10.0.0.8" }, "the TTL is over")
}

func TestServersAreAskedInTurnUntilOneAnswers(t *testing.T) {
	broken, good := newNameServer(t), newNameServer(t)
	broken.set(60, dnsmessage.RCodeServerFailure)
	good.set(60, 0, "10.0.0.1")
	r := NewResolver(netip.AddrPort{})
	if got, err := lookedUp(t, r, "ip4", broken.address, good.address); got != "10.0.0.1" {
		t.Errorf("the address is %q, error %v", got, err)
	}
	_, err := lookedUp(t, r, "ip4", broken.address)
	if err == nil || !strings.Contains(err.Error(), broken.address.String()) || !strings.Contains(err.Error(), "SERVFAIL") {
		t.Errorf("error %v, want one with SERVFAIL and the server's address", err)
	}
}

func TestTheSystemsResolverIsAskedWithoutServers(t *testing.T) {
	addresses, err := NewResolver(netip.AddrPort{}).Lookup(t.Context(), "localhost", "ip4", nil)
	if err != nil || !slices.Contains(addresses, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("localhost is %v, error %v", addresses, err)
	}
}

func TestKeptAnswersAreBounded(t *testing.T) {
	r := NewResolver(netip.AddrPort{})
	ended := make(chan struct{})
	close(ended)
	for i := range maxNames {
		r.names[question{name: strings.Repeat("x", i)}] = &answer{done: ended}
	}
	server := newNameServer(t)
	server.set(60, 0, "10.0.0.1")
	lookedUp(t, r, "ip4", server.address)
	if len(r.names) >= maxNames {
		t.Errorf("%d answers are kept", len(r.names))
	}
}
