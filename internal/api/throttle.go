package api

import (
	"context"
	"time"

	"trellis/internal/ratelimit"
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
	// concurrencyWait is how long a call waits for others to end. A short queue smooths bursts; a long one would only hold
	// calls whose clients have timed out.
	concurrencyWait = time.Second
	// maxAccounts bounds the memory for accounts.
	maxAccounts = 1024
)

// Throttle enforces Limits. Each service on the port has its own, as at AWS.
type Throttle struct {
	limits Limits
	slots  chan struct{} // has an element for each operation under way; nil means any number
	calls  *ratelimit.Table[string]
}

// NewThrottle returns a throttle that enforces limits.
func NewThrottle(limits Limits) *Throttle {
	t := &Throttle{limits: limits, calls: ratelimit.NewTable[string](limits.Rate, limits.Burst, maxAccounts)}
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
	if ok, wait := t.calls.Take(account, now); !ok {
		return ThrottledFor(wait, "Rate exceeded.")
	}
	return nil
}

// Enter waits until an operation may begin. The caller must call leave at the operation's end.
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
