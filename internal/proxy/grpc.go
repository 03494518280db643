package proxy

import (
	"strconv"

	"trellis/internal/proxy/wire/http2"
	"trellis/internal/routing"
)

// grpcCode is a status code of gRPC.
type grpcCode int

// The codes with which the proxy answers (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
const (
	grpcUnknown          grpcCode = 2
	grpcDeadlineExceeded grpcCode = 4
	grpcPermissionDenied grpcCode = 7
	grpcUnimplemented    grpcCode = 12
	grpcInternal         grpcCode = 13
	grpcUnavailable      grpcCode = 14
	grpcUnauthenticated  grpcCode = 16
)

// speaksGRPC reports whether the request is one of gRPC. It holds for requests by HTTP/2; gRPC has no other version.
func (x *exchange) speaksGRPC() bool {
	x.route.Method = x.request.Method
	return routing.IsGRPC(&x.route)
}

// grpc returns the code that says to a client of gRPC what the refusal says by its status. It is what clients make of the
// status themselves (https://grpc.github.io/grpc/core/md_doc_http-grpc-status-mapping.html) but where we know better: see
//
func (r refusal) grpc() grpcCode {
	if r == loop {
		return grpcInternal // Clients try the codes again that mean a target without a connection.
	}
	switch r.failure {
	case TargetConnectionError, ConnectionDurationExceeded:
		return grpcUnavailable
	case InternalError:
		if r.status == 500 {
			return grpcInternal
		}
	}
	if r == noVersionForThis {
		return grpcUnimplemented // To try again would not help.
	}
	switch r.status {
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

// appendGRPCStatus appends the fields of a response of gRPC that has a status and nothing else, but for those that every
// response has.
func appendGRPCStatus(dst []byte, code grpcCode, message string) []byte {
	dst = http2.AppendStatus(dst, 200)
	dst = http2.AppendField(dst, []byte("content-type"), []byte("application/grpc"))
	dst = http2.AppendField(dst, []byte("grpc-status"), strconv.AppendInt(nil, int64(code), 10))
	return http2.AppendField(dst, []byte("grpc-message"), appendPercent(nil, message))
}

// appendPercent appends a text as gRPC writes it in a header.
func appendPercent(dst []byte, text string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		if b := text[i]; b < ' ' || b > '~' || b == '%' {
			dst = append(dst, '%', digits[b>>4], digits[b&0xf])
		} else {
			dst = append(dst, b)
		}
	}
	return dst
}
