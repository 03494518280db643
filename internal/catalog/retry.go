package catalog

import (
	"context"
	"log/slog"
	"time"
)

// The pauses between attempts at an etcd that does not answer.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// The limits of attempts. The first attempts end early: a member that has just lost its leader holds a request for five
// seconds or more, while the others have a new leader long before. A slow etcd gets more and more time.
const (
	firstLimit = time.Second
	lastLimit  = 10 * time.Second
)

// retry paces attempts: each pause, and the time that each attempt may take, is twice as long as the one before, up
// to a limit.
type retry struct{ next, attempt time.Duration }

func (r *retry) reset() { *r = retry{} }

// limit returns how long the next attempt may take. What it asks for may still be done after that.
func (r *retry) limit() time.Duration {
	r.attempt = min(max(2*r.attempt, firstLimit), lastLimit)
	return r.attempt
}

// level is the level at which the failure of an attempt is logged. Only the first one is a warning.
func (r *retry) level() slog.Level {
	if r.next == 0 {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// pause waits before the next attempt. If the context ends first, it returns the reason.
func (r *retry) pause(ctx context.Context) error {
	r.next = min(max(2*r.next, firstPause), lastPause)
	return sleep(ctx, r.next)
}

// sleep waits. If the context ends first, it returns the reason.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
