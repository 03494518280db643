package exchange

import (
	"context"
	"time"

	"trellis/internal/proxy/upstream"
)

// Retry decides whether another attempt follows a failed one, after a pause, and chooses its target.
func (x *Exchange) Retry(a upstream.Attempt) (again bool, pause time.Duration) {
	failed := x.Target
	if again, pause = x.decide(a); again {
		x.noteRetry(failed, a.Err, pause)
	}
	return again, pause
}

func (x *Exchange) decide(a upstream.Attempt) (again bool, pause time.Duration) {
	decision, pause := x.attempts.Decide(a, time.Now(), x.shared.RetryFor)
	switch decision {
	case upstream.SameTarget:
		return true, pause
	case upstream.OtherTarget:
		return x.useOther(), pause
	case upstream.PreferOther:
		x.useOther()
		return true, pause
	default:
		return false, 0
	}
}

// Retry decides whether another attempt follows a failed one, after a pause, and chooses its target.
func (x *HTTP) Retry(a upstream.Attempt) (again bool, pause time.Duration) {
	a.Idempotent = isIdempotent(x.Request.Method)
	return x.Exchange.Retry(a)
}

// Idle returns an idle connection to the target, or nil if there is none. After a failed attempt at the target it returns nil
// too, since other idle connections may be broken as well.
func (x *Exchange) Idle(target upstream.Connections) *upstream.Conn {
	x.atOnce = false
	if x.attempts.Again() {
		return nil
	}
	c := target.Idle()
	x.atOnce = c != nil && x.attempts.IsFirst()
	return c
}

// isIdempotent reports whether a method may be repeated (RFC 9110 9.2.2).
func isIdempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		return true
	}
	return false
}

// Pause waits, at most until ctx ends.
func Pause(ctx context.Context, pause time.Duration) {
	if pause == 0 {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
