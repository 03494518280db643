package console

import (
	"sync"
	"time"

	"trellis/internal/routing"
	"trellis/internal/tally"
)

// The counters are read at a fixed pace, whether or not somebody looks, so that visitors see the past. With 1,000 services and
// 2,000 target groups that all have traffic, a reading takes a few milliseconds; those without traffic are not kept.
const (
	pace        = 5 * time.Second
	keptSamples = 60 // five minutes
	// maxSeries bounds the memory: a series takes 3 KB. Services and target groups beyond it have no samples.
	maxSeries = 5000
)

// sample is what was counted between two readings.
type sample struct {
	// seconds is how long that was.
	seconds float32
	// requests have ended, failures among them had a status of 5xx, or failed without one; refusals had one of 4xx.
	requests, failures, refusals uint32
	// median and slow are the times, in seconds, that a half and 99 of 100 requests took at most.
	median, slow float32
}

// series is what was counted of a service or a target group.
type series struct {
	last    tally.Totals
	samples [keptSamples]sample
	next    int // where the next sample goes
	seen    uint64
}

// sampler keeps samples of the counters of all services and target groups.
type sampler struct {
	mu       sync.RWMutex // mu guards the fields below.
	all      map[string]*series
	readings uint64
	at       time.Time
}

// take reads all counters.
func (s *sampler) take(counted routing.Counted, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]*series{}
	}
	seconds := float32(now.Sub(s.at).Seconds())
	if s.readings == 0 {
		seconds = 0
	}
	s.readings++
	s.at = now
	for _, service := range counted.Services {
		s.read(service.ID, service.Exchanges, seconds)
	}
	for _, group := range counted.Groups {
		s.read(group.ID, &group.Exchanges, seconds)
	}
	for id, one := range s.all {
		if one.seen != s.readings { // It has been deleted.
			delete(s.all, id)
		}
	}
}

// read adds a sample. The caller holds mu.
func (s *sampler) read(id string, exchanges *tally.Exchanges, seconds float32) {
	var now tally.Totals
	if !exchanges.Read(&now) {
		return
	}
	one, ok := s.all[id]
	if !ok {
		if len(s.all) >= maxSeries {
			return
		}
		one = &series{}
		s.all[id] = one
		if s.readings == 1 {
			one.last = now // Nobody knows when that was.
		}
	}
	one.seen = s.readings
	between := now.Requests.Since(&one.last.Requests)
	requests := between.Count()
	one.samples[one.next] = sample{
		seconds: seconds, requests: uint32(requests),
		failures: uint32(now.Outcomes[5] + now.Outcomes[tally.NoStatus] - one.last.Outcomes[5] - one.last.Outcomes[tally.NoStatus]),
		refusals: uint32(now.Outcomes[4] - one.last.Outcomes[4]),
		median:   float32(between.Quantile(0.5)), slow: float32(between.Quantile(0.99)),
	}
	one.next = (one.next + 1) % keptSamples
	one.last = now
}

// reading returns a number that changes with each reading.
func (s *sampler) reading() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.readings
}

// of returns the samples of a service or a target group, the oldest first. Those before its first traffic are zero.
func (s *sampler) of(id string) (samples [keptSamples]sample, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	one, ok := s.all[id]
	if !ok {
		return samples, false
	}
	n := copy(samples[:], one.samples[one.next:])
	copy(samples[n:], one.samples[:one.next])
	return samples, true
}

// traffic is what was counted lately.
type traffic struct {
	// Rate is requests a second; Failures and Refusals are shares of the requests.
	Rate, Failures, Refusals float64
	// Median and Slow are in seconds.
	Median, Slow float64
	Requests     uint64
}

// lately are the samples that a figure is about: those of the last half minute.
const lately = 6

// traffic returns what was counted of a service or a target group lately.
func (s *sampler) traffic(id string) traffic {
	samples, ok := s.of(id)
	if !ok {
		return traffic{}
	}
	return summed(samples[keptSamples-lately:])
}

func summed(samples []sample) (t traffic) {
	var seconds, failures, refusals float64
	for _, one := range samples {
		seconds += float64(one.seconds)
		t.Requests += uint64(one.requests)
		failures += float64(one.failures)
		refusals += float64(one.refusals)
		if one.requests > 0 { // The latest that there is.
			t.Median, t.Slow = float64(one.median), float64(one.slow)
		}
	}
	if seconds > 0 {
		t.Rate = float64(t.Requests) / seconds
	}
	if t.Requests > 0 {
		t.Failures, t.Refusals = failures/float64(t.Requests), refusals/float64(t.Requests)
	}
	return t
}
