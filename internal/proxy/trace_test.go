package proxy

import (
	"bytes"
	"io"
	"net"
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
	mu      sync.Mutex // mu guards the fields below.
	records []accesslog.Record
	reached []accesslog.ResourceRecord
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

func (t *tracer) TraceResource(r *accesslog.ResourceRecord) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reached = append(t.reached, *r)
}

func (t *tracer) tracedToResources() []accesslog.ResourceRecord {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.reached)
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

// samplesAll is a tracer that samples whatever has no traceparent.
type samplesAll struct{ *tracer }

func (samplesAll) Samples(traceparent []byte) bool { return traceparent == nil }

// A connection to a resource has no traceparent. It is traced when it has ended, whatever came of it.
func TestConnectionsToResourcesAreTraced(t *testing.T) {
	for _, sampled := range []bool{true, false} {
		tracer := &tracer{}
		w := newWorld(t, func(cfg *Config) {
			if cfg.Tracer = tracer; sampled {
				cfg.Tracer = samplesAll{tracer}
			}
		})
		target := newPeer(t, "127.0.0.1:0", func(conn *net.TCPConn) {
			io.ReadFull(conn, make([]byte, len("question")))
			io.WriteString(conn, "answer")
		})
		address := w.resource("db", 1, atAddress("127.0.0.1"), target.ports())
		resource, _ := w.router.Resource(address)
		conn := reach(t, address, target.port)
		io.WriteString(conn, "question")
		if got, err := io.ReadAll(conn); string(got) != "answer" || err != nil {
			t.Fatalf("%q came, error %v", got, err)
		}
		conn.Close()
		w.connections(1, resource)
		w.resource("db", 1, atAddress(deadAddress), target.ports())
		refusal(address, target.port)
		w.connections(2, resource)
		if !sampled {
			if n := len(tracer.tracedToResources()); n > 0 {
				t.Errorf("%d connections are traced that were not sampled", n)
			}
			continue
		}
		trellistest.Await(t, func() bool { return len(tracer.tracedToResources()) == 2 }, "both connections are traced")
		traced := tracer.tracedToResources()
		if r := traced[0]; r.Name != "the-rcfg-db" || r.Failure != "" || r.Problem != nil || r.Received != int64(len("question")) || r.Sent != int64(len("answer")) ||
			r.Duration <= 0 || r.Resource.Port() != target.port {
			t.Errorf("the record is %+v", r)
		}
		if r := traced[1]; r.Failure != accesslog.TargetConnectionError || r.Problem == nil || r.Received != 0 || r.Resource.IsValid() {
			t.Errorf("the record of what could not be reached is %+v", r)
		}
	}
}
