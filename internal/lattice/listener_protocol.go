package lattice

import (
	"fmt"

	"trellis/internal/shape"
)

// IsListenerProtocol reports whether listeners of a protocol can be served. A record may have one of a later version.
func IsListenerProtocol(protocol shape.ListenerProtocol) bool {
	switch protocol {
	case shape.ListenerProtocolHttp, shape.ListenerProtocolHttps, shape.ListenerProtocolTlsPassthrough:
		return true
	default:
		return false
	}
}

// DefaultListenerPort is the port of a listener that is created without one (API CreateListener). For
// TLS_PASSTHROUGH AWS states none.
func DefaultListenerPort(protocol shape.ListenerProtocol) int32 {
	if protocol == shape.ListenerProtocolHttp {
		return 80
	}
	return 443
}

// PassesThrough reports whether a listener of a protocol passes connections on without looking at the requests in them. Such a
// listener has its default rule alone, which forwards, and it knows its connections by the custom domain name of its service
// (UG tls-listeners).
func PassesThrough(protocol shape.ListenerProtocol) bool {
	return protocol == shape.ListenerProtocolTlsPassthrough
}

// ForwardProblem says why a listener of a protocol cannot forward to the target group, or returns "" when it can
// (UG target-groups, UG tls-listeners).
func (g *TargetGroup) ForwardProblem(listener shape.ListenerProtocol) string {
	var config shape.TargetGroupConfig // a LAMBDA target group has neither protocol nor version
	if g.Config != nil {
		config = *g.Config
	}
	isTCP := config.Protocol == shape.TargetGroupProtocolTcp
	switch {
	case PassesThrough(listener) && !isTCP:
		return fmt.Sprintf("A %s listener forwards to target groups of the protocol TCP only, which %s is not.", listener, g.ID)
	case !PassesThrough(listener) && isTCP:
		return fmt.Sprintf("Only a TLS_PASSTHROUGH listener forwards to target groups of the protocol TCP, such as %s.", g.ID)
	case listener == shape.ListenerProtocolHttp && needsHTTPS(config.ProtocolVersion):
		return fmt.Sprintf("Only an HTTPS listener forwards to target groups of the protocol version %s, such as %s.", config.ProtocolVersion, g.ID)
	}
	return ""
}

func needsHTTPS(version shape.TargetGroupProtocolVersion) bool {
	return version == shape.TargetGroupProtocolVersionHttp2 || version == shape.TargetGroupProtocolVersionGrpc
}
