// Package ratelimit counts events against token buckets, one for each key of a table whose size is bounded.
package ratelimit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Table holds a token bucket for each key. All buckets have the same rate and burst. A full bucket takes no memory.
type Table[K comparable] struct {
	perSecond rate.Limit
	burst     int
	max       int

	mu      sync.Mutex // mu guards the field below.
	buckets map[K]*rate.Limiter
}

// NewTable returns a table whose buckets gain perSecond tokens a second and hold burst of them. It remembers max keys.
func NewTable[K comparable](perSecond float64, burst, max int) *Table[K] {
	return &Table[K]{perSecond: rate.Limit(perSecond), burst: burst, max: max, buckets: map[K]*rate.Limiter{}}
}

// Take takes a token from a key's bucket. If there is none, it reports how long it takes until there is one.
func (t *Table[K]) Take(key K, now time.Time) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, known := t.buckets[key]
	if !known {
		if len(t.buckets) >= t.max {
			t.makeRoom(now)
		}
		b = rate.NewLimiter(t.perSecond, t.burst)
		t.buckets[key] = b
	}
	if b.AllowN(now, 1) {
		return true, 0
	}
	return false, t.wait(b, now)
}

// Look reports whether a key's bucket has a token, and if not, how long it takes until it has one.
func (t *Table[K]) Look(key K, now time.Time) (ok bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, known := t.buckets[key]
	if !known || b.TokensAt(now) >= 1 {
		return true, 0
	}
	return false, t.wait(b, now)
}

// Refill fills a key's bucket.
func (t *Table[K]) Refill(key K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.buckets, key)
}

// Len returns how many keys have a bucket.
func (t *Table[K]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.buckets)
}

// wait returns how long a bucket needs until it has a token. The caller holds mu.
func (t *Table[K]) wait(b *rate.Limiter, now time.Time) time.Duration {
	return time.Duration((1 - b.TokensAt(now)) / float64(t.perSecond) * float64(time.Second))
}

// makeRoom drops the buckets that are full again, which are as good as new ones. If that leaves too many, it drops others
// until three quarters of the maximum are left. The keys of those get their full burst again. The caller holds mu.
func (t *Table[K]) makeRoom(now time.Time) {
	for key, b := range t.buckets {
		if b.TokensAt(now) >= float64(t.burst) {
			delete(t.buckets, key)
		}
	}
	for key := range t.buckets {
		if len(t.buckets) <= t.max*3/4 {
			return
		}
		delete(t.buckets, key)
	}
}
