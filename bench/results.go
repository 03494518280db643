package main

import (
	"fmt"
	"strings"
	"time"
)

// results are a row's measurements, by proxy.
type results struct {
	row     row
	rounds  map[string][]measurement
	missing map[string]error // why a proxy has none
}

// median returns a proxy's medians over the rounds; ok is false if it was not measured.
func (r results) median(name string) (m measurement, ok bool) {
	rounds := r.rounds[name]
	if len(rounds) == 0 || r.missing[name] != nil {
		return measurement{}, false
	}
	return measurement{
		cpuPerRequest: medianOf(rounds, func(m measurement) time.Duration { return m.cpuPerRequest }),
		perSecond:     medianOf(rounds, func(m measurement) float64 { return m.perSecond }),
		p50:           medianOf(rounds, func(m measurement) time.Duration { return m.p50 }),
		p99:           medianOf(rounds, func(m measurement) time.Duration { return m.p99 }),
		busy:          medianOf(rounds, func(m measurement) float64 { return m.busy }),
	}, true
}

// ratio returns a proxy's CPU per request as a multiple of that of the cheapest of others; 0 if there is none.
func (r results) ratio(name string, others []string) float64 {
	best := time.Duration(0)
	for _, other := range others {
		if m, ok := r.median(other); ok && (best == 0 || m.cpuPerRequest < best) {
			best = m.cpuPerRequest
		}
	}
	m, ok := r.median(name)
	if !ok || best == 0 {
		return 0
	}
	return float64(m.cpuPerRequest) / float64(best)
}

// figure formats a ratio, or says that there is none.
func figure(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", ratio)
}

func (r results) print(o options) {
	streams := ""
	if r.row.http2 {
		streams = fmt.Sprintf(" of %d streams", r.row.streams)
	}
	fmt.Printf("\n%s: %s, %d connections%s\nmedians of %d rounds of %v; ratio to %s\n\n", r.row.name, r.row.title,
		r.row.connections, streams, o.rounds, o.duration, strings.Join(r.row.than, " or "))
	fmt.Printf("| %-8s | %11s | %5s | %10s | %9s | %9s | %9s |\n", "proxy", "CPU/request", "ratio", "requests/s", "p50", "p99", "core busy")
	fmt.Printf("|----------|-------------|-------|------------|-----------|-----------|-----------|\n")
	for _, name := range allProxies {
		m, ok := r.median(name)
		switch {
		case ok:
			fmt.Printf("| %-8s | %8.2f us | %5s | %10.0f | %9s | %9s | %7.0f %% |\n", name, microseconds(m.cpuPerRequest),
				figure(r.ratio(name, r.row.than)), m.perSecond, latency(m.p50), latency(m.p99), m.busy*100)
		case r.missing[name] != nil:
			fmt.Printf("| %-8s | not available: %s\n", name, firstLine(r.missing[name]))
		}
	}
	fmt.Println()
}

func latency(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", milliseconds(d))
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// printSummary prints one line for each row.
func printSummary(o options, all []results) {
	fmt.Printf("Summary: CPU per request, and Trellis's ratio to what its goal is about\n\n| %-12s |", "row")
	for _, name := range allProxies {
		fmt.Printf(" %11s |", name)
	}
	fmt.Printf(" %5s | %4s | %-16s |\n|--------------|%s-------|------|------------------|\n", "ratio", "goal", "to", strings.Repeat("-------------|", len(allProxies)))
	for _, r := range all {
		fmt.Printf("| %-12s |", r.row.name)
		for _, name := range allProxies {
			if m, ok := r.median(name); ok {
				fmt.Printf(" %8.2f us |", microseconds(m.cpuPerRequest))
			} else {
				fmt.Printf(" %11s |", "-")
			}
		}
		fmt.Printf(" %5s | %4.1f | %-16s |\n", figure(r.ratio("trellis", r.row.than)), r.row.goal, strings.Join(r.row.than, " or "))
	}
	fmt.Println()
}
