package tally

import (
	"sync/atomic"
	"time"
)

// Outcome is what an exchange is counted as: the class of its status, NoStatus, or Passed.
type Outcome uint8

// The outcomes that are not the first digit of a status.
const (
	NoStatus Outcome = 0 // a request without a response
	Passed   Outcome = 6 // a connection whose bytes were passed through
	outcomes         = 7
)

// OutcomeOf returns the outcome of an exchange whose response has a status; 0 means none.
func OutcomeOf(status int) Outcome {
	if class := status / 100; class >= 1 && class <= 5 {
		return Outcome(class)
	}
	return NoStatus
}

// MaxFailures is how many kinds of failures are told apart; the first, 0, is none.
const MaxFailures = 32

// End is how an exchange has ended. It is made once and counted for all that the exchange is an exchange of.
type End struct {
	duration time.Duration
	bucket   int
	failure  int
	outcome  Outcome
}

// NewEnd returns the end of an exchange with an outcome and a kind of failure, which is 0 for none.
func NewEnd(outcome Outcome, duration time.Duration, failure int) End {
	duration = max(duration, 0)
	return End{duration, bucketOf(duration), failure, outcome}
}

// Exchanges counts the exchanges of a service, a target group and the like. The zero value is ready for use.
type Exchanges struct {
	shards [maxShards]atomic.Pointer[exchanges]
}

// exchanges is what is counted in one shard.
type exchanges struct {
	begun, received, sent atomic.Int64
	failures              [MaxFailures]atomic.Int64
	outcomes              [outcomes]atomic.Pointer[Durations]
	_                     [64]byte // The memory after this belongs to another core.
}

func (e *Exchanges) at(here Shard) *exchanges {
	shard := &e.shards[here.index]
	if s := shard.Load(); s != nil {
		return s
	}
	shard.CompareAndSwap(nil, &exchanges{}) // Another goroutine may have made it meanwhile.
	return shard.Load()
}

// Begin counts an exchange that begins.
func (e *Exchanges) Begin(here Shard) { e.at(here).begun.Add(1) }

// Moved counts the bytes of an exchange.
func (e *Exchanges) Moved(here Shard, received, sent int64) {
	s := e.at(here)
	s.received.Add(received)
	s.sent.Add(sent)
}

// End counts an exchange that has ended.
func (e *Exchanges) End(here Shard, end End) {
	s := e.at(here)
	durations := s.outcomes[end.outcome].Load()
	if durations == nil {
		s.outcomes[end.outcome].CompareAndSwap(nil, &Durations{})
		durations = s.outcomes[end.outcome].Load()
	}
	durations.add(end.bucket, end.duration)
	if end.failure != 0 {
		s.failures[end.failure].Add(1)
	}
}

// Totals are what Exchanges hold at some moment.
type Totals struct {
	// Active is how many have begun and not ended, of those that Begin was called for.
	Active         int64
	Received, Sent int64
	Failures       [MaxFailures]int64
	// Outcomes is how many ended in which way.
	Outcomes [outcomes]uint64
	// Requests are the durations of all but Passed.
	Requests Distribution
}

// Read returns what has been counted, and whether there was anything at all.
func (e *Exchanges) Read(t *Totals) (any bool) {
	*t = Totals{}
	var ended uint64
	var passed Distribution
	for i := range e.shards {
		s := e.shards[i].Load()
		if s == nil {
			continue
		}
		any = true
		for outcome := range s.outcomes {
			if durations := s.outcomes[outcome].Load(); durations != nil {
				into := &t.Requests
				if Outcome(outcome) == Passed {
					into = &passed
				}
				n := into.add(durations)
				t.Outcomes[outcome] += n
				ended += n
			}
		}
		for failure := range s.failures {
			t.Failures[failure] += s.failures[failure].Load()
		}
		t.Received += s.received.Load()
		t.Sent += s.sent.Load()
	}
	if !any {
		return false
	}
	// Begun is read last, on all cores: otherwise more might have ended than begun.
	for i := range e.shards {
		if s := e.shards[i].Load(); s != nil {
			t.Active += s.begun.Load()
		}
	}
	t.Active -= int64(ended)
	return true
}
