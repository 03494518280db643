package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
)

// benchServices compares what requests to many services in turn cost with requests to one of them, for each proxy with the
// same services. Each has a target group, or upstream, of its own, and so connections of its own to the backends.
func benchServices(ctx context.Context, o options, dir string) error {
	s, backend, err := startBackendFor(ctx, o, filepath.Join(dir, "services"))
	if err != nil {
		return err
	}
	defer backend.stop()

	var proxies []*proxy
	hosts := make(map[*proxy][]string)
	for _, name := range []string{"trellis", otherTrellis, "nginx", "haproxy"} {
		if name != "trellis" && !slices.Contains(o.proxies, name) {
			continue
		}
		if name == "nginx" || name == "haproxy" {
			p, err := startPeer(ctx, name, s)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			defer p.process.stop()
			proxies, hosts[p] = append(proxies, p), s.Hosts
			continue
		}
		program := o.trellis
		if name == otherTrellis {
			program = o.against
		}
		store, err := startScaled(ctx, program, s, name, filling{targetGroups: scaleSpread, services: scaleSpread, ports: s.HTTPBackends})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer store.stop()
		p := store.proxy
		if hosts[p], err = store.someHosts(ctx); err != nil {
			return err
		}
		proxies = append(proxies, p)
		if name == "trellis" {
			s.Host, s.Hosts = p.host, hosts[p]
		}
	}

	r := rows[0]
	var contestants []contestant
	for _, p := range proxies {
		contestants = append(contestants,
			contestant{name: p.name, proxy: p, send: r.sendTo(dir, p, hosts[p][0], nil)},
			contestant{name: p.name, proxy: p, send: r.sendTo(dir, p, p.host, hosts[p])})
	}
	rounds, failures := takeTurns(ctx, o, fmt.Sprintf("%d services", scaleSpread), contestants)
	for i, err := range failures {
		if err != nil {
			return fmt.Errorf("%s: %w", contestants[i].name, err)
		}
	}

	fmt.Printf("\nservices: requests to one of %d services, and to all of them in turn; %s, %d connections\nmedians of %d rounds of %v; ratios within a round: median (quartiles); goals: Trellis's factor at most nginx's, its ratio at most 1\n\n",
		scaleSpread, r.title, r.connections, o.rounds, o.duration)
	fmt.Printf("| %-8s | %11s | %11s | %-16s | %-22s | %-36s |\n|----------|-------------|-------------|------------------|------------------------|--------------------------------------|\n",
		"proxy", "one", fmt.Sprint(scaleSpread, " in turn"), "factor", "trellis's ratio to it", "version, TLS library")
	for i, p := range proxies {
		one, all := rounds[2*i], rounds[2*i+1]
		ratio := "-"
		if i > 0 { // The first one is Trellis.
			ratio = ratios(rounds[1], all).String()
		}
		fmt.Printf("| %-8s | %8.2f us | %8.2f us | %-16s | %-22s | %-36s |\n", p.name, microseconds(cpuMedian(one)), microseconds(cpuMedian(all)),
			ratios(all, one), ratio, p.version)
	}
	fmt.Println()
	return nil
}
