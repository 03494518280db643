package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// clientCounts are how many clients create target groups at the same time.
var clientCounts = []int{1, 16}

// benchControlPlane measures how fast a durable Trellis creates target groups: each answer means that the record is
// on the disk, in the replica and known to the data plane. Server and clients share all cores.
func benchControlPlane(ctx context.Context, o options, dir string) error {
	type result struct {
		clients int
		figures creation
	}
	var results []result
	for _, clients := range clientCounts {
		var rounds []creation
		for round := range o.rounds {
			fmt.Printf("round %d of %d: CreateTargetGroup, %d clients\n", round+1, o.rounds, clients)
			// Every round starts with an empty store.
			c, err := createTargetGroups(ctx, o, filepath.Join(dir, fmt.Sprintf("control-%d-%d", clients, round)), clients)
			if err != nil {
				return err
			}
			rounds = append(rounds, c)
		}
		slices.SortFunc(rounds, func(a, b creation) int { return int(a.perSecond - b.perSecond) })
		results = append(results, result{clients, rounds[len(rounds)/2]})
	}

	fmt.Printf("\nCreateTargetGroup, durable (trellis serve), signed requests, the median of %d rounds of %v\n\n", o.rounds, o.duration)
	fmt.Printf("| %7s | %9s | %8s | %8s | %11s |\n", "clients", "creates/s", "p50", "p99", "CPU/create")
	fmt.Printf("|---------|-----------|----------|----------|-------------|\n")
	for _, r := range results {
		f := r.figures
		fmt.Printf("| %7d | %9.0f | %5.2f ms | %5.2f ms | %8.0f us |\n",
			r.clients, f.perSecond, f.p50.Seconds()*1e3, f.p99.Seconds()*1e3, float64(f.cpuPerCreate)/1e3)
	}
	fmt.Println()
	return nil
}

// creation is what one round found out.
type creation struct {
	perSecond    float64
	p50, p99     time.Duration
	cpuPerCreate time.Duration
}

func createTargetGroups(ctx context.Context, o options, dir string, clients int) (creation, error) {
	ports, err := freePorts(2)
	if err != nil {
		return creation{}, err
	}
	// AWS's quota of target groups would end the measurement within a second.
	p, api, err := startTrellis(ctx, "", nil, o.trellis, dir, ports[0], ports[1], "--quotas", "targetGroupsPerRegion=10000000")
	if err != nil {
		return creation{}, err
	}
	defer p.stop()

	create := func(name string) error {
		return api.call(ctx, http.MethodPost, "/targetgroups", targetGroup(name), nil)
	}
	for i := range 100 { // The first ones find everything cold.
		if err := create(fmt.Sprintf("warm-up-%d", i)); err != nil {
			return creation{}, fmt.Errorf("%w\n%s", err, p.output)
		}
	}

	cpuBefore, err := p.cpu()
	if err != nil {
		return creation{}, err
	}
	began := time.Now()
	latencies := make([][]time.Duration, clients)
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for i := 0; time.Since(began) < o.duration; i++ {
				sent := time.Now()
				if errs[client] = create(fmt.Sprintf("bench-%d-%d", client, i)); errs[client] != nil {
					return
				}
				latencies[client] = append(latencies[client], time.Since(sent))
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	for _, err := range errs {
		if err != nil {
			return creation{}, fmt.Errorf("%w\n%s", err, p.output)
		}
	}
	cpuAfter, err := p.cpu()
	if err != nil {
		return creation{}, err
	}
	all := slices.Sorted(slices.Values(slices.Concat(latencies...)))
	return creation{
		perSecond:    float64(len(all)) / took.Seconds(),
		p50:          all[len(all)/2],
		p99:          all[len(all)*99/100],
		cpuPerCreate: (cpuAfter - cpuBefore) / time.Duration(len(all)),
	}, nil
}
