package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// results are a row's measurements, by proxy.
type results struct {
	row      row
	rounds   map[string][]measurement
	missing  map[string]error // why a proxy has none
	versions map[string]string
}

// measured reports whether there are measurements of a proxy.
func (r results) measured(name string) bool { return len(r.rounds[name]) > 0 && r.missing[name] == nil }

// reference returns the peer that the row's goal refers to: the cheapest of those that it names. It is empty if none of
// them was measured.
func (r results) reference() (name string) {
	for _, peer := range r.row.than {
		if r.measured(peer) && (name == "" || cpuMedian(r.rounds[peer]) < cpuMedian(r.rounds[name])) {
			name = peer
		}
	}
	return name
}

// ratio compares the CPU per request of two proxies.
func (r results) ratio(name, to string) spread {
	if !r.measured(name) || !r.measured(to) {
		return spread{}
	}
	return ratios(r.rounds[name], r.rounds[to])
}

func (r results) print(o options) {
	load := fmt.Sprintf("%d connections", r.row.connections)
	switch {
	case r.row.http2:
		load += fmt.Sprintf(" of %d streams", r.row.streams)
	case r.row.connects:
		load += " at a time"
	}
	reference := r.reference()
	fmt.Printf("\n%s: %s, %s\nmedians of %d rounds of %v; the ratio to %s within a round: median (quartiles)\n\n",
		r.row.name, r.row.title, load, o.rounds, o.duration, cmp.Or(reference, "none"))
	fmt.Printf("| %-8s | %11s | %-16s | %10s | %9s | %9s | %9s | %-36s |\n", "proxy", "CPU/request", "ratio", "requests/s", "p50", "p99", "core busy", "version, TLS library")
	fmt.Printf("|----------|-------------|------------------|------------|-----------|-----------|-----------|--------------------------------------|\n")
	for _, name := range allProxies {
		rounds := r.rounds[name]
		switch {
		case r.measured(name):
			fmt.Printf("| %-8s | %8.2f us | %-16s | %10.0f | %9s | %9s | %7.0f %% | %-36s |\n", name, microseconds(cpuMedian(rounds)),
				r.ratio(name, reference), medianOf(rounds, func(m measurement) float64 { return m.perSecond }),
				latency(medianOf(rounds, func(m measurement) time.Duration { return m.p50 })),
				latency(medianOf(rounds, func(m measurement) time.Duration { return m.p99 })),
				100*medianOf(rounds, func(m measurement) float64 { return m.busy }), r.versions[name])
		case r.missing[name] != nil:
			fmt.Printf("| %-8s | not available: %s\n", name, firstLine(r.missing[name]))
		}
	}
	for _, name := range allProxies {
		if f := failedIn(r.rounds[name]); f != (failed{}) {
			fmt.Printf("\n%s failed: %d requests were answered with an error, %d not at all\n", name, f.refused, f.unanswered)
		}
	}
	if against := r.ratio("trellis", otherTrellis); against != (spread{}) {
		fmt.Printf("\ntrellis to the other trellis: %s\n", against)
	}
	fmt.Println()
}

// failedIn adds up what failed in all rounds.
func failedIn(rounds []measurement) (sum failed) {
	for _, m := range rounds {
		sum.refused += m.refused
		sum.unanswered += m.unanswered
	}
	return sum
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
	names := slices.DeleteFunc(slices.Clone(allProxies), func(name string) bool { return !slices.Contains(o.proxies, name) && name != "trellis" })
	fmt.Printf("Summary: CPU per request, and Trellis's ratio to the peer that its goal is about: median (quartiles)\n\n| %-12s |", "row")
	for _, name := range names {
		fmt.Printf(" %11s |", name)
	}
	fmt.Printf(" %-16s | %4s | %-7s |\n|--------------|%s------------------|------|---------|\n", "ratio", "goal", "to", strings.Repeat("-------------|", len(names)))
	for _, r := range all {
		fmt.Printf("| %-12s |", r.row.name)
		for _, name := range names {
			if r.measured(name) {
				fmt.Printf(" %8.2f us |", microseconds(cpuMedian(r.rounds[name])))
			} else {
				fmt.Printf(" %11s |", "-")
			}
		}
		fmt.Printf(" %-16s | %4.1f | %-7s |\n", r.ratio("trellis", r.reference()), r.row.goal, cmp.Or(r.reference(), "-"))
	}
	if o.against != "" {
		fmt.Printf("\nTrellis's CPU per request to that of the other Trellis\n\n| %-12s | %-16s |\n|--------------|------------------|\n", "row", "ratio")
		for _, r := range all {
			fmt.Printf("| %-12s | %-16s |\n", r.row.name, r.ratio("trellis", otherTrellis))
		}
	}
	fmt.Println()
}
