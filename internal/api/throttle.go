package api

import (
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what clients can ask for at once. The zero value bounds nothing.
type Limits struct {
	// Rate is how many calls an account may make in a second on average, and Burst how many at once. 0 means any number.
	Rate  float64
	Burst int
	// Concurrency is how many operations are carried out at once; the next ones wait for up to a second. 0 means any number.
	Concurrency int
}

const (
	// concurrencyWait is how long a call waits for others to end. A short queue smooths bursts; a long one would only
	// hold calls whose clients have given up.
	concurrencyWait = time.Second
	// maxBuckets bounds the memory for accounts.
	maxBuckets = 1024
)

// Throttle keeps to Limits. Each service that is answered has one of its own, as at AWS.
type Throttle struct {
	limits Limits
	slots  chan struct{} // has an element for each operation under way; nil: any number.

	mu      sync.Mutex // mu guards the field below.
	buckets map[string]*rate.Limiter
}

// NewThrottle returns a throttle that keeps to limits.
func NewThrottle(limits Limits) *Throttle {
	t := &Throttle{limits: limits, buckets: map[string]*rate.Limiter{}}
	if limits.Concurrency > 0 {
		t.slots = make(chan struct{}, limits.Concurrency)
	}
	return t
}

// Admit counts a call of an account. The error is a ThrottlingException that says when the next call will be admitted,
// also of operations for which the model has none.
func (t *Throttle) Admit(account string, now time.Time) error {
	if t.limits.Rate == 0 {
		return nil
	}
	b := t.bucket(account, now)
	if b.AllowN(now, 1) {
		return nil
	}
	wait := (1 - b.TokensAt(now)) / t.limits.Rate
	return Throttled(int32(math.Ceil(min(wait, 3600))), "Rate exceeded.")
}

// bucket returns an account's bucket of tokens.
func (t *Throttle) bucket(account string, now time.Time) *rate.Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b, ok := t.buckets[account]; ok {
		return b
	}
	if len(t.buckets) >= maxBuckets {
		t.forget(now)
	}
	b := rate.NewLimiter(rate.Limit(t.limits.Rate), t.limits.Burst)
	t.buckets[account] = b
	return b
}

// forget drops the buckets that are full again, which are as good as new ones. If that leaves too many, it drops any
// others up to a quarter of them, whose accounts get their bursts anew. The caller holds mu.
func (t *Throttle) forget(now time.Time) {
	for account, b := range t.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(t.buckets, account)
		}
	}
	for account := range t.buckets {
		if len(t.buckets) <= maxBuckets*3/4 {
			return
		}
		delete(t.buckets, account)
	}
}

// Enter waits until an operation may begin. leave must be called at its end.
func (t *Throttle) Enter(ctx context.Context) (leave func(), err error) {
	if t.slots == nil {
		return func() {}, nil
	}
	leave = func() { <-t.slots }
	select {
	case t.slots <- struct{}{}:
		return leave, nil
	default:
	}
	timer := time.NewTimer(concurrencyWait)
	defer timer.Stop()
	select {
	case t.slots <- struct{}{}:
		return leave, nil
	case <-timer.C:
		return nil, Throttled(1, "The server carries out as many operations at once as it may (--api-concurrency).")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
