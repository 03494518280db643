package metrics

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"

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
			g.Exchanges.End(shards.Here(), tally.NewEnd(tally.OutcomeOf(200+100*(j%20/17)), time.Duration(j*j)*20*time.Microsecond, 0))
		}
		g.Connections.HTTP1.Add(3)
		g.Connections.Open.Add(2)
		made[i] = g
	}
	return made
}

// gatherGroups returns a function that gathers the metrics of target groups.
func gatherGroups(groups []*routing.TargetGroup) func(*gathering) {
	return func(g *gathering) {
		var totals tally.Totals
		for _, group := range groups {
			g.group(group, &totals)
		}
	}
}

func TestBothKindsOfHistogramsHaveAllObservations(t *testing.T) {
	out := newMessages()
	gatherGroups(groups(2))(&gathering{out: out})
	for _, family := range out.order {
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
	var room sync.Pool
	b.ReportAllocs()
	for b.Loop() {
		out := newText(&room)
		gatherGroups(all)(&gathering{out: out})
		n, err := out.WriteTo(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		size = int(n)
	}
	b.ReportMetric(float64(size)/1e6, "MB")
}

// BenchmarkRequestsDuringScrapes has a client and a server exchange messages over the loopback while 10,000 target groups are
// scraped, and while they are not, in turn, so that whatever else the machine does affects both alike.
func BenchmarkRequestsDuringScrapes(b *testing.B) {
	handler := newHandler(gatherGroups(groups(10_000)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // Until the client goes.
			}()
		}
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	message := make([]byte, 200)
	exchanges := func(until func() bool) (took []time.Duration) {
		for !until() {
			began := time.Now()
			if _, err := conn.Write(message); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(conn, message); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
		return took
	}
	var without, with, scrapes []time.Duration
	for b.Loop() {
		began, ended := time.Now(), make(chan struct{})
		go func() {
			defer close(ended)
			handler.ServeHTTP(&discarding{header: http.Header{}}, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		}()
		with = append(with, exchanges(func() bool {
			select {
			case <-ended:
				return true
			default:
				return false
			}
		})...)
		took := time.Since(began)
		scrapes = append(scrapes, took)
		began = time.Now()
		without = append(without, exchanges(func() bool { return time.Since(began) > took })...)
	}
	for name, took := range map[string][]time.Duration{"without": without, "with": with} {
		slices.Sort(took)
		for _, quantile := range []float64{0.5, 0.99, 0.999} {
			b.ReportMetric(float64(took[int(float64(len(took))*quantile)].Nanoseconds())/1e3, fmt.Sprintf("µs-p%v-%s", quantile*100, name))
		}
	}
	slices.Sort(scrapes)
	b.ReportMetric(float64(scrapes[len(scrapes)/2].Milliseconds()), "ms/scrape")
}

// discarding is a response writer that drops the response.
type discarding struct{ header http.Header }

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarding) WriteHeader(int)             {}

// Both outputs say the same, as Prometheus's own library reads them.
func TestTextAndMessagesSayTheSame(t *testing.T) {
	named := &Definition{"trellis_test_total", "With a back\\slash\nand two lines.", counter, []string{"one", "two"}}
	plain := &Definition{"trellis_test", "A number.", gauge, nil}
	all := groups(300) // More than a piece.
	gather := func(g *gathering) {
		gatherGroups(all)(g)
		for i, value := range []float64{0, 1, -1, 0.1, 1e6, 1234567, 1 << 53, 1e300, 1.5e-9, math.Inf(1), math.Inf(-1)} {
			g.counter(named, value, fmt.Sprint(i), "a\"b\\c\nd"+strings.Repeat("e", lineRoom))
		}
		g.gauge(plain, 2.5)
		var none tally.Distribution
		g.histogram(&Definition{"trellis_test_seconds", "None.", histogram, nil}, &none)
	}
	messages, texts := newMessages(), newText(new(sync.Pool))
	gather(&gathering{out: messages})
	gather(&gathering{out: texts})
	var want, written bytes.Buffer
	encoder := expfmt.NewEncoder(&want, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range messages.order {
		if err := encoder.Encode(family); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := texts.WriteTo(&written); err != nil {
		t.Fatal(err)
	}
	parse := func(text *bytes.Buffer) map[string]*dto.MetricFamily {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(text)
		if err != nil {
			t.Fatal(err)
		}
		return families
	}
	got, wanted := parse(&written), parse(&want)
	if len(got) != len(wanted) || len(got) < 10 {
		t.Errorf("there are %d metrics as text, want %d", len(got), len(wanted))
	}
	for name, family := range wanted {
		if !proto.Equal(family, got[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestScrapesAreAnsweredInBothFormatsAndBounded(t *testing.T) {
	h := newHandler(gatherGroups(groups(3)))
	scrape := func(accept string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest(http.MethodGet, "/metrics", nil), httptest.NewRecorder()
		r.Header.Set("Accept", accept)
		h.ServeHTTP(w, r)
		return w
	}
	text := scrape("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.2")
	if !strings.HasPrefix(text.Header().Get("Content-Type"), "text/plain; version=0.0.4") || !strings.Contains(text.Body.String(), "\ntrellis_target_group_requests_total{") ||
		!strings.Contains(text.Body.String(), "\ngo_goroutines ") {
		t.Errorf("the text is of type %q", text.Header().Get("Content-Type"))
	}
	messages := scrape("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	if !strings.HasPrefix(messages.Header().Get("Content-Type"), "application/vnd.google.protobuf") || messages.Body.Len() == 0 {
		t.Errorf("the messages are of type %q", messages.Header().Get("Content-Type"))
	}
	for range maxScrapes {
		h.scrapes <- struct{}{}
	}
	if w := scrape("*/*"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("one scrape too many is answered %d", w.Code)
	}
}
