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
type gathering struct{ output }

// output writes metrics in one format. It keeps the labels' values.
type output interface {
	counter(d *Definition, value float64, labels ...string)
	gauge(d *Definition, value float64, labels ...string)
	histogram(d *Definition, values *tally.Distribution, labels ...string)
}
