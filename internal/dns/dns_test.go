package dns

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"codeberg.org/miekg/dns"
)

// table has names for the server, without routing.
type table struct {
	mu      sync.Mutex
	entries map[string]Entry
}

func (t *table) Find(name string, client netip.Addr) (Entry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries[name]
	return e, ok
}

func (t *table) set(name string, e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries[name] = e
}

const (
	serviceName  = "orders-0123456789abcdef0.7d67968.vpc-lattice-svcs.us-west-2.localhost"
	resourceName = "snra-0123456789abcdef0.rcfg-0123456789abcdef0.4232ccc.vpc-lattice-rsc.us-west-2.localhost"
)

func names() *table {
	return &table{entries: map[string]Entry{
		serviceName:             {},
		"shop.example.com":      {Canonical: serviceName},
		resourceName:            {Addresses: []netip.Addr{netip.MustParseAddr("127.89.0.7"), netip.MustParseAddr("fd00::7")}},
		"many.internal.example": {Addresses: addresses(100)},
	}}
}

func addresses(n int) (list []netip.Addr) {
	for i := range n {
		list = append(list, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}))
	}
	return list
}

func start(t testing.TB, change func(*Config)) *Server {
	t.Helper()
	cfg := Config{Address: netip.MustParseAddrPort("127.0.0.1:0"), Domain: "localhost", Names: names(), Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	if change != nil {
		change(&cfg)
	}
	s, err := Listen(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s)
	return s
}

// serve runs a server until the end of the test.
func serve(t testing.TB, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func ask(t testing.TB, s *Server, network, name string, kind uint16, change func(*dns.Msg)) *dns.Msg {
	t.Helper()
	m := dns.NewMsg(strings.TrimSuffix(name, ".")+".", kind)
	m.ID = dns.ID()
	if change != nil {
		change(m)
	}
	transport := dns.NewTransport()
	transport.ReadTimeout = 5 * time.Second
	client := &dns.Client{Transport: transport}
	var r *dns.Msg
	var err error
	for range 5 { // A packet may get lost when the machine is busy.
		if r, _, err = client.Exchange(t.Context(), m, network, s.Addr().String()); err == nil {
			return r
		}
	}
	t.Fatalf("%s %s over %s: %v", name, dns.TypeToString[kind], network, err)
	return nil
}

// text writes a response in one line: its code, whether it is authoritative, its answers, and those of the authority
// section in brackets.
func text(r *dns.Msg) string {
	parts := []string{dns.RcodeToString[r.Rcode]}
	if r.Authoritative {
		parts = append(parts, "aa")
	}
	if r.Truncated {
		parts = append(parts, "tc")
	}
	record := func(rr dns.RR) string {
		fields := strings.Fields(rr.String()) // name, TTL, class, type, data
		return strings.Join(append([]string{fields[0], fields[3]}, fields[4:]...), " ")
	}
	for _, rr := range r.Answer {
		parts = append(parts, record(rr)+";")
	}
	for _, rr := range r.Ns {
		fields := strings.Fields(rr.String())
		parts = append(parts, "["+fields[0]+" "+fields[3]+"]")
	}
	return strings.Join(parts, " ")
}

// answerCase is a line of testdata/answers.txt.
type answerCase struct{ name, kind, want string }

func cases(t *testing.T) (list []answerCase) {
	t.Helper()
	file, err := os.Open("testdata/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		question, want, ok := strings.Cut(line, " => ")
		fields := strings.Fields(question)
		if !ok || len(fields) != 2 {
			t.Fatalf("malformed case %q", line)
		}
		list = append(list, answerCase{fields[0], fields[1], want})
	}
	if len(list) < 20 {
		t.Fatalf("only %d cases were read", len(list))
	}
	return list
}

// The table in testdata has the answer to each kind of name, over both protocols.
func TestEachKindOfNameIsAnsweredAsTheTableSays(t *testing.T) {
	s := start(t, nil)
	for _, c := range cases(t) {
		for _, network := range []string{"udp", "tcp"} {
			if got := text(ask(t, s, network, c.name, dns.StringToType[c.kind], nil)); got != c.want {
				t.Errorf("%s %s over %s:\n got %s\nwant %s", c.name, c.kind, network, got, c.want)
			}
		}
	}
}

func TestLargeAnswerIsCutOverUDPAndWholeOverTCP(t *testing.T) {
	s := start(t, nil)
	small := ask(t, s, "udp", "many.internal.example", dns.TypeA, nil)
	if !small.Truncated || len(small.Answer) != 0 || len(small.Data) > 512 {
		t.Errorf("100 addresses over UDP: truncated %t, %d answers, %d bytes; want a cut one of 512 bytes at most",
			small.Truncated, len(small.Answer), len(small.Data))
	}
	whole := ask(t, s, "tcp", "many.internal.example", dns.TypeA, nil)
	if whole.Truncated || len(whole.Answer) != 100 {
		t.Errorf("100 addresses over TCP: truncated %t, %d answers; want all", whole.Truncated, len(whole.Answer))
	}
}

func TestClientThatKnowsEDNSGetsLargerResponses(t *testing.T) {
	entries := names()
	entries.set("some.internal.example", Entry{Addresses: addresses(40)}) // Some 700 bytes.
	s := start(t, func(cfg *Config) { cfg.Names = entries })
	r := ask(t, s, "udp", "some.internal.example", dns.TypeA, func(m *dns.Msg) { m.UDPSize = 4096 })
	if r.Truncated || len(r.Answer) != 40 || r.UDPSize != maxUDPBytes {
		t.Errorf("truncated %t, %d answers, UDP size %d; want 40 answers and %d", r.Truncated, len(r.Answer), r.UDPSize, maxUDPBytes)
	}
}

func TestUnsupportedQueriesGetAnError(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct {
		name   string
		change func(*dns.Msg)
		want   uint16
	}{
		{"an update", func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }, dns.RcodeNotImplemented},
		{"another class", func(m *dns.Msg) { m.Question[0].Header().Class = dns.ClassCHAOS }, dns.RcodeRefused},
		{"a transfer", func(m *dns.Msg) {
			m.Question = []dns.RR{&dns.AXFR{Hdr: dns.Header{Name: "example.com.", Class: dns.ClassINET}}}
		}, dns.RcodeRefused},
	} {
		if r := ask(t, s, "udp", serviceName, dns.TypeA, c.change); r.Rcode != c.want {
			t.Errorf("%s: %s, want %s", c.name, dns.RcodeToString[r.Rcode], dns.RcodeToString[c.want])
		}
	}
}

func TestGarbageIsAnsweredAtMostWithAnError(t *testing.T) {
	s := start(t, nil)
	conn, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Less than a head, and a response: neither gets an answer, or two servers could answer each other endlessly.
	conn.Write([]byte("short"))
	conn.Write([]byte{1, 2, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	// A head that promises a question.
	conn.Write([]byte{0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	buffer := make([]byte, 512)
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	if n < headerBytes || buffer[0] != 0xab || buffer[1] != 0xcd || buffer[3]&0xf != dns.RcodeFormatError {
		t.Errorf("the first response is %x, want FORMERR to the third message", buffer[:n])
	}
}

func TestAnswersFollowAChangeAtOnce(t *testing.T) {
	entries := names()
	s := start(t, func(cfg *Config) { cfg.Names = entries })
	if r := ask(t, s, "udp", "new.example.com", dns.TypeA, nil); r.Rcode != dns.RcodeRefused {
		t.Fatalf("a name that is not there yet: %s", dns.RcodeToString[r.Rcode])
	}
	entries.set("new.example.com", Entry{})
	if r := ask(t, s, "udp", "new.example.com", dns.TypeA, nil); len(r.Answer) != 1 {
		t.Errorf("a name that has just come has %d answers", len(r.Answer))
	}
}

// A server that is bound to all addresses names the address that its client has asked, and sends from it.
func TestServerOnAllAddressesAnswersFromTheAddressThatWasAsked(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "[::]:0"} {
		s := start(t, func(cfg *Config) { cfg.Address, cfg.Addresses = netip.MustParseAddrPort(address), nil })
		port := fmt.Sprint(s.Addr().Port())
		for _, network := range []string{"udp", "tcp"} {
			locals := []string{"127.0.0.1", "127.0.0.2"}
			if address == "[::]:0" {
				locals = append(locals, "::1")
			}
			for _, local := range locals {
				kind := dns.TypeA
				if local == "::1" {
					kind = dns.TypeAAAA
				}
				m := dns.NewMsg(serviceName+".", kind)
				m.ID = dns.ID()
				// A connected socket takes nothing from another address.
				r, err := dns.Exchange(t.Context(), m, network, net.JoinHostPort(local, port))
				if err != nil {
					t.Errorf("%s, %s over %s: %v", address, local, network, err)
				} else if got := text(r); !strings.HasSuffix(got, " "+local+";") {
					t.Errorf("%s, %s over %s: %s", address, local, network, got)
				}
			}
		}
	}
}

func TestOtherNamesAreForwarded(t *testing.T) {
	other := start(t, func(cfg *Config) {
		cfg.Names = &table{entries: map[string]Entry{
			"elsewhere.example.org": {Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
			"large.example.org":     {Addresses: addresses(100)},
		}}
	})
	dead := netip.MustParseAddrPort(unused(t))
	s := start(t, func(cfg *Config) { cfg.Forward = []netip.AddrPort{dead, other.Addr()} })
	for _, network := range []string{"udp", "tcp"} {
		r := ask(t, s, network, "elsewhere.example.org", dns.TypeA, nil)
		if len(r.Answer) != 1 || r.Answer[0].(*dns.A).Addr.String() != "192.0.2.1" {
			t.Errorf("over %s: %s", network, text(r))
		}
	}
	if r := ask(t, s, "udp", "large.example.org", dns.TypeA, nil); !r.Truncated {
		t.Error("a cut answer of another server is passed on as a whole one")
	}
	if r := ask(t, s, "tcp", "large.example.org", dns.TypeA, nil); len(r.Answer) != 100 {
		t.Errorf("%d answers of another server came over TCP, want 100", len(r.Answer))
	}
	if r := ask(t, s, "udp", serviceName, dns.TypeA, nil); !r.Authoritative {
		t.Error("a name of our own is forwarded")
	}
	if r := ask(t, s, "udp", "elsewhere.example.org", dns.TypeA, func(m *dns.Msg) { m.RecursionDesired = false }); r.Rcode != dns.RcodeRefused {
		t.Errorf("a query that wants no recursion: %s, want REFUSED", dns.RcodeToString[r.Rcode])
	}
}

// unused returns an address where nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().String()
}

func TestUnknownNamesDoNotDelayKnownOnes(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0") // Never answers.
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s := start(t, func(cfg *Config) {
		cfg.Forward = []netip.AddrPort{netip.MustParseAddrPort(silent.LocalAddr().String())}
	})
	conn, err := net.Dial("udp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 2 * maxForwarded {
		m := dns.NewMsg(fmt.Sprintf("unknown-%d.example.org.", i), dns.TypeA)
		m.ID = uint16(i)
		if err := m.Pack(); err != nil {
			t.Fatal(err)
		}
		conn.Write(m.Data)
	}
	if r := ask(t, s, "udp", serviceName, dns.TypeA, nil); len(r.Answer) != 1 {
		t.Errorf("%s, while others wait", text(r))
	}
}

func TestIdleConnectionsDoNotKeepTheServerFromEnding(t *testing.T) {
	s := start(t, nil)
	for range 20 {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	ask(t, s, "tcp", serviceName, dns.TypeA, nil) // The cleanup of start waits for Serve.
}

func TestGoResolverFindsAService(t *testing.T) {
	s := start(t, nil)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, s.Addr().String())
	}}
	got, err := resolver.LookupHost(t.Context(), "shop.example.com.")
	if err != nil || !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("shop.example.com is %v, %v", got, err)
	}
	name, err := resolver.LookupCNAME(t.Context(), "shop.example.com.")
	if err != nil || name != serviceName+"." {
		t.Errorf("the canonical name of shop.example.com is %q, %v", name, err)
	}
}

func FuzzQuery(f *testing.F) {
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSOA, dns.TypeANY} {
		for _, name := range []string{serviceName, resourceName, strings.ToUpper(resourceName), "db.example.com", "rcfg-0123456789abcdef0.4232ccc.vpc-lattice-rsc.us-west-2.localhost"} {
			m := dns.NewMsg(name+".", kind)
			m.UDPSize = 4096
			if err := m.Pack(); err != nil {
				f.Fatal(err)
			}
			f.Add(m.Data)
		}
	}
	f.Add([]byte{0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	s := &Server{cfg: Config{Domain: "localhost", Names: names()}}
	known := []netip.Addr{netip.MustParseAddr("127.0.0.1")} // Where the query has arrived.
	for _, e := range names().entries {
		known = append(known, e.Addresses...)
	}
	f.Fuzz(func(t *testing.T, query_ []byte) {
		m, ok := read(slices.Clone(query_))
		if !ok {
			if m != nil {
				checkResponse(t, m, query_, minUDPBytes)
			}
			return
		}
		q := query{Msg: m, client: netip.MustParseAddr("127.0.0.1"), local: netip.MustParseAddr("127.0.0.1")}
		if name, _, exists := s.lookup(q); exists {
			if seen, ok := nameIn(query_); !ok || seen != name {
				t.Errorf("the query for %q seems to be for %q", name, seen)
			}
		}
		r, _ := s.answer(q)
		if checkResponse(t, r, query_, udpLimit(m)); r == nil {
			return
		}
		for _, record := range r.Answer {
			if a, ok := record.(*dns.A); ok && !slices.Contains(known, a.Addr) {
				t.Errorf("the address %s is nobody's", a.Addr)
			}
		}
	})
}

// checkResponse checks that a response can be read, is to the query, and is no larger than its client takes.
func checkResponse(t *testing.T, r *dns.Msg, query []byte, limit int) {
	bytes, err := pack(r, limit)
	if err != nil {
		t.Fatalf("a response to %x cannot be packed: %v", query, err)
	}
	if len(bytes) > limit {
		t.Fatalf("a response to %x has %d bytes, want at most %d", query, len(bytes), limit)
	}
	back := &dns.Msg{Data: bytes}
	if err := back.Unpack(); err != nil {
		t.Fatalf("the response %x to %x cannot be read: %v", bytes, query, err)
	}
	if !back.Response || bytes[0] != query[0] || bytes[1] != query[1] {
		t.Fatalf("%x is no response to %x", bytes, query)
	}
}

func BenchmarkAnswer(b *testing.B) {
	s := &Server{cfg: Config{Domain: "localhost", Names: names(), Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}}
	m := dns.NewMsg("shop.example.com.", dns.TypeA)
	m.UDPSize = 1232
	if err := m.Pack(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m, ok := read(m.Data)
		if !ok {
			b.Fatal("no query")
		}
		r, _ := s.answer(query{Msg: m})
		if _, err := pack(r, udpLimit(m)); err != nil {
			b.Fatal(err)
		}
	}
}
