package exchange

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/caller"
	"trellis/internal/tally"
)

// Config is what exchanges need of the proxy.
type Config struct {
	// Log tells the operator of failed exchanges.
	Log *slog.Logger
	// AccessLog gets records. Nil means that nobody wants any.
	AccessLog accesslog.Log
	// Tracer gets the records of exchanges, and of connections to resources, that it samples. Nil means none.
	Tracer accesslog.Tracer
	// Callers finds out who has signed a request. Nil means that signatures are not looked at, and all callers are
	// anonymous.
	Callers *caller.Verifier
	// Explain adds x-trellis-* headers to responses, which say where the request went.
	Explain bool
	// RetryFor is how long a request that no target has looked at is retried.
	RetryFor time.Duration
}

// Shared is what all exchanges of a proxy share.
type Shared struct {
	Config
	// Unrouted counts the exchanges without a service.
	Unrouted tally.Exchanges
	// Shards are where exchanges are counted.
	Shards *tally.Shards

	epoch     time.Time // the start of the measured time: time.Since reads one clock, time.Now two
	moment    atomic.Pointer[moment]
	failures  failureLog
	responses sync.Pool // of *responseBuffer
	arrivals  sync.Pool // of *arrival
}

// NewShared returns what exchanges share.
func NewShared(cfg Config) *Shared {
	s := &Shared{Config: cfg, Shards: tally.NewShards(), epoch: time.Now()}
	s.responses.New = func() any { return new(responseBuffer) }
	s.arrivals.New = func() any { return new(arrival) }
	s.SetTime(time.Now())
	return s
}

// moment is a time.
type moment struct {
	time time.Time
	date string        // the same time as the value of a Date header
	at   time.Duration // since the epoch
}

// SetTime sets the time for the Date header of refusals, and for records. It must be called once a second.
func (s *Shared) SetTime(now time.Time) {
	s.moment.Store(&moment{now, now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), now.Sub(s.epoch)})
}

// Date returns the value of the Date header.
func (s *Shared) Date() string { return s.moment.Load().date }

// timeOf returns the time at a duration after the epoch, by the clock as it was last set: the clock may have been corrected
// since the epoch.
func (s *Shared) timeOf(sinceEpoch time.Duration) time.Time {
	m := s.moment.Load()
	return m.time.Add(sinceEpoch - m.at)
}
