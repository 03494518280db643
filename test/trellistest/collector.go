package trellistest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector keeps the spans that it gets by OTLP over HTTP.
type Collector struct {
	// URL is the endpoint, without /v1/traces.
	URL string

	mu       sync.Mutex // mu guards the fields below.
	spans    []*tracepb.Span
	resource *resourcepb.Resource
	status   int
}

// StartCollector runs a collector until the test is over.
func StartCollector(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{status: http.StatusOK}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// ServeHTTP implements http.Handler.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collectorpb.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
		http.Error(w, "the body is not an export of spans", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == http.StatusOK {
		for _, resource := range sent.ResourceSpans {
			c.resource = resource.Resource
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(c.status) // An empty body is an empty message.
}

// Answer sets the status with which spans are answered. Only 200 takes them.
func (c *Collector) Answer(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// Spans returns the spans that have come.
func (c *Collector) Spans() []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Resource returns the resource of the latest spans.
func (c *Collector) Resource() *resourcepb.Resource {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resource
}

// SpanText returns the value of an attribute of a span, as a text, or "" if it has none.
func SpanText(span *tracepb.Span, key string) string {
	for _, a := range span.Attributes {
		if a.Key == key {
			return AttributeText(a.Value)
		}
	}
	return ""
}

// AttributeText returns the value of an attribute as a text.
func AttributeText(value *commonpb.AnyValue) string {
	if n, ok := value.Value.(*commonpb.AnyValue_IntValue); ok {
		return strconv.FormatInt(n.IntValue, 10)
	}
	return value.GetStringValue()
}
