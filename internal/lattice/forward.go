package lattice

import (
	"fmt"

	"trellis/internal/shape"
)

// ForwardProblem says why a listener of a protocol cannot forward to the target group, or returns "" when it can
// (UG target-groups, UG tls-listeners).
func (g *TargetGroup) ForwardProblem(listener shape.ListenerProtocol) string {
	var config shape.TargetGroupConfig // of a LAMBDA target group: it has neither protocol nor version
	if g.Config != nil {
		config = *g.Config
	}
	isTCP := config.Protocol == shape.TargetGroupProtocolTcp
	switch {
	case listener == shape.ListenerProtocolTlsPassthrough && !isTCP:
		return fmt.Sprintf("A TLS_PASSTHROUGH listener forwards to target groups of the protocol TCP only, which %s is not.", g.ID)
	case listener != shape.ListenerProtocolTlsPassthrough && isTCP:
		return fmt.Sprintf("Only a TLS_PASSTHROUGH listener forwards to target groups of the protocol TCP, such as %s.", g.ID)
	case listener == shape.ListenerProtocolHttp && needsHTTPS(config.ProtocolVersion):
		return fmt.Sprintf("Only an HTTPS listener forwards to target groups of the protocol version %s, such as %s.", config.ProtocolVersion, g.ID)
	}
	return ""
}

func needsHTTPS(version shape.TargetGroupProtocolVersion) bool {
	return version == shape.TargetGroupProtocolVersionHttp2 || version == shape.TargetGroupProtocolVersionGrpc
}
