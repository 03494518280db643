package upstream

import (
	"context"
	"fmt"

	"trellis/internal/routing"
	"trellis/internal/shape"
	"trellis/internal/tally"
)

// Carrier brings requests to one target: the Connector that the proxy has given routing for it. It is either Connections, or an
// *HTTP2Pool, which takes only requests that came by HTTP/2.
type Carrier interface {
	routing.Connector
	isCarrier()
}

// Connections is a Carrier by connections that carry one exchange at a time: HTTP/1.1, or what TLS hides. They need not be on
// the network: those to functions stay within this process.
type Connections interface {
	Carrier
	// Idle returns a connection that has been used before, or nil when none is idle.
	Idle() *Conn
	// Dial returns a new connection, or one that becomes free meanwhile. The error is a *DialError.
	Dial(ctx context.Context) (*Conn, error)
}

// UnknownCarrierError says that a target has no carrier for the exchange that chose it. That is a bug: routing must not send
// such requests to it.
type UnknownCarrierError struct {
	Connector routing.Connector
	Wanted    string
}

func (e *UnknownCarrierError) Error() string {
	return fmt.Sprintf("the target's connector is a %T, want %s", e.Connector, e.Wanted)
}

// New returns the carrier for a target. With TLS, the certificate of the target is not verified.
func (p *Pools) New(t *routing.Target) Carrier {
	if !t.Place.Address.IsValid() {
		return &inProcess{p.cfg.InProcess, t}
	}
	to := way{address: t.Place.Address, tls: t.TLS}
	if t.Group != nil {
		to.connections = &t.Group.Connections
		switch t.Group.ProtocolVersion {
		case shape.TargetGroupProtocolVersionHttp2, shape.TargetGroupProtocolVersionGrpc:
			return p.newHTTP2(to)
		}
	}
	return p.newHTTP1(to)
}

func (p *Pools) newHTTP1(to way) *HTTP1Pool { return &HTTP1Pool{pools: p, way: to.counted()} }

func (p *Pools) newHTTP2(to way) *HTTP2Pool { return &HTTP2Pool{pools: p, way: to.counted()} }

// counted returns the way to a target, which may have no target group.
func (w way) counted() way {
	if w.connections == nil {
		w.connections = &tally.Connections{}
	}
	return w
}

func (p *HTTP1Pool) isCarrier() {}
func (p *HTTP2Pool) isCarrier() {}

// Of returns the carrier of a target: either Connections or a pool of HTTP/2; the other is nil. Only this function knows the kinds.
func Of(t *routing.Target) (Connections, *HTTP2Pool, error) {
	switch carrier := t.Connector.(type) {
	case Connections:
		return carrier, nil, nil
	case *HTTP2Pool:
		return nil, carrier, nil
	default:
		return nil, nil, &UnknownCarrierError{t.Connector, "connections of HTTP/1.1 or HTTP/2"}
	}
}

// ConnectionsTo returns the carrier of a target whose connections carry one exchange at a time.
func ConnectionsTo(t *routing.Target) (Connections, error) {
	connections, _, err := Of(t)
	if err == nil && connections == nil {
		err = &UnknownCarrierError{t.Connector, "connections of HTTP/1.1"}
	}
	return connections, err
}
