package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// maker is a server whose rate of creating target groups is measured, with a number of clients at the same time.
type maker struct {
	name    string
	clients int
	start   func(ctx context.Context, dir string) (apiServer, error)
}

// apiServer is a running server of the API.
type apiServer struct {
	process *process
	address string
	keys    keys
}

// creation is the result of one round.
type creation struct {
	perSecond            float64
	p50, p99             time.Duration
	serverCPU, clientCPU time.Duration // how long one creation takes
}

// benchCreates measures how fast a durable Trellis creates target groups, and a moto server, which keeps them in
// memory only. For Trellis, each response means that the record is on the disk, in the replica and known to the data
// plane. Server and clients share all cores.
func benchCreates(ctx context.Context, o options, dir string) error {
	trellis := func(ctx context.Context, dir string) (apiServer, error) { return startForCreates(ctx, o.trellis, dir) }
	makers := []maker{{"Trellis", 1, trellis}, {"Trellis", 16, trellis}}
	if o.against != "" {
		other := func(ctx context.Context, dir string) (apiServer, error) { return startForCreates(ctx, o.against, dir) }
		makers = append(makers, maker{"other", 1, other}, maker{"other", 16, other})
	}
	moto, err := ensurePython(ctx, "moto", motoPackage)
	if err == nil {
		start := func(ctx context.Context, _ string) (apiServer, error) { return startMoto(ctx, moto) }
		makers = append(makers, maker{"moto", 1, start}, maker{"moto", 16, start})
	} else {
		fmt.Println("moto is not available:", err)
	}
	rounds := make([][]creation, len(makers))
	for round := range o.rounds {
		for i, m := range makers {
			progress("round %d of %d: %s, %d clients", round+1, o.rounds, m.name, m.clients)
			// Every round starts with an empty store.
			c, err := createTargetGroups(ctx, o, filepath.Join(dir, fmt.Sprintf("creates-%d-%d", i, round)), m)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			rounds[i] = append(rounds[i], c)
		}
	}

	fmt.Printf("\nCreateTargetGroup, signed requests; Trellis durable, moto in memory; medians of %d rounds of %v\n\n", o.rounds, o.duration)
	fmt.Printf("| %-7s | %7s | %9s | %8s | %8s | %10s | %10s |\n", "server", "clients", "creates/s", "p50", "p99", "server CPU", "client CPU")
	fmt.Printf("|---------|---------|-----------|----------|----------|------------|------------|\n")
	rates := make(map[string]float64) // with the most clients
	for i, m := range makers {
		c := creation{
			perSecond: medianOf(rounds[i], func(c creation) float64 { return c.perSecond }),
			p50:       medianOf(rounds[i], func(c creation) time.Duration { return c.p50 }),
			p99:       medianOf(rounds[i], func(c creation) time.Duration { return c.p99 }),
			serverCPU: medianOf(rounds[i], func(c creation) time.Duration { return c.serverCPU }),
			clientCPU: medianOf(rounds[i], func(c creation) time.Duration { return c.clientCPU }),
		}
		rates[m.name] = c.perSecond
		fmt.Printf("| %-7s | %7d | %9.0f | %5.2f ms | %5.2f ms | %7.0f us | %7.0f us |\n", m.name, m.clients,
			c.perSecond, milliseconds(c.p50), milliseconds(c.p99), microseconds(c.serverCPU), microseconds(c.clientCPU))
	}
	if moto := rates["moto"]; moto > 0 {
		fmt.Printf("\nwith 16 clients Trellis makes %.1f times moto's rate (goal: 15)\n", rates["Trellis"]/moto)
	}
	fmt.Println()
	return nil
}

func startForCreates(ctx context.Context, program, dir string) (apiServer, error) {
	ports, err := freePorts(2)
	if err != nil {
		return apiServer{}, err
	}
	// AWS's quota of target groups would end the measurement within a second.
	p, api, err := startTrellis(ctx, "", nil, program, dir, ports[0], ports[1], "--quotas", "targetGroupsPerRegion=10000000")
	if err != nil {
		return apiServer{}, err
	}
	defer api.close()
	return apiServer{p, api.address, api.keys}, nil
}

func startMoto(ctx context.Context, dir string) (apiServer, error) {
	ports, err := freePorts(1)
	if err != nil {
		return apiServer{}, err
	}
	p, err := start("", nil, filepath.Join(dir, "bin/python"), "-m", "moto.server", "-H", "127.0.0.1", "-p", fmt.Sprint(ports[0]))
	if err != nil {
		return apiServer{}, err
	}
	if err := p.awaitPort(ctx, ports[0]); err != nil {
		p.stop()
		return apiServer{}, err
	}
	return apiServer{p, loopback(ports[0]), keys{"AKIAIOSFODNN7EXAMPLE", "any"}}, nil
}

func createTargetGroups(ctx context.Context, o options, dir string, m maker) (creation, error) {
	server, err := m.start(ctx, dir)
	if err != nil {
		return creation{}, err
	}
	defer server.process.stop()
	clients := make([]*apiClient, m.clients)
	for i := range clients {
		clients[i] = newAPIClient(server.address, server.keys)
		defer clients[i].close()
	}
	// The first creations run on cold caches.
	if _, err := createFor(ctx, time.Second/2, "warm-up", clients); err != nil {
		return creation{}, fmt.Errorf("%w\n%s", err, server.process.output)
	}
	serverBefore, clientBefore, began := server.process.lifetimeCPU(), ownCPU(), time.Now()
	latencies, err := createFor(ctx, o.duration, "bench", clients)
	took, clientAfter, serverAfter := time.Since(began), ownCPU(), server.process.lifetimeCPU()
	if err != nil {
		return creation{}, fmt.Errorf("%w\n%s", err, server.process.output)
	}
	n := time.Duration(len(latencies))
	return creation{
		perSecond: float64(n) / took.Seconds(),
		p50:       latencies[n/2],
		p99:       latencies[n*99/100],
		serverCPU: (serverAfter - serverBefore) / n,
		clientCPU: (clientAfter - clientBefore) / n,
	}, nil
}

// createFor has clients create target groups for some time, each as soon as its last request was answered, and returns
// how long the creations took, in order of length.
func createFor(ctx context.Context, duration time.Duration, name string, clients []*apiClient) ([]time.Duration, error) {
	began := time.Now()
	latencies := make([][]time.Duration, len(clients))
	errs := make([]error, len(clients))
	var running sync.WaitGroup
	for i, client := range clients {
		running.Go(func() {
			for n := 0; time.Since(began) < duration; n++ {
				body, err := json.Marshal(targetGroup(fmt.Sprintf("%s-%d-%d", name, i, n)))
				if err != nil {
					errs[i] = err
					return
				}
				sent := time.Now()
				if _, errs[i] = client.send(ctx, http.MethodPost, "/targetgroups", "", body); errs[i] != nil {
					return
				}
				latencies[i] = append(latencies[i], time.Since(sent))
			}
		})
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	all := slices.Sorted(slices.Values(slices.Concat(latencies...)))
	if len(all) == 0 {
		return nil, fmt.Errorf("nothing was created within %v", duration)
	}
	return all, nil
}

// ownCPU returns how long the bench itself has run: the cost of the clients.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
