// Package tracing makes spans of exchanges and of calls of the API, with the attributes of OpenTelemetry's semantic conventions,
// and sends them to a collector by OTLP (https://opentelemetry.io/docs/specs/otlp/).
//
// A span is made when its exchange has ended, from the record that access logs use too. So nothing is held for exchanges in
// flight, and one that is not sampled costs only the decision. Spans wait for the collector in a bounded queue. Those that find no
// room there, or cannot be delivered, are lost and counted. Nothing that makes spans ever waits.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"trellis/internal/summary"
)

const (
	// maxQueued bounds the spans that wait, or are being sent: to some 50 MB, since each text is cut.
	maxQueued = 8192
	// maxBatch is how many of them are sent at once, and interval how long they are collected before.
	maxBatch = 512
	interval = time.Second
	// flushTimeout bounds how long the end of the process waits for the collector.
	flushTimeout = 3 * time.Second
)

// Config has the settings of a Tracer.
type Config struct {
	// Endpoint is the URL of the collector; spans go to /v1/traces below it. If it is empty, OpenTelemetry's environment variables
	// say where. They also say everything else, such as headers and certificates.
	Endpoint string
	// Ratio is the share of exchanges without a parent that are sampled.
	Ratio float64
	// Version is the version of the program.
	Version string
	Log     *slog.Logger
}

// Wanted reports whether the configuration or OpenTelemetry's environment variables name a collector
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).
func Wanted(endpoint string) bool {
	return endpoint != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Tracer is an accesslog.Tracer. Its methods may be called from any goroutine.
type Tracer struct {
	cfg      Config
	client   otlptrace.Client
	resource *resourcepb.Resource
	scope    *commonpb.InstrumentationScope
	queue    chan []*tracepb.Span // each element has the spans of one exchange or call
	dropped  *summary.Summary
	failed   *summary.Summary
	// flush is flushTimeout, except in tests of what arrives: a busy machine needs longer.
	flush time.Duration

	queued, delivered, lost, failures atomic.Int64
	untold                            atomic.Int64 // spans that had no room, not logged yet
}

// Figures are the counters of a Tracer. All but Failures count spans.
type Figures struct {
	// Queued wait, or are being sent.
	Queued, Delivered, Lost int64
	// Failures counts batches that the collector did not take.
	Failures int64
}

// New returns a tracer. Run sends what comes.
func New(ctx context.Context, cfg Config) (*Tracer, error) {
	var options []otlptracehttp.Option
	if cfg.Endpoint != "" {
		options = append(options, otlptracehttp.WithEndpointURL(strings.TrimSuffix(cfg.Endpoint, "/")+"/v1/traces"))
	}
	t := &Tracer{
		cfg: cfg, flush: flushTimeout, client: otlptracehttp.NewClient(options...), queue: make(chan []*tracepb.Span, maxQueued),
		scope: &commonpb.InstrumentationScope{Name: "trellis", Version: cfg.Version},
		dropped: summary.New(summary.Config{Log: cfg.Log, First: "spans are lost: they come faster than the collector takes them",
			Again: "more spans were lost"}),
		failed: summary.New(summary.Config{Log: cfg.Log, First: "spans cannot be sent to the collector, and are lost (--otlp-endpoint)",
			Again: "more spans could not be sent", Interval: 5 * time.Minute}),
	}
	if err := t.client.Start(ctx); err != nil {
		return nil, err
	}
	// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come last, and so take precedence.
	described, err := resource.Merge(resource.NewSchemaless(
		attribute.String("service.name", "trellis"), attribute.String("service.version", cfg.Version)), resource.Environment())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	t.resource = &resourcepb.Resource{}
	for _, a := range described.Attributes() {
		t.resource.Attributes = append(t.resource.Attributes, textValue(string(a.Key), a.Value.String()))
	}
	return t, nil
}

// Samples implements accesslog.Tracer: the client's decision holds; without a parent, chance decides.
func (t *Tracer) Samples(traceparent []byte) bool {
	if p, ok := parseParent(traceparent); ok {
		return p.sampled
	}
	return rand.Float64() < t.cfg.Ratio
}

// Figures returns what has been counted.
func (t *Tracer) Figures() Figures {
	return Figures{Queued: t.queued.Load(), Delivered: t.delivered.Load(), Lost: t.lost.Load(), Failures: t.failures.Load()}
}

// enqueue takes the spans of an exchange or a call, if there is room.
func (t *Tracer) enqueue(spans []*tracepb.Span) {
	n := int64(len(spans))
	if t.queued.Add(n) > maxQueued {
		t.queued.Add(-n)
		t.lost.Add(n)
		t.untold.Add(n)
		return
	}
	t.queue <- spans // There is room: it takes as many as maxQueued.
}

// Run sends spans until ctx ends, and then, within flushTimeout, those that are left.
func (t *Tracer) Run(ctx context.Context) error {
	defer t.dropped.Close()
	defer t.tellDropped()
	defer t.failed.Close()
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(t.flush, cancel) })()
	for {
		select {
		case first := <-t.queue:
			t.send(sending, t.collect(ctx, first))
			continue
		default:
		}
		select {
		case first := <-t.queue:
			t.send(sending, t.collect(ctx, first))
		case <-ctx.Done():
			return t.client.Stop(context.WithoutCancel(ctx))
		}
	}
}

// collect returns the spans of a batch as soon as it is full, has waited long enough, or ctx ends.
func (t *Tracer) collect(ctx context.Context, batch []*tracepb.Span) []*tracepb.Span {
	full := time.NewTimer(interval)
	defer full.Stop()
	for n := 1; n < maxBatch; n++ {
		select {
		case more := <-t.queue:
			batch = append(batch, more...)
			continue
		default:
		}
		select {
		case more := <-t.queue:
			batch = append(batch, more...)
		case <-full.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// send sends a batch. Spans that the collector does not take are lost: when it works again, newer spans are worth more.
func (t *Tracer) send(ctx context.Context, spans []*tracepb.Span) {
	n := int64(len(spans))
	err := t.client.UploadTraces(ctx, []*tracepb.ResourceSpans{{
		Resource: t.resource, ScopeSpans: []*tracepb.ScopeSpans{{Scope: t.scope, Spans: spans}},
	}})
	t.queued.Add(-n)
	t.tellDropped()
	if err == nil {
		t.delivered.Add(n)
		return
	}
	t.lost.Add(n)
	t.failures.Add(1)
	t.failed.Happened(n, "error", err)
}

// tellDropped logs how many spans had no room. The goroutines that made them must not wait for the log.
func (t *Tracer) tellDropped() {
	if n := t.untold.Swap(0); n > 0 {
		t.dropped.Happened(n)
	}
}
