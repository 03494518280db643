package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"trellis/internal/accesslog"
	"trellis/internal/routing"
	"trellis/test/trellistest"
)

func record() *accesslog.Record {
	const arn = "arn:aws:vpc-lattice:us-west-2:111122223333:"
	return &accesslog.Record{
		Start: time.Date(2026, 5, 1, 10, 0, 0, 123e6, time.UTC), Duration: 8 * time.Millisecond, ToTarget: time.Millisecond, FromTarget: 5 * time.Millisecond,
		Connection: &accesslog.Connection{
			Source: netip.MustParseAddrPort("[::ffff:10.0.1.15]:43210"), Destination: netip.MustParseAddrPort("127.0.0.1:8080"),
		},
		Target: &routing.Place{Address: netip.MustParseAddrPort("10.0.2.9:8000")},
		Service: &routing.Service{
			ARN: arn + "service/svc-0123456789abcdef0", ID: "svc-0123456789abcdef0", Name: "rates", Port: 80,
			NetworkARN: arn + "servicenetwork/sn-0123456789abcdef0", ListenerARN: arn + "service/svc-0123456789abcdef0/listener/listener-0123456789abcdef0",
		},
		Rule:     &routing.Rule{ID: "rule-0123456789abcdef0", ARN: "arn:of:the:rule", Name: "currencies"},
		Forward:  &routing.Forward{TargetGroup: &routing.TargetGroup{ARN: arn + "targetgroup/tg-0123456789abcdef0", Name: "rates-v1"}},
		Protocol: "HTTP/1.1", Method: []byte("GET"), Path: []byte("/rates/eur"), Query: []byte("?secret=1"), Host: []byte("rates.example.com"),
		UserAgent: []byte("curl/8.0"), RequestID: []byte("11111111-2222-3333-4444-555555555555"), Status: 200, Received: 120, Sent: 310,
	}
}

