package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// measurement is one run of the load through one proxy.
type measurement struct {
	cpuPerRequest time.Duration
	perSecond     float64
	p50, p99      time.Duration // 0 if not known
	busy          float64       // share of the core that the proxy used
	failed
}

// contestant is a proxy under a load, one of those that are compared.
type contestant struct {
	name  string
	proxy *proxy
	send  func(context.Context, time.Duration) (load, error)
	once  bool // measured in the first round only
	// prepare is called before each measurement, and is not part of it. It may be nil.
	prepare func(context.Context) error
}

// takeTurns measures every contestant once in each round. The speed of a machine can change by half within seconds, so only
// measurements within one short round are compared. Each round begins with another contestant, so that none always follows
// the same one.
//
// rounds has the measurements of each contestant, failures the errors of those that could not be measured.
func takeTurns(ctx context.Context, o options, title string, contestants []contestant) (rounds [][]measurement, failures []error) {
	rounds, failures = make([][]measurement, len(contestants)), make([]error, len(contestants))
	for i, c := range contestants {
		// Connections to the backend are made, and memory is grown, before the clock runs.
		progress("%s: warming up %s", title, c.name)
		if failures[i] = c.ready(ctx); failures[i] == nil {
			_, failures[i] = c.send(ctx, time.Second)
		}
	}
	for round := range o.rounds {
		progress("%s: round %d of %d", title, round+1, o.rounds)
		for turn := range contestants {
			i := (round + turn) % len(contestants)
			if c := contestants[i]; failures[i] == nil && (round == 0 || !c.once) {
				var m measurement
				if m, failures[i] = c.measure(ctx, o.duration); failures[i] == nil {
					rounds[i] = append(rounds[i], m)
				}
			}
		}
	}
	return rounds, failures
}

func (c contestant) ready(ctx context.Context) error {
	if c.prepare == nil {
		return nil
	}
	return c.prepare(ctx)
}

// measure is one measurement of a contestant.
func (c contestant) measure(ctx context.Context, duration time.Duration) (measurement, error) {
	if err := c.ready(ctx); err != nil {
		return measurement{}, err
	}
	before, err := c.proxy.process.cpu()
	if err != nil {
		return measurement{}, err
	}
	l, err := c.send(ctx, duration)
	if err != nil {
		return measurement{}, err
	}
	after, err := c.proxy.process.cpu()
	if err != nil {
		return measurement{}, err
	}
	used := after - before
	if used < time.Duration(l.requests)*time.Microsecond { // no proxy is that fast
		return measurement{}, fmt.Errorf("%v of CPU for %d requests: the kernel does not report the time of all its processes", used, l.requests)
	}
	return measurement{
		cpuPerRequest: used / time.Duration(l.requests),
		perSecond:     float64(l.requests) / l.duration.Seconds(),
		p50:           l.p50,
		p99:           l.p99,
		busy:          used.Seconds() / l.duration.Seconds(),
		failed:        l.failed,
	}, nil
}

// cpuMedian returns the median CPU per request.
func cpuMedian(rounds []measurement) time.Duration {
	return medianOf(rounds, func(m measurement) time.Duration { return m.cpuPerRequest })
}

// spread is a figure over the rounds: its median and its quartiles. The zero value means that there is none.
type spread struct{ low, median, high float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	slices.Sort(values)
	at := func(q float64) float64 {
		position := q * float64(len(values)-1)
		low, part := math.Floor(position), position-math.Floor(position)
		next := min(int(low)+1, len(values)-1)
		return values[int(low)]*(1-part) + values[next]*part
	}
	return spread{at(0.25), at(0.5), at(0.75)}
}

// ratios returns the CPU per request of one contestant as a multiple of another's, each within a round.
func ratios(of, to []measurement) spread {
	var values []float64
	for round := range min(len(of), len(to)) {
		values = append(values, float64(of[round].cpuPerRequest)/float64(to[round].cpuPerRequest))
	}
	return spreadOf(values)
}

func (s spread) String() string {
	switch {
	case s == spread{}:
		return "-"
	case s.low == s.high:
		return fmt.Sprintf("%.2f", s.median)
	default:
		return fmt.Sprintf("%.2f (%.2f-%.2f)", s.median, s.low, s.high)
	}
}
