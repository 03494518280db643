package identity

import (
	"strings"
	"sync"
)

// maxSigningKeys bounds the memory for derived keys: one for each secret, day, Region and service.
const maxSigningKeys = 1024

// signingKeys remembers the keys that are derived from secrets. A key holds for a day, and deriving it takes four HMACs,
// which is more than all the rest of checking a signature.
type signingKeys struct {
	mu   sync.Mutex // mu guards the field below.
	keys map[signingScope][]byte
}

// signingScope is what a signing key is derived from. The secret is part of it, so that a key does not outlive its
// secret.
type signingScope struct{ secret, date, region, service string }

// get returns a key, remembered or derived.
func (k *signingKeys) get(scope signingScope) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.keys[scope]; ok {
		return key
	}
	return scope.derive()
}

// keep remembers a key. It is called once a signature was right: who has no secret must not fill the memory.
func (k *signingKeys) keep(scope signingScope, key []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.keys[scope]; ok {
		return
	}
	if k.keys == nil || len(k.keys) >= maxSigningKeys {
		k.keys = make(map[signingScope][]byte)
	}
	// The parts belong to the request, which would be kept with them.
	scope.date, scope.region, scope.service = strings.Clone(scope.date), strings.Clone(scope.region), strings.Clone(scope.service)
	k.keys[scope] = key
}

func (s signingScope) derive() []byte {
	key := hmacSHA256([]byte("AWS4"+s.secret), s.date)
	key = hmacSHA256(key, s.region)
	key = hmacSHA256(key, s.service)
	return hmacSHA256(key, "aws4_request")
}
