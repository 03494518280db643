package tracing

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc/codes"

	"trellis/internal/accesslog"
	"trellis/internal/routing"
)

const (
	server = tracepb.Span_SPAN_KIND_SERVER
	client = tracepb.Span_SPAN_KIND_CLIENT
)

// passedProtocol is that of a record of a connection that is passed through.
const passedProtocol = "TLS"

// Trace implements accesslog.Tracer: it makes a span of the exchange, and one of each attempt at a target below it.
func (t *Tracer) Trace(r *accesslog.Record) { t.enqueue(spansOf(r)) }

func spansOf(r *accesslog.Record) []*tracepb.Span {
	span := newSpan(r.TraceParent, r.TraceState, server, spanName(r, routeOf(r)), r.Start, r.Duration)
	describe(span, r)
	spans := []*tracepb.Span{span}
	var from time.Duration
	for i, retry := range r.Retries {
		attempt := below(span, client, spanName(r, r.Forward.TargetGroup.Name), from, retry.Ended)
		describeAttempt(attempt, r, retry.Target, i)
		failed(attempt, string(retry.Failure), problemText(retry.Problem))
		spans = append(spans, attempt)
		from = retry.Ended + retry.Pause

		event := &tracepb.Span{} // Attributes are added to spans.
		text(event, "trellis.target", retry.Target.String())
		text(event, "trellis.problem", problemText(retry.Problem))
		span.Events = append(span.Events, &tracepb.Span_Event{
			TimeUnixNano: span.StartTimeUnixNano + uint64(retry.Ended), Name: "retry", Attributes: event.Attributes})
	}
	if target := r.Place(); target.IsKnown() {
		attempt := below(span, client, spanName(r, r.Forward.TargetGroup.Name), min(from, r.Duration), r.Duration)
		describeAttempt(attempt, r, target, len(r.Retries))
		responded := r.FromTarget > 0
		if responded {
			number(attempt, "http.response.status_code", int64(r.Status))
		}
		describeGRPC(attempt, r)
		switch {
		case r.Failure != "" && !r.Failure.OfClient():
			failed(attempt, string(r.Failure), problemText(r.Problem))
		// Unlike a server's span, a client's has failed with any status that is not a success.
		case r.HasGRPCStatus && r.GRPCStatus != int(codes.OK):
			failed(attempt, codeName(codes.Code(r.GRPCStatus)), "")
		case responded && r.Status >= 400:
			failed(attempt, strconv.Itoa(r.Status), "")
		}
		spans = append(spans, attempt)
	}
	return spans
}

// spanName returns a name that many exchanges share: paths are not in it, since clients choose them.
func spanName(r *accesslog.Record, of string) string {
	if r.Protocol == passedProtocol {
		return strings.TrimSuffix("TLS "+of, " ")
	}
	return nameOf(string(r.Method), of)
}

// routeOf returns the names of the service and of the rule that an exchange has found.
func routeOf(r *accesslog.Record) string {
	switch {
	case r.Service == nil:
		return ""
	case r.Rule == nil:
		return r.Service.Name
	case r.Rule.IsDefault:
		return r.Service.Name + "/default"
	}
	return r.Service.Name + "/" + cmp.Or(r.Rule.Name, r.Rule.ID)
}

