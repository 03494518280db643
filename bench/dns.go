package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"codeberg.org/miekg/dns"
)

// dnsGoal is how many answers should fit into a second of one core.
const dnsGoal = 20_000

// dnsName is the custom domain name of a service.
const dnsName = "shop.bench.example"

// benchDNS measures the answers of DNS by themselves, and then while others ask for unknown names.
func benchDNS(ctx context.Context, o options, dir string) error {
	s, backend, err := startBackendFor(ctx, o, filepath.Join(dir, "dns"))
	if err != nil {
		return err
	}
	defer backend.stop()
	if s, err = s.forProxy("trellis"); err != nil {
		return err
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	server := loopback(ports[0])
	trellis, api, err := startTrellisOnCore(ctx, o.trellis, s, "--dns-addr", server)
	if err != nil {
		return err
	}
	defer trellis.stop()
	defer api.close()
	b := builder{api: api, setting: s}
	generated, err := b.buildHTTP(ctx)
	if err == nil {
		_, err = b.createService(ctx, object{"name": "shop", "customDomainName": dnsName})
	}
	var association resource
	if err == nil {
		association, err = b.buildResource(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, trellis.output)
	}
	fmt.Printf("\ndns: answers over UDP on one core, 16 clients at a time (goal: %d answers in a second of the core)\n\n", dnsGoal)
	fmt.Printf("| %-34s | %10s | %14s | %9s | %9s | %5s |\n|%s|\n", "names", "CPU/answer", "in a second of", "p50", "p99", "lost",
		"------------------------------------|------------|----------------|-----------|-----------|-------")
	known := askFor(dns.TypeA, generated)
	for _, kind := range []struct {
		title string
		query func(i int) []byte
	}{
		{"a service", known},
		{"a custom domain name", askFor(dns.TypeA, dnsName)},
		{"a resource", askFor(dns.TypeA, association.DNSEntry.DomainName)},
		{"names that do not exist", unknown},
		{"a name of somebody else", askFor(dns.TypeA, "www.example.com")},
	} {
		before, err := trellis.cpu()
		if err != nil {
			return err
		}
		a, err := askMany(ctx, server, 16, time.Duration(o.rounds)*o.duration/4, kind.query)
		if err != nil {
			return err
		}
		after, err := trellis.cpu()
		if err != nil {
			return err
		}
		each := (after - before) / time.Duration(max(len(a.times), 1))
		fmt.Printf("| %-34s | %7.2f us | %14.0f | %9s | %9s | %5d |\n", kind.title, microseconds(each), 1/each.Seconds(), latency(a.quantile(0.5)), latency(a.quantile(0.99)), a.lost)
	}
	for _, storm := range []struct {
		title string
		run   func(ctx context.Context) error
	}{
		{"a service, alone", func(context.Context) error { return nil }},
		{"and 64 clients with unknown names", func(ctx context.Context) error {
			_, err := askMany(ctx, server, 64, time.Hour, unknown)
			return err
		}},
		{"and a flood of unknown names", func(ctx context.Context) error { return flood(ctx, server) }},
	} {
		stormy, end := context.WithCancel(ctx)
		var storming sync.WaitGroup
		var failed error
		storming.Go(func() { failed = storm.run(stormy) })
		a, err := askMany(ctx, server, 1, time.Duration(o.rounds)*o.duration/4, known)
		end()
		storming.Wait()
		if err != nil || failed != nil {
			return fmt.Errorf("%s: %w, %w", storm.title, err, failed)
		}
		fmt.Printf("| %-34s | %10s | %14s | %9s | %9s | %5d |\n", storm.title, "-", "-", latency(a.quantile(0.5)), latency(a.quantile(0.99)), a.lost)
	}
	fmt.Println()
	return nil
}

// askFor returns queries for one name.
func askFor(kind uint16, name string) func(int) []byte {
	m := dns.NewMsg(name+".", kind)
	if err := m.Pack(); err != nil {
		return func(int) []byte { return nil } // Without answers, the figures show the failure.
	}
	return func(int) []byte { return slices.Clone(m.Data) }
}

// unknown returns queries for names that do not exist, each for a different one.
func unknown(i int) []byte {
	return askFor(dns.TypeA, fmt.Sprintf("no-%d.7d67968.vpc-lattice-svcs.us-west-2.localhost", i))(i)
}

// answers are what clients have seen.
type answers struct {
	times []time.Duration
	lost  int
}

func (a *answers) quantile(q float64) time.Duration {
	if len(a.times) == 0 {
		return 0
	}
	slices.Sort(a.times)
	return a.times[int(q*float64(len(a.times)-1))]
}

// askMany has clients ask, each as soon as it has its answer, until the time is over.
func askMany(ctx context.Context, server string, clients int, duration time.Duration, query func(int) []byte) (*answers, error) {
	end := time.Now().Add(duration)
	var all answers
	var failed error
	var mu sync.Mutex // mu guards all and failed.
	var asking sync.WaitGroup
	for client := range clients {
		asking.Go(func() {
			own, err := askUntil(ctx, server, end, func(i int) []byte { return query(client + clients*i) })
			mu.Lock()
			defer mu.Unlock()
			all.times, all.lost = append(all.times, own.times...), all.lost+own.lost
			if err != nil {
				failed = err
			}
		})
	}
	asking.Wait()
	return &all, failed
}

func askUntil(ctx context.Context, server string, end time.Time, query func(int) []byte) (own answers, err error) {
	conn, err := net.Dial("udp", server)
	if err != nil {
		return own, err
	}
	defer conn.Close()
	buffer := make([]byte, 1500)
	for i := 0; time.Now().Before(end) && ctx.Err() == nil; i++ {
		message := query(i)
		message[0], message[1] = byte(i>>8), byte(i)
		began := time.Now()
		conn.SetDeadline(began.Add(time.Second))
		if _, err := conn.Write(message); err != nil {
			return own, err
		}
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				own.lost++
				break
			}
			if n > 2 && buffer[0] == message[0] && buffer[1] == message[1] { // A later answer does not count.
				own.times = append(own.times, time.Since(began))
				break
			}
		}
	}
	return own, nil
}

// flood sends queries without waiting for answers.
func flood(ctx context.Context, server string) error {
	conn, err := net.Dial("udp", server)
	if err != nil {
		return err
	}
	defer conn.Close()
	messages := make([][]byte, 1000)
	for i := range messages {
		messages[i] = unknown(i)
	}
	for i := 0; ctx.Err() == nil; i++ {
		// What the kernel does not take is lost, as on a network.
		_, _ = conn.Write(messages[i%len(messages)])
	}
	return nil
}
