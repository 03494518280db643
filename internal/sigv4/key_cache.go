package sigv4

import (
	"maps"
	"sync"
	"sync/atomic"
)

// maxKeys bounds the memory for derived keys. There is one for each secret and, with HMAC, for each day, Region and service.
const maxKeys = 1024

// keyCache remembers derived keys. Reading takes no lock. A key is found only with the secret from which it was derived, so that
// it cannot be used without that.
type keyCache[K any] struct {
	keys atomic.Pointer[map[string]K]
	mu   sync.Mutex // mu is held while keys is replaced.
}

func (c *keyCache[K]) get(by []byte) (key K, ok bool) {
	keys := c.keys.Load()
	if keys == nil {
		return key, false
	}
	key, ok = (*keys)[string(by)]
	return key, ok
}

func (c *keyCache[K]) keep(by []byte, key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := map[string]K{}
	if old := c.keys.Load(); old != nil && len(*old) < maxKeys {
		keys = maps.Clone(*old)
	}
	keys[string(by)] = key
	c.keys.Store(&keys)
}
