package metrics

import (
	"runtime"

	dto "github.com/prometheus/client_model/go"

	"trellis/internal/tally"
)

// messages are the output for scrapers that ask for protocol buffers. They are elements of slices, since there may be 100,000 of them.
type messages struct {
	byDefinition map[*Definition]*dto.MetricFamily
	order        []*dto.MetricFamily

	metrics    []dto.Metric
	counters   []dto.Counter
	gauges     []dto.Gauge
	histograms []dto.Histogram
	buckets    []dto.Bucket
	pairs      []dto.LabelPair
	values     []string
	numbers    []float64
	counts     []uint64
}

// yieldEvery is how many metrics are written before other goroutines may run.
const yieldEvery = 256

func newMessages() *messages { return &messages{byDefinition: map[*Definition]*dto.MetricFamily{}} }

// blank returns the address of a new element. If the slice is full, it begins another one, since elements of the full one are
// in use.
func blank[T any](elements *[]T) *T {
	if len(*elements) == cap(*elements) {
		*elements = make([]T, 0, yieldEvery)
	}
	*elements = (*elements)[:len(*elements)+1]
	return &(*elements)[len(*elements)-1]
}

// next returns the address of a new element with a value.
func next[T any](elements *[]T, value T) *T {
	element := blank(elements)
	*element = value
	return element
}

// series returns a new metric with values for the definition's labels.
func (g *messages) series(d *Definition, values []string) *dto.Metric {
	family := g.byDefinition[d]
	if family == nil {
		family = &dto.MetricFamily{Name: &d.Name, Help: &d.Help, Type: &d.Type}
		g.byDefinition[d] = family
		g.order = append(g.order, family)
	}
	if len(g.metrics) == cap(g.metrics) {
		runtime.Gosched()
	}
	m := blank(&g.metrics)
	if len(values) > 0 {
		m.Label = make([]*dto.LabelPair, len(values))
	}
	for i := range values {
		pair := blank(&g.pairs)
		pair.Name, pair.Value = &d.Labels[i], next(&g.values, values[i])
		m.Label[i] = pair
	}
	family.Metric = append(family.Metric, m)
	return m
}

func (g *messages) counter(d *Definition, value float64, labels []string) {
	m := g.series(d, labels)
	m.Counter = blank(&g.counters)
	m.Counter.Value = next(&g.numbers, value)
}

func (g *messages) gauge(d *Definition, value float64, labels []string) {
	m := g.series(d, labels)
	m.Gauge = blank(&g.gauges)
	m.Gauge.Value = next(&g.numbers, value)
}

// histogram adds a histogram with classic buckets and native ones.
func (g *messages) histogram(d *Definition, values *tally.Distribution, labels []string) {
	m := g.series(d, labels)
	h := blank(&g.histograms)
	m.Histogram = h
	h.SampleCount, h.SampleSum = next(&g.counts, values.Count()), next(&g.numbers, values.Sum())

	cumulative := values.Classic()
	h.Bucket = make([]*dto.Bucket, len(cumulative))
	for i, n := range cumulative {
		h.Bucket[i] = blank(&g.buckets)
		h.Bucket[i].CumulativeCount, h.Bucket[i].UpperBound = next(&g.counts, n), next(&g.numbers, tally.ClassicBounds[i])
	}

	schema, threshold := int32(tally.NativeSchema), tally.ZeroThreshold()
	h.Schema, h.ZeroThreshold = &schema, &threshold
	var last, lastCount int
	zero := values.Native(func(index int, count uint64) {
		if spans := len(h.PositiveSpan); spans > 0 && index == last+1 {
			*h.PositiveSpan[spans-1].Length++
		} else {
			offset, length := int32(index), uint32(1)
			if spans > 0 {
				offset = int32(index - last - 1)
			}
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: &offset, Length: &length})
		}
		h.PositiveDelta = append(h.PositiveDelta, int64(count)-int64(lastCount))
		last, lastCount = index, int(count)
	})
	h.ZeroCount = &zero
	if len(h.PositiveSpan) == 0 {
		// Without this, a histogram that has only zeros could not be told from a classic one.
		h.PositiveSpan = []*dto.BucketSpan{{Offset: new(int32), Length: new(uint32)}}
	}
}
