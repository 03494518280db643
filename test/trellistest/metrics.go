package trellistest

import (
	"io"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Samples returns the values of a metric in the text of a scrape, added up by the values of some labels, with a space between
// them. A histogram has what it counts.
func Samples(t testing.TB, text io.Reader, name string, by ...string) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, m := range families[name].GetMetric() {
		var key []string
		for _, label := range by {
			for _, pair := range m.Label {
				if pair.GetName() == label {
					key = append(key, pair.GetValue())
				}
			}
		}
		values[strings.Join(key, " ")] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return values
}