// written writes spans for people, with times from the start of the first one.
func written(spans []*tracepb.Span) string {
	var b strings.Builder
	first := spans[0]
	for _, s := range spans {
		offset := func(at uint64) time.Duration { return time.Duration(at - first.StartTimeUnixNano) }
		parent := "none"
		switch {
		case string(s.ParentSpanId) == string(first.SpanId):
			parent = "the first"
		case len(s.ParentSpanId) > 0:
			parent = fmt.Sprintf("%x", s.ParentSpanId)
		}
		fmt.Fprintf(&b, "%s %q, %v to %v, below %s", strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"), s.Name, offset(s.StartTimeUnixNano), offset(s.EndTimeUnixNano), parent)
		if s.TraceState != "" {
			fmt.Fprintf(&b, ", state %s", s.TraceState)
		}
		if s.Status != nil {
			fmt.Fprintf(&b, ", %s %q", strings.TrimPrefix(s.Status.Code.String(), "STATUS_CODE_"), s.Status.Message)
		}
		b.WriteString("\n")
		for _, a := range s.Attributes {
			fmt.Fprintf(&b, "  %s: %s\n", a.Key, trellistest.AttributeText(a.Value))
		}
		for _, e := range s.Events {
			fmt.Fprintf(&b, "  event %s at %v\n", e.Name, offset(e.TimeUnixNano))
			for _, a := range e.Attributes {
				fmt.Fprintf(&b, "    %s: %s\n", a.Key, trellistest.AttributeText(a.Value))
			}
		}
	}
	return b.String()
}

// The golden file has the spans of each kind of exchange, and of each kind of connection to a resource.
func TestSpansFollowTheConventions(t *testing.T) {
	want, err := os.ReadFile("testdata/spans.txt")
	if err != nil {
		t.Error(err)
	}
	refused := func(r *accesslog.Record) {
		r.Forward, r.Target, r.ToTarget, r.FromTarget = nil, nil, 0, 0
	}
	var got strings.Builder
	for _, c := range []struct {
		name   string
		change func(*accesslog.Record)
	}{
		{"forwarded, with a parent", func(r *accesslog.Record) {
			r.TraceParent, r.TraceState = []byte("00-"+traceID+"-"+spanID+"-01"), []byte("vendor=1")
		}},
		{"over TLS by HTTP/2, by a default rule", func(r *accesslog.Record) {
			r.Protocol = "HTTP/2"
			r.TLS = &accesslog.TLS{ServerName: "rates.example.com"}
			r.Rule = &routing.Rule{ID: "rule-0123456789abcdef1", ARN: "arn:of:the:default", IsDefault: true}
		}},
		{"gRPC that fails", func(r *accesslog.Record) {
			r.Protocol, r.Method, r.Path, r.HasGRPCStatus, r.GRPCStatus = "HTTP/2", []byte("POST"), []byte("/rates.Rates/Get"), true, 14
		}},
		{"gRPC that finds nothing", func(r *accesslog.Record) {
			r.Protocol, r.Method, r.Path, r.HasGRPCStatus, r.GRPCStatus = "HTTP/2", []byte("POST"), []byte("/rates.Rates/Get"), true, 5
		}},
		{"answered with 404 by the target", func(r *accesslog.Record) { r.Status = 404 }},
		{"answered with 503 by the target", func(r *accesslog.Record) { r.Status = 503 }},
		{"denied", func(r *accesslog.Record) {
			refused(r)
			r.Status, r.Failure, r.Rule, r.Caller = 403, accesslog.ClientAccessDenied, nil, &accesslog.Caller{Denied: accesslog.DeniedByService}
		}},
		{"unknown host, unknown method", func(r *accesslog.Record) {
			refused(r)
			r.Status, r.Service, r.Rule, r.Method, r.Host = 404, nil, nil, []byte("BREW"), []byte("nobody.example:8080")
		}},
		{"no target answers, after a retry", func(r *accesslog.Record) {
			r.Status, r.FromTarget, r.Failure, r.Problem = 500, 0, accesslog.TargetConnectionError, errors.New("connection refused")
			r.Retries = []accesslog.Retry{{Ended: 2 * time.Millisecond, Pause: time.Millisecond,
				Target: routing.Place{Address: netip.MustParseAddrPort("10.0.2.8:8000")}, Failure: accesslog.TargetConnectionError, Problem: errors.New("no route")}}
		}},
		{"a client that goes", func(r *accesslog.Record) { r.Status, r.FromTarget, r.Failure = 0, 0, accesslog.ClientConnectionClosed }},
		{"by a function that fails", func(r *accesslog.Record) {
			r.Status, r.Failure, r.Target = 502, accesslog.LambdaUnhandled, &routing.Place{Function: "arn:aws:lambda:us-west-2:111122223333:function:rates:live"}
		}},
		{"passed through", func(r *accesslog.Record) {
			*r = accesslog.Record{Start: r.Start, Duration: r.Duration, Connection: r.Connection, Target: r.Target, Service: r.Service,
				Rule: &routing.Rule{IsDefault: true, ARN: "arn:of:the:default"}, Forward: r.Forward,
				Protocol: "TLS", Received: 5000, Sent: 90000}
			r.TLS = &accesslog.TLS{ServerName: "rates.example.com"}
		}},
	} {
		r := record()
		c.change(r)
		got.WriteString("# " + c.name + "\n" + written(spansOf(r)))
	}
	for _, c := range []struct {
		name   string
		change func(*accesslog.ResourceRecord)
	}{
		{"to a resource", func(r *accesslog.ResourceRecord) {}},
		{"to a resource that is not let in", func(r *accesslog.ResourceRecord) {
			r.Failure, r.Problem, r.Resource = accesslog.ClientAccessDenied, errors.New("port 22 is outside the port ranges"), netip.AddrPort{}
			r.Received, r.Sent = 0, 0
		}},
		{"to a resource that does not answer, by an endpoint", func(r *accesslog.ResourceRecord) {
			r.NetworkARN, r.AssociationID, r.EndpointID = "", "", "vpce-0123456789abcdef0"
			r.Failure, r.Problem, r.Resource = accesslog.TargetConnectionError, errors.New("connection refused"), netip.AddrPort{}
			r.Received, r.Sent = 0, 0
		}},
	} {
		r := &accesslog.ResourceRecord{
			Start: time.Date(2026, 5, 1, 10, 0, 0, 123e6, time.UTC), Duration: 3 * time.Second, Received: 5000, Sent: 90000,
			NetworkARN: "arn:of:the:network", AssociationID: "snra-0123456789abcdef0", ConfigurationARN: "arn:of:the:configuration", Name: "orders-db",
			Source: netip.MustParseAddrPort("[::ffff:10.0.1.15]:43210"), Destination: netip.MustParseAddrPort("127.100.0.7:5432"),
			Resource: netip.MustParseAddrPort("10.0.2.9:5432"),
		}
		c.change(r)
		got.WriteString("# " + c.name + "\n" + written([]*tracepb.Span{resourceSpan(r)}))
	}
	if got.String() != string(want) {
		t.Errorf("testdata/spans.txt should be:\n%s", got.String())
	}
}

// start runs a tracer until stop is called.
func start(t *testing.T, cfg Config) (tracer *Tracer, stop func()) {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	tracer, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	tracer.flush = 2 * time.Minute
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- tracer.Run(ctx) }()
	return tracer, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestCollectorGetsAllSpansBeforeTheEnd(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	collector := trellistest.StartCollector(t)
	tracer, stop := start(t, Config{Endpoint: collector.URL, Version: "1.2.3"})
	r := record()
	r.Path, r.UserAgent = []byte("/\xff"+strings.Repeat("x", 10_000)), []byte("\x00\xfe")
	for range 1000 {
		tracer.Trace(r)
	}
	stop()
	spans := collector.Spans()
	if f := tracer.Figures(); len(spans) != 2000 || f != (Figures{Delivered: 2000}) {
		t.Errorf("the collector has %d spans and the figures are %+v, want 2000 delivered", len(spans), f)
	}
	if path := trellistest.SpanText(spans[0], "url.path"); len(path) > 2*maxText || !strings.HasPrefix(path, "/\ufffdxxx") {
		t.Errorf("the path is %q", path)
	}
	var about []string
	for _, a := range collector.Resource().GetAttributes() {
		about = append(about, a.Key+"="+trellistest.AttributeText(a.Value))
	}
	if got := strings.Join(about, " "); got != "deployment.environment.name=test service.name=trellis service.version=1.2.3" {
		t.Errorf("the spans are about %s", got)
	}
}

func TestEnvironmentNamesTheCollector(t *testing.T) {
	collector := trellistest.StartCollector(t)
	if Wanted("") {
		t.Error("traces are wanted without a collector")
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	if !Wanted("") {
		t.Error("traces are not wanted with a collector in the environment")
	}
	tracer, stop := start(t, Config{})
	tracer.Trace(record())
	stop()
	if n := len(collector.Spans()); n != 2 {
		t.Errorf("the collector has %d spans", n)
	}
}

// A collector that is down, and then answers with errors, costs spans, which are counted, and neither memory nor time.
func TestDeadCollectorCostsSpansAlone(t *testing.T) {
	dead := fmt.Sprintf("http://127.0.0.1:%d", trellistest.FreePort(t))
	log := &trellistest.Text{}
	tracer, stop := start(t, Config{Endpoint: dead, Log: slog.New(slog.NewTextHandler(log, nil))})
	const sent = 3 * maxQueued
	for range sent {
		tracer.Trace(record())
	}
	stop()
	if f := tracer.Figures(); f.Lost != 2*sent || f.Queued != 0 || f.Delivered != 0 || f.Failures == 0 {
		t.Errorf("the figures are %+v, want all %d spans lost", f, 2*sent)
	}
	lines := strings.Count(log.String(), "\n")
	if !strings.Contains(log.String(), "spans cannot be sent to the collector") || !strings.Contains(log.String(), "connection refused") || lines > 6 {
		t.Errorf("the log has %d lines:\n%s", lines, log.String())
	}
}

// silentClient is a way to a collector that does not answer.
type silentClient struct{ otlptrace.Client }

func (silentClient) UploadTraces(ctx context.Context, _ []*tracepb.ResourceSpans) error {
	<-ctx.Done()
	return ctx.Err()
}

// While the collector does not answer, the queue fills up to its bound, and nobody who makes spans waits. The end of the process
// waits for flushTimeout.
func TestSilentCollectorDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &trellistest.Text{}
		tracer, err := New(t.Context(), Config{Log: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		tracer.client = silentClient{tracer.client}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { tracer.Run(ctx); close(ended) }()
		for range 5 * maxQueued {
			tracer.Trace(record())
		}
		synctest.Wait()
		if f := tracer.Figures(); f.Queued > maxQueued || f.Queued+f.Lost != 10*maxQueued {
			t.Errorf("the figures are %+v, want %d spans queued or lost, at most %d of them queued", f, 10*maxQueued, maxQueued)
		}
		began := time.Now()
		cancel()
		<-ended
		if took := time.Since(began); took > flushTimeout {
			t.Errorf("the end took %v, want at most %v", took, flushTimeout)
		}
		if f := tracer.Figures(); f.Queued != 0 || f.Lost != 10*maxQueued {
			t.Errorf("at the end the figures are %+v, want all spans lost", f)
		}
		if n := strings.Count(log.String(), "spans are lost: they come faster than the collector takes them"); n != 1 {
			t.Errorf("the log tells of it %d times:\n%s", n, log.String())
		}
	})
}

func TestSpansAreDeliveredAgainOnceTheCollectorIsBack(t *testing.T) {
	collector := trellistest.StartCollector(t)
	collector.Answer(http.StatusInternalServerError)
	tracer, stop := start(t, Config{Endpoint: collector.URL})
	defer stop()
	tracer.Trace(record())
	trellistest.Await(t, func() bool { return tracer.Figures().Failures == 1 }, "spans are refused")
	collector.Answer(http.StatusOK)
	tracer.Trace(record())
	trellistest.Await(t, func() bool { return len(collector.Spans()) == 2 }, "the collector has the later spans")
	if f := tracer.Figures(); f.Lost != 2 {
		t.Errorf("the figures are %+v, want 2 spans lost", f)
	}
}

// What clients send fills no memory: each text is cut.
func TestSpansThatWaitAreBoundedInBytes(t *testing.T) {
	r := record()
	long := []byte(strings.Repeat("ü", 30_000))
	r.Method, r.Path, r.Host, r.UserAgent, r.RequestID, r.TraceState = long, long, long, long, long, long
	r.TraceParent, r.Problem = []byte("00-"+traceID+"-"+spanID+"-01"), errors.New(string(long))
	bytes, spans := 0, spansOf(r)
	for _, span := range spans {
		bytes += proto.Size(span)
	}
	if most := 50 << 20 / maxQueued * len(spans); bytes > most {
		t.Errorf("%d spans have %d bytes, want %d at most", len(spans), bytes, most)
	}
}
