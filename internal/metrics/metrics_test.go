package metrics

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"trellis/internal/accesslog"
	"trellis/internal/routing"
	"trellis/internal/tally"
)

// table returns the metrics as docs/metrics.md has them.
func table() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range Definitions() {
		labels := ""
		for i, label := range d.Labels {
			if i > 0 {
				labels += ", "
			}
			labels += "`" + label + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, strings.ToLower(d.Type.String()), labels, d.Help)
	}
	return b.String()
}

func TestPageHasTheMetricsThatThereAre(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "\n"+table()+"\n") {
		t.Errorf("docs/metrics.md should have this table:\n%s", table())
	}
}

func TestFailuresHaveRoomAndNames(t *testing.T) {
	if len(accesslog.Failures) > tally.MaxFailures {
		t.Fatalf("%d failures are counted in %d places", len(accesslog.Failures), tally.MaxFailures)
	}
	source, err := os.ReadFile("../accesslog/record.go")
	if err != nil {
		t.Fatal(err)
	}
	if declared := strings.Count(string(source), " Failure = \""); declared != len(accesslog.Failures)-1 {
		t.Errorf("%d failures are declared, and %d listed", declared, len(accesslog.Failures)-1)
	}
	for number, failure := range accesslog.Failures {
		if failure.Number() != number {
			t.Errorf("%q has the number %d, and stands at %d", failure, failure.Number(), number)
		}
	}
}

// groups returns target groups with traffic of all kinds.
func groups(n int) []*routing.TargetGroup {
	shards := tally.NewShards()
	made := make([]*routing.TargetGroup, n)
	for i := range made {
		g := &routing.TargetGroup{ID: fmt.Sprintf("tg-%017x", i), Name: fmt.Sprintf("group-%d", i)}
		for j := range 200 {
			g.Exchanges.Begin(shards.Here())
			g.Exchanges.Moved(shards.Here(), 100, 200)
			g.Exchanges.End(shards.Here(), tally.OutcomeOf(200+100*(j%20/17)), time.Duration(j*j)*20*time.Microsecond, 0)
		}
		g.Connections.HTTP1.Add(3)
		g.Connections.Open.Add(2)
		made[i] = g
	}
	return made
}

func gatherGroups(groups []*routing.TargetGroup) []*dto.MetricFamily {
	g := newGathering()
	var totals tally.Totals
	for _, group := range groups {
		g.group(group, &totals)
	}
	return g.families()
}

func TestBothKindsOfHistogramsHaveAllObservations(t *testing.T) {
	for _, family := range gatherGroups(groups(2)) {
		for _, m := range family.Metric {
			h := m.Histogram
			if h == nil {
				continue
			}
			if *h.SampleCount != 200 {
				t.Errorf("%s has %d observations", family.GetName(), *h.SampleCount)
			}
			if last := h.Bucket[len(h.Bucket)-1].GetCumulativeCount(); last != 200 {
				t.Errorf("%d are in classic buckets", last)
			}
			native, count, at := *h.ZeroCount, int64(0), 0
			for _, span := range h.PositiveSpan {
				for range span.GetLength() {
					count += h.PositiveDelta[at]
					native += uint64(count)
					at++
				}
			}
			if native != 200 || at != len(h.PositiveDelta) {
				t.Errorf("%d are in native buckets", native)
			}
			return
		}
	}
	t.Error("there is no histogram")
}

// A scrape of 10,000 target groups, all of which have traffic.
func BenchmarkScrapeOf10000TargetGroups(b *testing.B) {
	all := groups(10_000)
	var size int
	b.ReportAllocs()
	for b.Loop() {
		var out bytes.Buffer
		encoder := expfmt.NewEncoder(&out, expfmt.NewFormat(expfmt.TypeTextPlain))
		for _, family := range gatherGroups(all) {
			if err := encoder.Encode(family); err != nil {
				b.Fatal(err)
			}
		}
		size = out.Len()
	}
	b.ReportMetric(float64(size)/1e6, "MB")
}
