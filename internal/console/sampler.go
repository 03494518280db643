package console

import (
	"sync"
	"time"

	"trellis/internal/tally"
)

// The counters are read at a fixed pace, whether or not somebody looks, so that visitors see the past. With 1,000 services and
// 2,000 target groups that all have traffic, a reading takes a few milliseconds; what has no traffic is not kept.
const (
	pace        = 5 * time.Second
	keptSamples = 60 // five minutes
	// maxSeries bounds the memory: a series takes 4 KB with its counter. What is beyond it has no samples.
	maxSeries = 10000
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

// figures are what a counter holds.
type figures struct {
	requests, failures, refusals uint64
	durations                    tally.Distribution
}

// series is what was counted of something that has a page.
type series struct {
	samples [keptSamples]sample
	next    int // where the next sample goes
	// more is what the counters of this reading have had since the one before.
	more figures
	seen uint64
}

// counter is what a counter held at the last reading.
type counter struct {
	last figures
	seen uint64
}

// sampler keeps samples of all counters.
type sampler struct {
	mu       sync.RWMutex        // mu guards the fields below.
	counters map[string]*counter // by a key of their own
	all      map[string]*series  // by the id of what they are about
	readings uint64
	at       time.Time
}

// take reads all counters: each calls the function that it is given once for each, with the counter's key and the ids of what
// it counts for. A service network, say, has the sum of several counters.
func (s *sampler) take(now time.Time, each func(read func(key string, now *figures, ids ...string))) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.counters, s.all = map[string]*counter{}, map[string]*series{}
	}
	seconds := float32(now.Sub(s.at).Seconds())
	if s.readings == 0 {
		seconds = 0
	}
	s.readings++
	s.at = now
	each(s.read)
	for key, one := range s.counters {
		if one.seen != s.readings { // What it counted for has been deleted.
			delete(s.counters, key)
		}
	}
	for id, one := range s.all {
		if one.seen != s.readings {
			delete(s.all, id)
			continue
		}
		one.samples[one.next] = sample{
			seconds: seconds, requests: uint32(one.more.requests), failures: uint32(one.more.failures), refusals: uint32(one.more.refusals),
			median: float32(one.more.durations.Quantile(0.5)), slow: float32(one.more.durations.Quantile(0.99)),
		}
		one.next = (one.next + 1) % keptSamples
	}
}

// read adds what a counter has had since the last reading to what it counts for. The caller holds mu.
func (s *sampler) read(key string, now *figures, ids ...string) {
	c, ok := s.counters[key]
	if !ok {
		if len(s.counters) >= maxSeries {
			return
		}
		c = &counter{}
		s.counters[key] = c
		if s.readings == 1 {
			c.last = *now // Nobody knows when that was.
		}
	}
	c.seen = s.readings
	durations := now.durations.Since(&c.last.durations)
	for _, id := range ids {
		one, ok := s.all[id]
		if !ok {
			if len(s.all) >= maxSeries {
				continue
			}
			one = &series{}
			s.all[id] = one
		}
		if one.seen != s.readings {
			one.seen, one.more = s.readings, figures{}
		}
		one.more.requests += now.requests - c.last.requests
		one.more.failures += now.failures - c.last.failures
		one.more.refusals += now.refusals - c.last.refusals
		one.more.durations.Add(&durations)
	}
	c.last = *now
}

// reading returns a number that changes with each reading.
func (s *sampler) reading() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.readings
}

// of returns the samples of something, the oldest first. Those before its first traffic are zero.
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

// lately is how many samples a figure is made of: those of the last half minute.
const lately = 6

// traffic returns what was counted of something lately.
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
		if one.requests > 0 { // The latest latency that is known.
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
