package tracing

import (
	"net/netip"
	"strconv"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"trellis/internal/api"
)

// TraceCall makes a span of a call of the API, if it is sampled.
func (t *Tracer) TraceCall(c *api.EndedCall) {
	traceparent := []byte(c.Request.Header.Get("traceparent"))
	if !t.Samples(traceparent) {
		return
	}
	r := c.Request
	span := newSpan(traceparent, []byte(r.Header.Get("tracestate")), server, c.Operation, c.Started, time.Since(c.Started))
	method(span, r.Method)
	text(span, "url.path", r.URL.Path)
	text(span, "url.scheme", "http")
	number(span, "http.response.status_code", int64(c.Status))
	text(span, "network.protocol.version", strconv.Itoa(r.ProtoMajor)+"."+strconv.Itoa(r.ProtoMinor))
	text(span, "user_agent.original", r.UserAgent())
	served(span, r.Host, 0)
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		text(span, "client.address", peer.Addr().Unmap().String())
		addressed(span, "network.peer.address", "network.peer.port", peer)
	}
	text(span, "aws.request_id", c.Caller.RequestID)
	text(span, "trellis.operation", c.Operation)
	text(span, "trellis.account", c.Caller.Account)
	text(span, "trellis.error_code", c.ErrorCode)
	if c.Status >= 500 {
		failed(span, c.ErrorCode, "")
	}
	t.enqueue([]*tracepb.Span{span})
}
