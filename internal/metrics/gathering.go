package metrics

import (
	dto "github.com/prometheus/client_model/go"

	"trellis/internal/tally"
)

// Definition is a metric, for all values of its labels. docs/metrics.md lists them all.
type Definition struct {
	Name string
	// Help says what the metric means.
	Help   string
	Type   dto.MetricType
	Labels []string
}

// gathering reads counters for one scrape.
type gathering struct {
	out output
	// labels are the values of the series that is being written. Without this copy, each call below would allocate its own.
	labels []string
}

// output writes metrics in one format. The labels' values are its to keep, but not the slice.
type output interface {
	counter(d *Definition, value float64, labels []string)
	gauge(d *Definition, value float64, labels []string)
	histogram(d *Definition, values *tally.Distribution, labels []string)
}

func (g *gathering) counter(d *Definition, value float64, labels ...string) {
	g.labels = append(g.labels[:0], labels...)
	g.out.counter(d, value, g.labels)
}

func (g *gathering) gauge(d *Definition, value float64, labels ...string) {
	g.labels = append(g.labels[:0], labels...)
	g.out.gauge(d, value, g.labels)
}

func (g *gathering) histogram(d *Definition, values *tally.Distribution, labels ...string) {
	g.labels = append(g.labels[:0], labels...)
	g.out.histogram(d, values, g.labels)
}
