package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"codeberg.org/miekg/dns"
)

const (
	// serverTimeout is how long one DNS server may take before the next one is asked.
	serverTimeout = 2 * time.Second
	// systemTTL is how long an answer of the system's resolver is kept. That resolver does not say how long it is valid
	//
	systemTTL = 5 * time.Second
	// maxTTL bounds how long an answer is kept, whatever its TTL. failedTTL is how long a failure is kept.
	maxTTL    = time.Hour
	failedTTL = time.Second
	// maxNames is how many answers are kept.
	maxNames = 4096
	// maxUDPBytes is the largest answer that is read. AWS's own bound is 8.4 KB (UG resource-gateway).
	maxUDPBytes = 8400
)

// Resolver finds the addresses of names, and keeps them for as long as they are valid. Its methods may be called from any
// goroutine.
type Resolver struct {
	// server is asked if a look-up gives no others. The zero value means the system's resolver.
	server netip.AddrPort

	mu    sync.Mutex // mu guards the field below.
	names map[question]*answer
}

// question is a name and the servers that are asked for it.
type question struct{ name, family, servers string }

// answer is the result of a question, complete once done is closed.
type answer struct {
	done      chan struct{}
	addresses []netip.Addr
	err       error
	until     time.Time
}

// NewResolver returns a resolver that asks a server if a look-up gives no others. The zero value means the system's resolver.
func NewResolver(server netip.AddrPort) *Resolver {
	return &Resolver{server: server, names: map[question]*answer{}}
}

// Lookup returns the addresses of a name, "ip4" or "ip6" ones. It asks the servers in turn until one answers.
func (r *Resolver) Lookup(ctx context.Context, name, family string, servers []netip.AddrPort) ([]netip.Addr, error) {
	if len(servers) == 0 && r.server.IsValid() {
		servers = []netip.AddrPort{r.server}
	}
	q := question{name, family, fmt.Sprint(servers)}
	r.mu.Lock()
	a := r.names[q]
	if a != nil {
		select {
		case <-a.done:
			if !time.Now().Before(a.until) {
				a = nil
			}
		default: // Another goroutine is asking already.
		}
	}
	mine := a == nil
	if mine {
		r.makeRoom()
		a = &answer{done: make(chan struct{})}
		r.names[q] = a
	}
	r.mu.Unlock()
	if mine {
		// Others may be waiting for the answer, so the look-up does not end with its first client.
		a.addresses, a.until, a.err = resolve(context.WithoutCancel(ctx), name, family, servers)
		close(a.done)
	}
	select {
	case <-a.done:
		return a.addresses, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// makeRoom forgets expired answers, and others if that is not enough. The caller holds r.mu.
func (r *Resolver) makeRoom() {
	if len(r.names) < maxNames {
		return
	}
	now := time.Now()
	for q, a := range r.names {
		select {
		case <-a.done:
			if now.After(a.until) || len(r.names) >= maxNames {
				delete(r.names, q)
			}
		default:
		}
	}
}

func resolve(ctx context.Context, name, family string, servers []netip.AddrPort) ([]netip.Addr, time.Time, error) {
	if len(servers) == 0 {
		ctx, cancel := context.WithTimeout(ctx, 2*serverTimeout)
		defer cancel()
		// The name has no dot at its end, since the hosts file would not count then: it is looked up as any program here would
		// do it.
		addresses, err := net.DefaultResolver.LookupNetIP(ctx, family, name)
		if err != nil {
			return nil, time.Now().Add(failedTTL), err
		}
		for i := range addresses {
			addresses[i] = addresses[i].Unmap()
		}
		return addresses, time.Now().Add(systemTTL), nil
	}
	var problems []error
	for _, server := range servers {
		addresses, ttl, err := ask(ctx, name, family, server)
		if err == nil {
			return addresses, time.Now().Add(ttl), nil
		}
		problems = append(problems, fmt.Errorf("asking %s for %s: %w", server, name, err))
	}
	return nil, time.Now().Add(failedTTL), errors.Join(problems...)
}

// ask asks one server, over UDP alone, as AWS does (UG resource-gateway). The server has to follow aliases itself.
func ask(ctx context.Context, name, family string, server netip.AddrPort) ([]netip.Addr, time.Duration, error) {
	asked := uint16(dns.TypeA)
	if family == "ip6" {
		asked = dns.TypeAAAA
	}
	query := dns.NewMsg(name+".", asked)
	if query == nil {
		return nil, 0, errors.New("the name is not valid")
	}
	query.ID, query.RecursionDesired, query.UDPSize = dns.ID(), true, maxUDPBytes
	if err := query.Pack(); err != nil {
		return nil, 0, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", server.String())
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(serverTimeout))
	if _, err := conn.Write(query.Data); err != nil {
		return nil, 0, err
	}
	buffer := make([]byte, maxUDPBytes)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return nil, 0, err
		}
		response := &dns.Msg{Data: buffer[:n]}
		if response.Unpack() != nil || !response.Response || response.ID != query.ID {
			continue // The response is forged, or late.
		}
		return addressesIn(response)
	}
}

// addressesIn returns the addresses of a response, and how long they are valid.
func addressesIn(response *dns.Msg) ([]netip.Addr, time.Duration, error) {
	switch {
	case response.Rcode != dns.RcodeSuccess:
		return nil, 0, fmt.Errorf("the answer is %s", dns.RcodeToString[response.Rcode])
	case response.Truncated:
		return nil, 0, errors.New("the answer is too large for UDP")
	}
	ttl := maxTTL
	var addresses []netip.Addr
	for _, record := range response.Answer {
		ttl = min(ttl, time.Duration(record.Header().TTL)*time.Second)
		switch record := record.(type) {
		case *dns.A:
			addresses = append(addresses, record.Addr.Unmap())
		case *dns.AAAA:
			addresses = append(addresses, record.Addr)
		}
	}
	if len(addresses) == 0 {
		return nil, failedTTL, nil
	}
	return addresses, ttl, nil
}
