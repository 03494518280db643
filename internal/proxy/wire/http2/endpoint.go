// Package http2 speaks HTTP/2 on both sides of the proxy: to clients as a server, to targets as a client. It knows
// frames, streams, flow control and header blocks (RFC 9113, RFC 7541), and how peers abuse them. Its callers,
// downstream/http2 and upstream, decide where a request goes and what its headers mean.
//
// A connection has one goroutine that reads frames. The methods of a stream block, as those of a socket do. Frames to be sent
// are collected in one buffer. A goroutine that adds to it writes it out, unless another one is doing so already. So streams
// that respond at the same time share a system call.
//
// Heads are handed over as HTTP/1.1 would write them, so that one parser decides for all versions what is well formed.
//
// Invariant: a peer may send no more than a window ahead of what the other side of the proxy has taken, so that nothing
// here holds more than a window per stream, and keptBytes of a request that may have to be sent again. Targets' windows are
// small at first. Their growth is taken from the client's Allowance, and given back.
package http2

import (
	"sync"
	"time"
)

// Config bounds what peers may do. All fields must be set; those about clients only for an endpoint that serves.
type Config struct {
	// Now returns a time in milliseconds that never goes back. It need not be exact.
	Now func() int64
	// MaxStreams is how many streams a client may have open at once.
	MaxStreams int
	// StreamWindow and ConnWindow are how many bytes of bodies a client may send ahead of what has been taken.
	StreamWindow int
	ConnWindow   int
	// TargetWindow is how many bytes a target may send ahead on each stream at first. The window grows up to
	// MaxTargetWindow while the client takes the response quickly and as far as the Allowance of the client's connection
	// lasts. The target's connection as a whole has no limit of its own, so that a client that takes nothing stops no
	// other.
	TargetWindow    int
	MaxTargetWindow int
	Allowance       int
	// MaxHeadBytes bounds a head as HTTP/1.1 would write it.
	MaxHeadBytes int
	// HeadTimeout bounds how long the preface and a head may take, StallTimeout how long a peer may take no bytes at all.
	HeadTimeout  time.Duration
	StallTimeout time.Duration
}

// Endpoint has what all connections share.
type Endpoint struct {
	cfg     Config
	chunks  sync.Pool // of *chunk
	outputs sync.Pool // of *output
}

// NewEndpoint returns an endpoint.
func NewEndpoint(cfg Config) *Endpoint {
	e := &Endpoint{cfg: cfg}
	e.chunks.New = func() any { return new(chunk) }
	e.outputs.New = func() any { return &output{frames: make([]byte, 0, outputBytes)} }
	return e
}

func (e *Endpoint) getChunk() *chunk {
	c := e.chunks.Get().(*chunk)
	c.start, c.end = 0, 0
	return c
}

func (e *Endpoint) putChunk(c *chunk) { e.chunks.Put(c) }
