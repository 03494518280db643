package tracing

import (
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"trellis/internal/accesslog"
)

// TraceResource implements accesslog.Tracer: it makes a span of the connection.
func (t *Tracer) TraceResource(r *accesslog.ResourceRecord) {
	t.enqueue([]*tracepb.Span{resourceSpan(r)})
}

func resourceSpan(r *accesslog.ResourceRecord) *tracepb.Span {
	span := newSpan(nil, nil, server, "TCP "+r.Name, r.Start, r.Duration)
	text(span, "network.transport", "tcp")
	addressed(span, "server.address", "server.port", r.Destination)
	text(span, "client.address", r.Source.Addr().Unmap().String())
	addressed(span, "network.peer.address", "network.peer.port", r.Source)
	text(span, "trellis.resource_configuration.name", r.Name)
	text(span, "trellis.resource_configuration.arn", r.ConfigurationARN)
	text(span, "trellis.service_network.arn", r.NetworkARN)
	text(span, "trellis.resource_association.id", r.AssociationID)
	text(span, "trellis.vpc_endpoint.id", r.EndpointID)
	if r.Resource.IsValid() {
		text(span, "trellis.target", r.Resource.String())
	}
	text(span, "trellis.failure_reason", string(r.Failure))
	text(span, "trellis.problem", problemText(r.Problem))
	number(span, "trellis.bytes_received", r.Received)
	number(span, "trellis.bytes_sent", r.Sent)
	if r.Failure != "" && !r.Failure.OfClient() {
		failed(span, string(r.Failure), problemText(r.Problem))
	}
	return span
}