// describe adds the attributes of a server's span
// (https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server-span), and Trellis's own. The query is left out,
// since many have secrets in it.
func describe(span *tracepb.Span, r *accesslog.Record) {
	port := int(r.Destination.Port())
	if r.Service != nil {
		port = r.Service.Port // The bound port may be another one.
	}
	if r.Protocol == passedProtocol {
		text(span, "network.transport", "tcp")
		if r.TLS != nil {
			served(span, r.TLS.ServerName, port)
		}
	} else {
		describeRequest(span, r)
		served(span, string(r.Host), port)
	}
	text(span, "client.address", r.Source.Addr().Unmap().String())
	addressed(span, "network.peer.address", "network.peer.port", r.Source)
	text(span, "aws.request_id", string(r.RequestID))
	describeRoute(span, r)
	number(span, "trellis.bytes_received", r.Received)
	number(span, "trellis.bytes_sent", r.Sent)
	switch code := codes.Code(r.GRPCStatus); {
	case r.HasGRPCStatus && isServers(code):
		failed(span, cmp.Or(string(r.Failure), codeName(code)), problemText(r.Problem))
	case r.Failure != "" && !r.Failure.OfClient():
		failed(span, string(r.Failure), problemText(r.Problem))
	case r.Status >= 500:
		failed(span, strconv.Itoa(r.Status), "")
	}
}

func describeRequest(span *tracepb.Span, r *accesslog.Record) {
	method(span, string(r.Method))
	text(span, "url.path", string(r.Path))
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	text(span, "url.scheme", scheme)
	if r.Rule != nil {
		text(span, "http.route", r.Rule.Path())
	}
	if r.Status != 0 {
		number(span, "http.response.status_code", int64(r.Status))
	}
	text(span, "network.protocol.version", strings.TrimPrefix(r.Protocol, "HTTP/"))
	text(span, "user_agent.original", string(r.UserAgent))
	describeGRPC(span, r)
}

func describeGRPC(span *tracepb.Span, r *accesslog.Record) {
	if r.HasGRPCStatus {
		text(span, "rpc.system.name", "grpc")
		text(span, "rpc.method", strings.TrimPrefix(string(r.Path), "/"))
		text(span, "rpc.response.status_code", codeName(codes.Code(r.GRPCStatus)))
	}
}

func describeRoute(span *tracepb.Span, r *accesslog.Record) {
	if s := r.Service; s != nil {
		text(span, "trellis.service.name", s.Name)
		text(span, "trellis.service.arn", s.ARN)
		text(span, "trellis.service_network.arn", s.NetworkARN)
		text(span, "trellis.listener.arn", s.ListenerARN)
	}
	if r.Rule != nil {
		text(span, "trellis.rule.arn", r.Rule.ARN)
	}
	if r.Forward != nil {
		text(span, "trellis.target_group.name", r.Forward.TargetGroup.Name)
		text(span, "trellis.target_group.arn", r.Forward.TargetGroup.ARN)
	}
	text(span, "trellis.target", r.Place().String())
	text(span, "trellis.failure_reason", string(r.Failure))
	text(span, "trellis.problem", problemText(r.Problem))
	if r.Caller != nil {
		text(span, "trellis.auth_denied_reason", string(r.Caller.Denied))
	}
}

// describeAttempt adds the attributes of a client's span: those of HTTP, or those of a function.
func describeAttempt(span *tracepb.Span, r *accesslog.Record, target routing.Place, resends int) {
	text(span, "trellis.target_group.arn", r.Forward.TargetGroup.ARN)
	text(span, "trellis.target", target.String())
	if target.Function != "" {
		text(span, "faas.invoked_name", target.FunctionName())
		text(span, "faas.invoked_provider", "aws")
		return
	}
	addressed(span, "server.address", "server.port", target.Address)
	addressed(span, "network.peer.address", "network.peer.port", target.Address)
	if r.Protocol == passedProtocol {
		return
	}
	method(span, string(r.Method))
	if resends > 0 {
		number(span, "http.request.resend_count", int64(resends))
	}
}

func problemText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// isServers reports whether a status of gRPC is a failure of the server
// (https://opentelemetry.io/docs/specs/semconv/rpc/grpc/).
func isServers(code codes.Code) bool {
	switch code {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	}
	return false
}

// codeNames are the names of gRPC's codes, by number (https://grpc.io/docs/guides/status-codes/).
var codeNames = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
}

func codeName(code codes.Code) string {
	if int(code) < len(codeNames) {
		return codeNames[code]
	}
	return strconv.Itoa(int(code))
}
