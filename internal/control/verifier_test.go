package control

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// dnsServer is a DNS server on the loopback that knows TXT records.
type dnsServer struct {
	conn net.PacketConn

	mu sync.Mutex
	// mu guards the fields below.
	records map[string][]string // by name, with its final dot
	asked   map[string]int
}

func newDNSServer(t *testing.T) *dnsServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dnsServer{conn: conn, records: map[string][]string{}, asked: map[string]int{}}
	var serving sync.WaitGroup
	serving.Go(s.serve)
	t.Cleanup(func() {
		conn.Close()
		serving.Wait()
	})
	return s
}

func (s *dnsServer) serve() {
	buffer := make([]byte, 4096)
	for {
		n, from, err := s.conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var query dnsmessage.Message
		if query.Unpack(buffer[:n]) != nil || len(query.Questions) != 1 {
			continue
		}
		if answer, err := s.answer(query).Pack(); err == nil {
			s.conn.WriteTo(answer, from)
		}
	}
}

func (s *dnsServer) answer(query dnsmessage.Message) *dnsmessage.Message {
	question := query.Questions[0]
	answer := &dnsmessage.Message{
		Header:    dnsmessage.Header{ID: query.ID, Response: true, RecursionDesired: query.RecursionDesired, RecursionAvailable: true},
		Questions: query.Questions,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := question.Name.String()
	s.asked[name]++
	values, ok := s.records[name]
	if !ok {
		answer.RCode = dnsmessage.RCodeNameError
	}
	if question.Type == dnsmessage.TypeTXT {
		for _, value := range values {
			answer.Answers = append(answer.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET, TTL: 60},
				Body:   &dnsmessage.TXTResource{TXT: []string{value}},
			})
		}
	}
	return answer
}

func (s *dnsServer) publish(name string, values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[name] = values
}

func (s *dnsServer) timesAsked(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

func TestDomainIsVerifiedByTheRecordThatADNSServerHas(t *testing.T) {
	server := newDNSServer(t)
	c, caller := newTestControl(Config{Resolver: NewResolver(server.conn.LocalAddr().String())})
	var now clock
	c.Now = now.now
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	defer running.Wait()
	defer stop()

	started, err := c.StartDomainVerification(t.Context(), caller, &shape.StartDomainVerificationRequest{DomainName: ptr("example.com")})
	if err != nil {
		t.Fatal(err)
	}
	name := *started.TxtMethodConfig.Name + ".example.com."
	status := func() shape.VerificationStatus {
		out, err := c.GetDomainVerification(t.Context(), caller, &shape.GetDomainVerificationRequest{DomainVerificationIdentifier: started.Id})
		if err != nil {
			t.Fatal(err)
		}
		return out.Status
	}
	eventually(t, func() bool { return server.timesAsked(name) > 0 })
	if got := status(); got != shape.VerificationStatusPending {
		t.Errorf("without a record, the domain is %s", got)
	}
	server.publish(name, "something else", *started.TxtMethodConfig.Value)
	now.advance(minLookupInterval)
	c.verifier.signal()
	eventually(t, func() bool { return status() == shape.VerificationStatusVerified })
}

// clock is a time that a test sets forward.
type clock struct {
	mu sync.Mutex
	// mu guards the fields below.
	passed time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return testEpoch.Add(c.passed)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += d
}

func TestLookUpsOfARecordBecomeRarerUntilTheTimeout(t *testing.T) {
	c, caller := newTestControl(Config{})
	var now clock
	c.Now = now.now
	started, err := c.StartDomainVerification(t.Context(), caller, &shape.StartDomainVerificationRequest{DomainName: ptr("example.com")})
	if err != nil {
		t.Fatal(err)
	}
	name := *started.TxtMethodConfig.Name + ".example.com."
	// Only this verification is looked at, since other tests leave theirs behind.
	var asked []time.Duration
	c.Resolver = &recordingResolver{name: name, asked: func() { asked = append(asked, now.now().Sub(testEpoch)) }}
	const step = 30 * time.Second
	for range 4 * 24 * time.Hour / step {
		c.verifyDue(t.Context())
		now.advance(step)
	}
	for i := 1; i < len(asked); i++ {
		interval := asked[i] - asked[i-1]
		if interval < minLookupInterval || interval > maxLookupInterval+step {
			t.Fatalf("look-ups %d and %d are %s apart", i-1, i, interval)
		}
	}
	if last := asked[len(asked)-1]; last >= lattice.VerificationTimeout || last < lattice.VerificationTimeout-maxLookupInterval-step {
		t.Errorf("the last look-up was after %s", last)
	}
	if len(asked) < 400 || len(asked) > 600 {
		t.Errorf("there were %d look-ups in three days", len(asked))
	}
}

// recordingResolver finds nothing, and notes when it was asked for a name.
type recordingResolver struct {
	name  string
	asked func()
}

func (r *recordingResolver) LookupTXT(_ context.Context, name string) ([]string, error) {
	if name == r.name {
		r.asked()
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// silentResolver never answers.
type silentResolver struct{}

func (silentResolver) LookupTXT(ctx context.Context, _ string) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestVerifierStopsWhileAResolverIsSilent(t *testing.T) {
	c, caller := newTestControl(Config{Resolver: silentResolver{}})
	if _, err := c.StartDomainVerification(t.Context(), caller, &shape.StartDomainVerificationRequest{DomainName: ptr("example.com")}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.verifyDomains(ctx) })
	stop()
	running.Wait()
}

func TestVerificationOfADeletedDomainLeavesNothing(t *testing.T) {
	c, caller := newTestControl(Config{})
	started, err := c.StartDomainVerification(t.Context(), caller, &shape.StartDomainVerificationRequest{DomainName: ptr("example.com")})
	if err != nil {
		t.Fatal(err)
	}
	key := lattice.DomainVerificationKey(caller.Scope(), *started.Id)
	var d *lattice.DomainVerification
	c.Catalog.Read(func(v catalog.View) { d, _ = catalog.Get[*lattice.DomainVerification](v, key) })
	c.Resolver = scriptedRecords{d.RecordName(): {d.TXTValue}}
	if _, err := c.DeleteDomainVerification(t.Context(), caller, &shape.DeleteDomainVerificationRequest{DomainVerificationIdentifier: started.Id}); err != nil {
		t.Fatal(err)
	}
	c.verify(t.Context(), d) // As it was found before the deletion.
	c.Catalog.Read(func(v catalog.View) {
		if _, ok := v.Get(key); ok {
			t.Error("the verification has come back")
		}
	})
}
