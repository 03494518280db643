package tally

import "sync/atomic"

// Connections counts connections to the targets of a target group. A connection costs so much more than counting it that all
// cores count in one place.
type Connections struct {
	// HTTP1 and HTTP2 count those that were made, by the version of HTTP; HTTP1 has those too that TLS is passed through on.
	HTTP1, HTTP2 atomic.Int64
	// Open is how many there are.
	Open atomic.Int64
	// Errors counts attempts that failed, those that took too long included, which Timeouts counts.
	Errors, Timeouts atomic.Int64
	// Handshakes and HandshakeErrors count those of TLS.
	Handshakes, HandshakeErrors atomic.Int64
}
