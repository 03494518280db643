package tracing

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	spanID  = "00f067aa0ba902b7"
)

func TestParentDecidesWhetherAnExchangeIsTraced(t *testing.T) {
	for _, test := range []struct {
		traceparent   string
		ratio         float64
		always, never bool
	}{
		{"", 1, true, false},
		{"", 0, false, true},
		{"00-" + traceID + "-" + spanID + "-01", 0, true, false},
		{"00-" + traceID + "-" + spanID + "-00", 1, false, true},
		{"00-" + traceID + "-" + spanID + "-03", 0, true, false},      // Random, too.
		{"00-" + traceID + "-" + spanID + "-02", 1, false, true},      // Random, and not sampled.
		{"cc-" + traceID + "-" + spanID + "-01-what", 0, true, false}, // A later version.
		{"ff-" + traceID + "-" + spanID + "-00", 1, true, false},      // Not a version: as without.
		{"00-00000000000000000000000000000000-" + spanID + "-00", 1, true, false},
		{"00-" + traceID + "-0000000000000000-00", 1, true, false},
		{"00-" + traceID + "-" + spanID + "-00-more", 1, true, false},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" + spanID + "-00", 1, true, false},
		{"nonsense", 1, true, false},
		{"nonsense", 0, false, true},
	} {
		tracer, sampled := &Tracer{cfg: Config{Ratio: test.ratio}}, 0
		for range 100 {
			if tracer.Samples([]byte(test.traceparent)) {
				sampled++
			}
		}
		if test.always && sampled != 100 || test.never && sampled != 0 {
			t.Errorf("with a ratio of %v, %d of 100 requests with traceparent %q are sampled", test.ratio, sampled, test.traceparent)
		}
	}
}

func TestRatioOfRequestsWithoutAParentIsTraced(t *testing.T) {
	tracer, sampled := &Tracer{cfg: Config{Ratio: 0.25}}, 0
	for range 100_000 {
		if tracer.Samples(nil) {
			sampled++
		}
	}
	// The standard deviation is 137.
	if sampled < 25_000-1_000 || sampled > 25_000+1_000 {
		t.Errorf("%d of 100000 requests are sampled, want a quarter", sampled)
	}
}

func TestDecisionAllocatesNothing(t *testing.T) {
	tracer, header := &Tracer{cfg: Config{Ratio: 0.1}}, []byte("00-"+traceID+"-"+spanID+"-00")
	if n := testing.AllocsPerRun(100, func() { tracer.Samples(header); tracer.Samples(nil) }); n != 0 {
		t.Errorf("the decision takes %v allocations", n)
	}
}

// What OpenTelemetry's own parser accepts is accepted, and nothing else. Two things follow the specification instead: a header of
// version 00 with flags that are not defined yet is taken, and one with a hyphen at its end is not.
func FuzzParent(f *testing.F) {
	for _, seed := range []string{
		"", "00-" + traceID + "-" + spanID + "-01", "00-" + traceID + "-" + spanID + "-00", "01-" + traceID + "-" + spanID + "-01-more",
		"00-" + traceID + "-" + spanID + "-01-more", "ff-" + traceID + "-" + spanID + "-01", "0A-" + traceID + "-" + spanID + "-01",
		"00-" + traceID + "-" + spanID + "-ff", "01-" + traceID + "-" + spanID + "-01.", "01-" + traceID + "-" + spanID + "-01-",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		got, ok := parseParent(header)
		if ok && string(header[:2]) == "00" && (header[53] != '0' || header[54] > '3') || len(header) == 56 && string(header[:2]) == "00" {
			return
		}
		ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": string(header)})
		want := trace.SpanContextFromContext(ctx)
		if ok != want.IsValid() || ok && (got.trace != want.TraceID() || got.span != want.SpanID() || got.sampled != want.IsSampled()) {
			t.Errorf("%q is %+v, %v; OpenTelemetry has %+v", header, got, ok, want)
		}
	})
}
