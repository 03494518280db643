package proxy

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/internal/accesslog"
	"trellis/test/trellistest"
)

// tracer samples exchanges whose traceparent ends in 01.
type tracer struct {
	mu      sync.Mutex // mu guards the field below.
	records []accesslog.Record
}

func (*tracer) Samples(traceparent []byte) bool { return bytes.HasSuffix(traceparent, []byte("-01")) }

func (t *tracer) Trace(r *accesslog.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	copied := *r
	copied.TraceParent, copied.TraceState, copied.Path = bytes.Clone(r.TraceParent), bytes.Clone(r.TraceState), bytes.Clone(r.Path)
	copied.Retries = slices.Clone(r.Retries)
	t.records = append(t.records, copied)
}

func (t *tracer) traced() []accesslog.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.records)
}

const aTraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// Headers of traces go to the target as they are, whatever they say and whether or not anybody traces.
func TestHeadersOfTracesPassUntouched(t *testing.T) {
	for _, traces := range []bool{false, true} {
		var mu sync.Mutex
		var got []string
		target := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, strings.Join(r.Header["Traceparent"], "|")+" "+strings.Join(r.Header["Tracestate"], "|"))
		}))
		t.Cleanup(target.Close)
		tracer := &tracer{}
		w := newWorld(t, func(cfg *Config) {
			if traces {
				cfg.Tracer = tracer
			}
			cfg.AccessLog = nil
		})
		w.storefront(target.Listener.Addr().String())
		for _, test := range []struct {
			lines   []string
			arrives string
		}{
			{nil, " "},
			{[]string{"traceparent: " + aTraceParent, "tracestate: a=1"}, aTraceParent + " a=1"},
			{[]string{"TraceParent: " + aTraceParent, "TraceState: a=1,b=2", "tracestate: c=3"}, aTraceParent + " a=1,b=2|c=3"},
			{[]string{"traceparent: " + aTraceParent, "traceparent: " + aTraceParent}, aTraceParent + "|" + aTraceParent + " "},
			{[]string{"traceparent: nonsense"}, "nonsense "},
		} {
			w.dial().get("/", test.lines...)
			mu.Lock()
			if arrived := got[len(got)-1]; arrived != test.arrives {
				t.Errorf("of %q the target gets %q, want %q", test.lines, arrived, test.arrives)
			}
			mu.Unlock()
		}
		if !traces {
			continue
		}
		trellistest.Await(t, func() bool { return len(tracer.traced()) == 2 }, "both sampled exchanges are traced")
		traced := tracer.traced() // An exchange is traced after its response, so another connection's can come first.
		slices.SortFunc(traced, func(a, b accesslog.Record) int { return bytes.Compare(a.TraceState, b.TraceState) })
		for i, state := range []string{"a=1", "a=1,b=2,c=3"} {
			if r := traced[i]; string(r.TraceParent) != aTraceParent || string(r.TraceState) != state || string(r.Path) != "/" || r.Status != 200 || r.Start.IsZero() || r.FromTarget == 0 {
				t.Errorf("the record is %+v, want the state %q", r, state)
			}
		}
	}
}

func TestRetriesAreTraced(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(backend.Close)
	target := backend.Listener.Addr().String()
	tracer := &tracer{}
	w := newWorld(t, func(cfg *Config) { cfg.Tracer = tracer })
	w.storefront("127.0.0.9:1", target) // Nobody listens at the first.
	trellistest.Await(t, func() bool {
		w.dial().get("/", "traceparent: "+aTraceParent)
		return slices.ContainsFunc(tracer.traced(), func(r accesslog.Record) bool { return len(r.Retries) > 0 })
	}, "a target that cannot be reached is chosen first")
	for _, r := range tracer.traced() {
		for _, retry := range r.Retries {
			if retry.Target.String() != "127.0.0.9:1" || retry.Failure != accesslog.TargetConnectionError || retry.Problem == nil || retry.Ended <= 0 || retry.Ended > r.Duration+time.Millisecond {
				t.Errorf("the retry is %+v, the exchange took %v", retry, r.Duration)
			}
		}
		if len(r.Retries) > 1 || r.Target.String() != target || r.Status != 200 {
			t.Errorf("the record is %+v", r)
		}
	}
}
