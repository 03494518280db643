package stories_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"trellis/test/trellistest"
)

// traceParentOf returns the traceparent of a request, which is of a trace of its own.
func traceParentOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	return fmt.Sprintf("00-%x-%x-01", sum[:16], sum[16:24])
}

// TestEachRequestHasASpan sends requests of all kinds, also while the process is replaced, to a node that traces, and looks at
// what a collector gets, and at what targets get of the requests' own traces.
func TestEachRequestHasASpan(t *testing.T) {
	factor := soakFactor(t)
	collector, dir, l := trellistest.StartCollector(t), t.TempDir(), newLogged(t)
	l.traceParents = true
	p := l.start(t, trellistest.Build(t), dir, "--otlp-endpoint", collector.URL, "--access-logs", "none")
	l.build(t, client(t, p.API, filepath.Join(dir, "credentials")), func(string) {})
	number := func(kind kindOfRequest) int { return kind.share * factor }
	l.sendMany(t, "before", kindsOfRequests, number)
	l.sendWhileUpgrading(t, p, number)
	l.checkFunction(t)

	var exchanges []*tracepb.Span
	attempts, calls := map[string][]*tracepb.Span{}, map[string]int{} // by the span above, by operation
	trellistest.Await(t, func() bool {
		exchanges = nil
		clear(attempts)
		clear(calls)
		for _, span := range collector.Spans() {
			switch {
			case span.Kind == tracepb.Span_SPAN_KIND_CLIENT:
				attempts[string(span.ParentSpanId)] = append(attempts[string(span.ParentSpanId)], span)
			case trellistest.SpanText(span, "trellis.operation") != "":
				calls[span.Name]++
			default:
				exchanges = append(exchanges, span)
			}
		}
		return len(exchanges) >= l.total()
	}, "the collector has the spans of %d requests and connections", l.total())
	if calls["CreateService"] != 4 || calls["CreateRule"] == 0 {
		t.Errorf("there are spans of the calls %v", calls)
	}
	tunnels, reached, seen := 0, 0, map[string]int{}
	for _, span := range exchanges {
		text := func(key string) string { return trellistest.SpanText(span, key) }
		id := text("user_agent.original")
		want, known := l.expected[id]
		if span.Name == "TCP database" {
			reached++
			if text("server.address")+":"+text("server.port") != l.resource || text("trellis.bytes_sent") != fmt.Sprint(len(greeting)) ||
				text("trellis.target") == "" || span.Status != nil || span.EndTimeUnixNano <= span.StartTimeUnixNano {
				t.Errorf("of a connection to a resource there is %v", span)
			}
			continue
		}
		if text("network.transport") == "tcp" {
			tunnels++
			if len(attempts[string(span.SpanId)]) != 1 || text("server.address") != sealedHost {
				t.Errorf("of a connection that was passed through there are %v and %v", span, attempts[string(span.SpanId)])
			}
			continue
		}
		if !known {
			t.Errorf("there is a span of nothing that was sent: %v", span)
			continue
		}
		seen[id]++
		reason := strings.TrimPrefix(want.reason, "-")
		failed := span.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR
		if text("trellis.failure_reason") != reason || want.status != 0 && text("http.response.status_code") != fmt.Sprint(want.status) ||
			failed != (reason != "" && !strings.HasPrefix(reason, "Client")) || failed != (text("error.type") != "") ||
			(want.kind == "gRPC") != (text("rpc.response.status_code") == "OK") || span.EndTimeUnixNano < span.StartTimeUnixNano {
			t.Errorf("want %+v, have %v", want, span)
		}
		reaches := text("trellis.target") != ""
		if got := len(attempts[string(span.SpanId)]); reaches != (got > 0) {
			t.Errorf("%s: there are %d spans of attempts at %q", id, got, text("trellis.target"))
		}
		for _, attempt := range attempts[string(span.SpanId)] {
			if attempt.StartTimeUnixNano < span.StartTimeUnixNano || attempt.EndTimeUnixNano > span.EndTimeUnixNano || string(attempt.TraceId) != string(span.TraceId) {
				t.Errorf("%s: an attempt is not within the exchange: %v, %v", id, attempt, span)
			}
		}
		if len(span.ParentSpanId) > 0 { // Those that tests write by hand have no traceparent.
			if got := fmt.Sprintf("00-%x-%x-01", span.TraceId, span.ParentSpanId); got != traceParentOf(id) || span.TraceState != "one=1, two=2" {
				t.Errorf("%s: the parent is %s, the state %q", id, got, span.TraceState)
			}
			if got, ok := l.arrivedWith.Load(id); ok && got != traceParentOf(id)+" one=1, two=2" {
				t.Errorf("%s: the target got %q", id, got)
			}
		}
	}
	for id, want := range l.expected {
		if seen[id] != 1 {
			t.Errorf("there are %d spans of %s", seen[id], id)
		}
		if _, arrived := l.arrivedWith.Load(id); !arrived && (strings.HasPrefix(want.kind, "forwarded") || want.kind == "gRPC") {
			t.Errorf("%s has not arrived", id)
		}
	}
	if tunnels != l.tunnels {
		t.Errorf("there are spans of %d connections that were passed through, want %d", tunnels, l.tunnels)
	}
	if reached != l.reached {
		t.Errorf("there are spans of %d connections to the resource, want %d", reached, l.reached)
	}
	t.Logf("%d requests, %d connections that were passed through and %d to a resource have a span each", len(seen), tunnels, reached)
	p.Stop()
}

// checkFunction makes a function return the headers of its event.
func (l *logged) checkFunction(t *testing.T) {
	t.Helper()
	const id = "of a function that tells its headers"
	l.mu.Lock()
	l.expected[id] = wanted{id, "-", http.StatusOK}
	l.mu.Unlock()
	request := must(http.NewRequest(http.MethodGet, "http://"+l.order+"/trace", nil))(t)
	request.Header.Set("Traceparent", traceParentOf(id))
	request.Header.Set("Tracestate", "one=1, two=2")
	request.Header.Set("User-Agent", id)
	response := must(l.clients["kept"].Do(request))(t)
	defer response.Body.Close()
	body := must(io.ReadAll(response.Body))(t)
	if !strings.Contains(string(body), traceParentOf(id)) || !strings.Contains(string(body), `one=1, two=2`) {
		t.Errorf("the function got %s", body)
	}
}
