package tracing

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"trellis/internal/excerpt"
)

// maxText is how many characters of a text are sent: clients choose many of them.
const maxText = 512

// maxTraceState is the length of the longest tracestate that is sent: anybody may cut or drop longer ones
// (https://www.w3.org/TR/trace-context/#tracestate-limits).
const maxTraceState = 512

// newSpan begins a span below a parent; without one it begins a trace.
func newSpan(traceparent, tracestate []byte, kind tracepb.Span_SpanKind, name string, start time.Time, duration time.Duration) *tracepb.Span {
	span := &tracepb.Span{
		SpanId: random(8), Kind: kind, Name: clean(name),
		StartTimeUnixNano: uint64(start.UnixNano()), EndTimeUnixNano: uint64(start.Add(duration).UnixNano()),
		Flags: uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK) | 1, // The flag says that the span is sampled.
	}
	if p, ok := parseParent(traceparent); ok {
		span.TraceId, span.ParentSpanId = p.trace[:], p.span[:]
		span.Flags |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
		if len(tracestate) <= maxTraceState {
			span.TraceState = strings.ToValidUTF8(string(tracestate), "")
		}
		return span
	}
	span.TraceId = random(16)
	return span
}

// below begins a span within another span and its time.
func below(span *tracepb.Span, kind tracepb.Span_SpanKind, name string, from, to time.Duration) *tracepb.Span {
	return &tracepb.Span{
		TraceId: span.TraceId, ParentSpanId: span.SpanId, SpanId: random(8), Kind: kind, Name: clean(name), TraceState: span.TraceState,
		StartTimeUnixNano: span.StartTimeUnixNano + uint64(from), EndTimeUnixNano: span.StartTimeUnixNano + uint64(to),
		Flags: span.Flags &^ uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK),
	}
}

// random returns an id. It need not be hard to guess, so the random numbers are the runtime's, which take no lock.
func random(bytes int) []byte {
	id := make([]byte, 0, bytes)
	for len(id) < bytes {
		id = binary.LittleEndian.AppendUint64(id, rand.Uint64()|1)
	}
	return id
}

// failed marks a span as failed: with a type, of which there are few, and a text for people.
func failed(span *tracepb.Span, errorType, message string) {
	span.Status = &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: clean(message)}
	text(span, "error.type", errorType)
}

// text adds an attribute, unless it is empty.
func text(span *tracepb.Span, key, value string) {
	if value != "" {
		span.Attributes = append(span.Attributes, textValue(key, value))
	}
}

func number(span *tracepb.Span, key string, value int64) {
	span.Attributes = append(span.Attributes, &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: value}}})
}

func textValue(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: clean(value)}}}
}

// clean shortens a text and makes it valid UTF-8, which protocol buffers require.
func clean(text string) string { return excerpt.Of(strings.ToValidUTF8(text, "\ufffd"), maxText) }

// addressed adds an address and a port, if they are known, under two names.
func addressed(span *tracepb.Span, address, port string, value netip.AddrPort) {
	if value.IsValid() {
		text(span, address, value.Addr().Unmap().String())
		number(span, port, int64(value.Port()))
	}
}

// method adds the method of a request and returns its name for the span's name: clients may send any method.
func method(span *tracepb.Span, sent string) {
	known := knownMethod(sent)
	text(span, "http.request.method", known)
	if known != sent {
		text(span, "http.request.method_original", sent)
	}
}

// knownMethod returns a method that OpenTelemetry's conventions know, or their word for all others
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/).
func knownMethod(sent string) string {
	switch sent {
	case "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE":
		return sent
	}
	return "_OTHER"
}

// nameOf returns the name of a span of HTTP.
func nameOf(method, of string) string {
	if method = knownMethod(method); method == "_OTHER" {
		method = "HTTP"
	}
	if of == "" {
		return method
	}
	return method + " " + of
}

// served adds the name and the port that a client has asked for.
func served(span *tracepb.Span, host string, port int) {
	name := host
	if h, p, err := net.SplitHostPort(host); err == nil {
		name = h
		if n, err := strconv.ParseUint(p, 10, 16); err == nil {
			port = int(n)
		}
	}
	text(span, "server.address", name)
	if name != "" && port != 0 {
		number(span, "server.port", int64(port))
	}
}
