package exchange

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"trellis/internal/accesslog"
)

// FailureInterval is how often the log has a line about failures of the same kind.
const FailureInterval = 10 * time.Second

// failureLog keeps failures that repeat from filling the log.
type failureLog struct {
	mu   sync.Mutex // mu guards the field below.
	seen map[failureKey]int
}

// failureKey is what failures of the same kind have in common.
type failureKey struct {
	failure     accesslog.Failure
	targetGroup string // the id of the target group, or of the service
}

// logFailure logs a failed exchange: the first of its kind at once, and after FailureInterval how many more there were.
// Clients' mistakes are logged at the level debug.
func (s *Shared) logFailure(r *accesslog.Record) {
	level := slog.LevelWarn
	if r.Failure.OfClient() {
		level = slog.LevelDebug
	}
	if !s.Log.Enabled(context.Background(), level) || level > slog.LevelDebug && !s.failures.isNew(r) {
		return
	}
	var service, targetGroup string
	if r.Service != nil {
		service = r.Service.ID
	}
	if r.Forward != nil {
		targetGroup = r.Forward.TargetGroup.ID
	}
	s.Log.Log(context.Background(), level, "exchange failed", "failure", r.Failure, "problem", r.Problem, "status", r.Status, "grpcStatus", r.GRPCStatus,
		"method", string(r.Method), "path", string(r.Path), "service", service, "targetGroup", targetGroup, "target", r.Place().String(),
		"source", r.Source.String(), "requestId", string(r.RequestID))
}

// isNew reports whether a failure is the first of its kind for some time.
func (l *failureLog) isNew(r *accesslog.Record) bool {
	key := failureKey{failure: r.Failure}
	switch {
	case r.Forward != nil:
		key.targetGroup = r.Forward.TargetGroup.ID
	case r.Service != nil:
		key.targetGroup = r.Service.ID
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[failureKey]int{}
	}
	l.seen[key]++
	return l.seen[key] == 1
}

// SweepFailures logs how many failures have not been logged. It must be called every FailureInterval, and at the end.
func (s *Shared) SweepFailures() { s.failures.sweep(s.Log) }

// sweep logs how many failures have not been logged.
func (l *failureLog) sweep(log *slog.Logger) {
	l.mu.Lock()
	seen := l.seen
	l.seen = nil
	l.mu.Unlock()
	for key, times := range seen {
		if times > 1 {
			log.Warn("more exchanges failed", "failure", key.failure, "targetGroup", key.targetGroup, "count", times-1)
		}
	}
}
