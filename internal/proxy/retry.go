package proxy

import (
	"context"
	"time"

	"trellis/internal/proxy/upstream"
)

// retry decides whether another attempt follows a failed one, after a pause, and chooses its target.
func (x *exchange) retry(a upstream.Attempt, patience time.Duration) (again bool, pause time.Duration) {
	a.Idempotent = isIdempotent(x.request.Method)
	decision, pause := x.attempts.Decide(a, time.Now(), patience)
	switch decision {
	case upstream.SameTarget:
		return true, pause
	case upstream.OtherTarget:
		return x.plan.chooseOther(), pause
	case upstream.RatherAnother:
		x.plan.chooseOther()
		return true, pause
	default:
		return false, 0
	}
}

// isIdempotent reports whether a method may be repeated (RFC 9110 9.2.2).
func isIdempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE":
		return true
	}
	return false
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, pause time.Duration) {
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
