package proxy

import (
	"hash/maphash"
	"sync"
)

// maxHops is how many times a request may pass through Trellis, on one node or on several. One service may call
// another through its listener, but a request that goes round would take connections until there are none left. It
// carries the number with it, in CDN-Loop (RFC 8586): unlike Via, that changes nothing about how targets answer.
const maxHops = 16

// hellos counts how often each ClientHello is being passed through at this moment. A connection to a TLS_PASSTHROUGH
// listener has no header to count in, but its ClientHello comes round as it was, and 32 bytes of it are random
// (RFC 8446 4.1.2): no two connections have the same.
type hellos struct {
	seed maphash.Seed

	mu   sync.Mutex // mu guards the field below.
	open map[uint64]int
}

func newHellos() hellos { return hellos{seed: maphash.MakeSeed(), open: make(map[uint64]int)} }

// enter counts a connection that begins with a ClientHello, unless it goes round. leave must follow if it does not.
func (h *hellos) enter(hello []byte) (key uint64, ok bool) {
	key = maphash.Bytes(h.seed, hello)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[key] >= maxHops {
		return key, false
	}
	h.open[key]++
	return key, true
}

func (h *hellos) leave(key uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[key]--; h.open[key] == 0 {
		delete(h.open, key)
	}
}
