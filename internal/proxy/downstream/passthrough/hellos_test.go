package passthrough

import (
	"fmt"
	"testing"

	"trellis/internal/proxy/exchange"
)

func TestClientHelloIsCountedAsLongAsItIsPassedThrough(t *testing.T) {
	h := newHellos()
	hello := []byte("hello")
	for round := range 2 { // The second time, nothing is left of the first.
		var keys []uint64
		for i := range exchange.MaxHops {
			key, ok := h.enter(hello)
			if !ok {
				t.Fatalf("round %d: refused after %d connections", round, i)
			}
			keys = append(keys, key)
		}
		if _, ok := h.enter(hello); ok {
			t.Fatal("one more was passed through")
		}
		if key, ok := h.enter(fmt.Append(nil, "another ", round)); !ok {
			t.Error("another ClientHello was refused")
		} else {
			h.leave(key)
		}
		for _, key := range keys {
			h.leave(key)
		}
		if len(h.open) != 0 {
			t.Errorf("%d are counted although none is passed through", len(h.open))
		}
	}
}
