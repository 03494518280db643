// Package summary keeps frequent events from filling the log: it logs the first one at once, and from then on how often the
// event has happened since, until it stops.
package summary

import (
	"cmp"
	"log/slog"
	"sync"
	"time"
)

// Config says what is logged, as warnings.
type Config struct {
	Log *slog.Logger
	// First is logged at once, unless it is empty, and Again once in an interval, with how many times. Both have the attributes of
	// the latest event.
	First, Again string
	// Interval is how often there is a summary. Default: ten seconds.
	Interval time.Duration
}

// Summary counts events of one kind. Its methods may be called from any goroutine.
type Summary struct {
	cfg Config

	mu     sync.Mutex // mu guards the fields below.
	total  int64
	untold int64
	latest []any       // attributes of the latest event that is untold
	timer  *time.Timer // nil while nothing happens
	closed bool
}

// New returns a summary of events that have not happened yet.
func New(cfg Config) *Summary {
	cfg.Interval = cmp.Or(cfg.Interval, 10*time.Second)
	return &Summary{cfg: cfg}
}

// Happened counts an event that happened a number of times.
func (s *Summary) Happened(times int64, attributes ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total += times
	s.untold, s.latest = s.untold+times, attributes
	if s.timer != nil || s.closed {
		return
	}
	s.timer = time.AfterFunc(s.cfg.Interval, s.tell)
	if s.cfg.First != "" {
		s.untold--
		s.cfg.Log.Warn(s.cfg.First, attributes...)
	}
}

// Total returns how often the event has happened.
func (s *Summary) Total() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// tell logs what has not been logged, and goes on until there is nothing.
func (s *Summary) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
	case s.untold == 0:
		s.timer = nil
	default:
		s.report()
		s.timer.Reset(s.cfg.Interval)
	}
}

func (s *Summary) report() {
	log := s.cfg.Log.With(s.latest...)
	log.Warn(s.cfg.Again, "count", s.untold, "total", s.total)
	s.untold, s.latest = 0, nil
}

// Close logs the rest. Nothing is logged afterwards.
func (s *Summary) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.untold > 0 {
		s.report()
	}
}
