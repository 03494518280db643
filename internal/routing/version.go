package routing

import "trellis/internal/shape"

// Version is the version of HTTP by which a request comes.
type Version uint8

// The versions.
const (
	HTTP1 Version = iota
	HTTP2
)

// Carries reports whether a request that comes by a version can go to the target group (UG target-groups; A-333). Of the
// request it looks at the method and the headers, if it has to.
func (g *TargetGroup) Carries(by Version, request *Request) bool {
	switch g.ProtocolVersion {
	case shape.TargetGroupProtocolVersionGrpc:
		return by == HTTP2 && string(request.Method) == "POST"
	case shape.TargetGroupProtocolVersionHttp2:
		return by == HTTP2
	default:
		return by == HTTP1 || !IsGRPC(request)
	}
}

// IsGRPC reports whether a request that came by HTTP/2 is one of gRPC.
func IsGRPC(request *Request) bool {
	if string(request.Method) != "POST" || request.Headers == nil {
		return false
	}
	const kind = "application/grpc"
	value, _ := request.Headers.Header("content-type", 0)
	if len(value) < len(kind) {
		return false
	}
	for i := range len(kind) {
		if lower(value[i]) != kind[i] {
			return false
		}
	}
	return len(value) == len(kind) || value[len(kind)] == '+' || value[len(kind)] == ';'
}

// needs returns what the target group requires of a request, and whether the request meets that as far as is known. It is
// empty if any version will do.
func (g *TargetGroup) needs(request *Request) (what string, met bool) {
	switch by1, by2 := g.Carries(HTTP1, request), g.Carries(HTTP2, request); {
	case by1 && by2:
		return "", true
	case by1:
		return "HTTP/1.1", true // gRPC goes to target groups of HTTP2 and GRPC only.
	case by2:
		return "HTTP/2", true
	default:
		return "HTTP/2 and the method POST", false
	}
}
