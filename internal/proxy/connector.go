package proxy

import (
	"fmt"

	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http2"
	"trellis/internal/routing"
)

// connectorError says that a target has no connections of the kind that an exchange needs. That is a fault of ours: routing
// must not send such requests there.
type connectorError struct {
	Connector routing.Connector
	Wanted    string
}

func (e *connectorError) Error() string {
	return fmt.Sprintf("the target's connector is a %T, want %s", e.Connector, e.Wanted)
}

// poolsOf returns the connections to a target, of which one kind is not nil. It is the only place that knows the kinds.
func poolsOf(t *routing.Target) (http1 *upstream.Pool, http2s *http2.Pool, err error) {
	switch pool := t.Connector.(type) {
	case *upstream.Pool:
		return pool, nil, nil
	case *http2.Pool:
		return nil, pool, nil
	default:
		return nil, nil, &connectorError{t.Connector, "connections of HTTP/1.1 or HTTP/2"}
	}
}

// byteConnections returns the connections to a target that carry one exchange at a time: HTTP/1.1, or what TLS hides.
func byteConnections(t *routing.Target) (*upstream.Pool, error) {
	pool, _, err := poolsOf(t)
	if err == nil && pool == nil {
		err = &connectorError{t.Connector, "connections of HTTP/1.1"}
	}
	return pool, err
}
