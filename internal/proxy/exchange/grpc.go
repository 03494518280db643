package exchange

import (
	"strconv"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
)

// GRPCCode is a status code of gRPC.
type GRPCCode int

// The codes with which the proxy refuses (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
const (
	grpcUnknown          GRPCCode = 2
	grpcDeadlineExceeded GRPCCode = 4
	grpcPermissionDenied GRPCCode = 7
	grpcUnimplemented    GRPCCode = 12
	grpcInternal         GRPCCode = 13
	grpcUnavailable      GRPCCode = 14
	grpcUnauthenticated  GRPCCode = 16
)

// SpeaksGRPC reports whether the request is one of gRPC, which uses HTTP/2 only.
func (x *HTTP) SpeaksGRPC() bool {
	x.route.Method = x.Request.Method
	return x.version == routing.HTTP2 && routing.IsGRPC(&x.route)
}

// GRPC returns the code of gRPC that corresponds to the status of the refusal. It is the one that clients derive from the status
// (https://grpc.github.io/grpc/core/md_doc_http-grpc-status-mapping.html), except where the proxy knows more.
func (r Refusal) GRPC() GRPCCode {
	if r == Loop {
		return grpcInternal // After the codes that mean a target without a connection, clients try again.
	}
	switch r.Failure {
	case accesslog.TargetConnectionError, accesslog.ConnectionDurationExceeded:
		return grpcUnavailable
	case accesslog.InternalError:
		if r.Status == 500 {
			return grpcInternal
		}
	}
	if r == noVersionForThis {
		return grpcUnimplemented // Trying again would not help.
	}
	switch r.Status {
	case 400:
		return grpcInternal
	case 401:
		return grpcUnauthenticated
	case 403:
		return grpcPermissionDenied
	case 404, 421:
		return grpcUnimplemented
	case 408:
		return grpcDeadlineExceeded
	case 429, 502, 503, 504:
		return grpcUnavailable
	default:
		return grpcUnknown
	}
}

// NoteGRPC notes the gRPC status of a response that the proxy makes itself.
func (x *HTTP) NoteGRPC(code GRPCCode) {
	x.Record.Status, x.Record.HasGRPCStatus, x.Record.GRPCStatus = 200, true, int(code)
}

// TakeTrailers looks for a gRPC status in the trailers of the target's response.
func (x *HTTP) TakeTrailers(lines []byte) {
	if !x.recorded || !x.SpeaksGRPC() {
		return
	}
	_ = http1.Trailers(lines, func(name, value []byte) { // Malformed trailers are refused when they are passed on.
		if http1.EqualFold(name, "grpc-status") {
			x.takeGRPCStatus(value)
		}
	})
}

// takeGRPCStatus notes the gRPC status of the target's response.
func (x *HTTP) takeGRPCStatus(value []byte) {
	if code, err := strconv.Atoi(string(value)); err == nil {
		x.Record.HasGRPCStatus, x.Record.GRPCStatus = true, code
	}
}
