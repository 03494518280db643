package tally

import "sync/atomic"

// Connections counts connections to the targets of a target group. A connection costs so much more than counting it that all
// cores count in one place.
type Connections struct {
	// HTTP1 and HTTP2 count the connections that were made, by version of HTTP. HTTP1 includes those for TLS that is passed
	// through.
	HTTP1, HTTP2 atomic.Int64
	// Open is how many are open.
	Open atomic.Int64
	// Errors counts failed attempts. Timeouts counts those among them that took too long.
	Errors, Timeouts atomic.Int64
	// Handshakes and HandshakeErrors count those of TLS.
	Handshakes, HandshakeErrors atomic.Int64
}
