package console

import (
	"fmt"
	"strings"
)

// The size of a chart, in the units of its own picture.
const (
	chartWidth  = 240
	chartHeight = 56
)

// chart is a small picture of the last minutes.
type chart struct {
	Title string
	// Now is the latest figure, and Most the figure at the top of the picture.
	Now, Most string
	// Summary says in words what the picture shows.
	Summary string
	Lines   []line
	Width   int
	Height  int
}

type line struct {
	// Class is the line's role: its color follows from that.
	Class string
	// Path is the line, Area what is below it, or "".
	Path, Area string
}

// charts returns what is shown of whatever has requests: how many, errors and latency.
func (v *visit) charts(id string) []chart {
	p := v.past(id)
	return []chart{
		p.rates("Requests"),
		draw(chart{Title: "Errors", Now: percent(p.now.Failures) + " 5xx, " + percent(p.now.Refusals) + " 4xx",
			Summary: fmt.Sprintf("Of the requests in %s, %s had a status of 5xx or none, and %s one of 4xx.", minutes(), percent(p.all.Failures), percent(p.all.Refusals))},
			percent, 0.01, named{"bad", p.failures[:]}, named{"second", p.refusals[:]}),
		p.latencies("requests"),
	}
}

// connectionCharts returns what is shown of a resource, whose connections take as long as their clients want.
func (v *visit) connectionCharts(id string) []chart {
	p := v.past(id)
	return []chart{p.rates("Connections"), p.errors("connections")}
}

// invocationCharts returns what is shown of a function.
func (v *visit) invocationCharts(name string) []chart {
	p := v.past(functionID(name))
	return []chart{p.rates("Invocations"), p.errors("invocations"), p.latencies("invocations")}
}

// past is what was counted of something in the last minutes.
type past struct {
	now, all                                   traffic
	rate, failures, refusals, median, slowness [keptSamples]float64
}

func minutes() string { return "the last " + span(pace*keptSamples) }

func (v *visit) past(id string) *past {
	samples, _ := v.samples.of(id)
	p := &past{now: summed(samples[keptSamples-lately:]), all: summed(samples[:])}
	for i, s := range samples {
		if s.seconds > 0 {
			p.rate[i] = float64(s.requests) / float64(s.seconds)
		}
		if s.requests > 0 {
			p.failures[i], p.refusals[i] = float64(s.failures)/float64(s.requests), float64(s.refusals)/float64(s.requests)
			p.median[i], p.slowness[i] = float64(s.median), float64(s.slow)
		}
	}
	return p
}

func (p *past) rates(what string) chart {
	return draw(chart{Title: what + " per second", Now: rate(p.now.Rate),
		Summary: fmt.Sprintf("%s in %s: %d; now %s a second.", what, minutes(), p.all.Requests, rate(p.now.Rate))},
		rate, 1, named{"main", p.rate[:]})
}

func (p *past) errors(what string) chart {
	return draw(chart{Title: "Errors", Now: percent(p.now.Failures),
		Summary: fmt.Sprintf("Of the %s in %s, %s failed.", what, minutes(), percent(p.all.Failures))},
		percent, 0.01, named{"bad", p.failures[:]})
}

func (p *past) latencies(what string) chart {
	return draw(chart{Title: "Latency", Now: latency(p.now.Median) + " median, " + latency(p.now.Slow) + " p99",
		Summary: fmt.Sprintf("Half of the %s now take at most %s, and 99 of 100 at most %s.", what, latency(p.now.Median), latency(p.now.Slow))},
		latency, 0.001, named{"second", p.slowness[:]}, named{"main", p.median[:]})
}

// named is the values of a line.
type named struct {
	class  string
	values []float64
}

// draw draws lines into a chart whose top is at least a given value.
func draw(c chart, write func(float64) string, least float64, lines ...named) chart {
	most := least
	for _, l := range lines {
		for _, value := range l.values {
			most = max(most, value)
		}
	}
	c.Most, c.Width, c.Height = write(most), chartWidth, chartHeight
	for i, l := range lines {
		var path strings.Builder
		for at, value := range l.values {
			x := float64(at) * chartWidth / float64(len(l.values)-1)
			y := 1 + (chartHeight-2)*(1-value/most)
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(at, 1)], x, y)
		}
		drawn := line{Class: l.class, Path: path.String()}
		if i == 0 {
			drawn.Area = fmt.Sprintf("%sL%d %dL0 %dZ", drawn.Path, chartWidth, chartHeight, chartHeight)
		}
		c.Lines = append(c.Lines, drawn)
	}
	return c
}
