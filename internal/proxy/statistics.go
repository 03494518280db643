package proxy

import (
	"sync/atomic"

	"trellis/internal/proxy/upstream"
	"trellis/internal/routing"
	"trellis/internal/tally"
)

// handshakes counts TLS handshakes with clients.
type handshakes struct {
	completed, failed atomic.Int64
	refused           atomic.Int64 // because no service answers to the name
}

// PortState reports whether a port of listeners is bound.
type PortState struct {
	Port  *routing.Port
	Bound bool
}

// Statistics are what the proxy has counted.
type Statistics struct {
	// Unrouted counts the exchanges without a service.
	Unrouted *tally.Exchanges
	Ports    []PortState
	Clients  Usage
	Targets  upstream.Usage
	// Failed is how often accepting a connection has failed.
	Failed int64
	// Handshakes of TLS with clients: those completed, those that failed, and those refused because no service has the name.
	Handshakes, HandshakeErrors, HandshakeRefusals int64
}

// Statistics returns what the proxy has counted. It takes no lock that traffic takes.
func (p *Proxy) Statistics() Statistics {
	return Statistics{
		Unrouted: &p.env.Exchanges.Unrouted, Ports: *p.ports.Load(), Clients: p.Usage(), Targets: p.pools.Usage(), Failed: p.crowd.failed.Total(),
		Handshakes: p.handshakes.completed.Load(), HandshakeErrors: p.handshakes.failed.Load(), HandshakeRefusals: p.handshakes.refused.Load(),
	}
}
