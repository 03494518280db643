package catalog

import (
	"context"
	"time"
)

// The pauses between attempts at an etcd that does not answer.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// retry paces attempts: each pause is twice as long as the one before, up to a limit.
type retry struct{ next time.Duration }

func (r *retry) reset() { r.next = 0 }

// pause waits before the next attempt. It returns why the context has ended if that is first.
func (r *retry) pause(ctx context.Context) error {
	r.next = min(max(2*r.next, firstPause), lastPause)
	timer := time.NewTimer(r.next)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
