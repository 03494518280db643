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
	// Now is the latest figure, Most the top of the picture.
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

// charts returns what is shown of a service or a target group: requests, errors and latency.
func (v *visit) charts(id string) []chart {
	samples, _ := v.samples.of(id)
	now := summed(samples[keptSamples-lately:])
	all := summed(samples[:])
	var requests, failures, refusals, median, slow [keptSamples]float64
	for i, s := range samples {
		if s.seconds > 0 {
			requests[i] = float64(s.requests) / float64(s.seconds)
		}
		if s.requests > 0 {
			failures[i], refusals[i] = float64(s.failures)/float64(s.requests), float64(s.refusals)/float64(s.requests)
			median[i], slow[i] = float64(s.median), float64(s.slow)
		}
	}
	minutes := fmt.Sprintf("the last %s", span(pace*keptSamples))
	return []chart{
		draw(chart{Title: "Requests per second", Now: rate(now.Rate),
			Summary: fmt.Sprintf("Requests in %s: %d; now %s a second.", minutes, all.Requests, rate(now.Rate))},
			rate, 1, named{"main", requests[:]}),
		draw(chart{Title: "Errors", Now: percent(now.Failures) + " 5xx, " + percent(now.Refusals) + " 4xx",
			Summary: fmt.Sprintf("Of the requests in %s, %s had a status of 5xx or none, and %s one of 4xx.", minutes, percent(all.Failures), percent(all.Refusals))},
			percent, 0.01, named{"bad", failures[:]}, named{"second", refusals[:]}),
		draw(chart{Title: "Latency", Now: latency(now.Median) + " median, " + latency(now.Slow) + " p99",
			Summary: fmt.Sprintf("Half of the requests now take at most %s, and 99 of 100 at most %s.", latency(now.Median), latency(now.Slow))},
			latency, 0.001, named{"second", slow[:]}, named{"main", median[:]}),
	}
}

// named is the values of a line.
type named struct {
	class  string
	values []float64
}

// draw draws lines into a chart, whose top is at least a value.
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
