package passthrough

import (
	"hash/maphash"
	"sync"

	"trellis/internal/proxy/exchange"
)

// hellos counts how often each ClientHello is being passed through at this moment. A connection to a TLS_PASSTHROUGH
// listener has no header to count in. But a ClientHello that loops comes back unchanged, and 32 bytes of it are random
// (RFC 8446 4.1.2), so no two connections have the same.
type hellos struct {
	seed maphash.Seed

	mu   sync.Mutex // mu guards the field below.
	open map[uint64]int
}

func newHellos() hellos { return hellos{seed: maphash.MakeSeed(), open: make(map[uint64]int)} }

// enter counts a connection that begins with a ClientHello, unless it loops. If it was counted, leave must follow.
func (h *hellos) enter(hello []byte) (key uint64, ok bool) {
	key = maphash.Bytes(h.seed, hello)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[key] >= exchange.MaxHops {
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
