package upstream

import (
	"errors"
	"os"
	"time"
)

// Attempt is a failed attempt to get a response from a target.
type Attempt struct {
	Err error
	// Reused says that the connection had carried an exchange before, or had been idle.
	Reused bool
	// Replayable says that all that was taken from the client of the request is still in memory.
	Replayable bool
	// Idempotent says that repeating the request does no harm (RFC 9110 9.2.2).
	Idempotent bool
}

// Decision is what follows a failed attempt.
type Decision uint8

// The decisions.
const (
	GiveUp      Decision = iota
	SameTarget           // on another connection
	OtherTarget          // or none
	PreferOther          // another target if there is one, otherwise the same
)

// Attempts is the history of one request's attempts. The zero value is for a request without any.
type Attempts struct {
	same      bool // the target was asked again although it may have seen the request
	other     bool // another target was asked
	untouched int  // how many attempts no target has looked at
	since     time.Time
}

// Again reports whether the target has been asked before. Then idle connections to it may be broken as well.
func (t *Attempts) Again() bool { return t.same || t.untouched > 0 }

// IsFirst reports whether no attempt has failed.
func (t *Attempts) IsFirst() bool { return !t.same && !t.other && t.untouched == 0 }

// Decide returns what follows a failed attempt, and after what pause. It is the same for all versions of HTTP.
//
//   - No connection could be made: another target, once. Nothing was sent.
//   - No target has looked at the request (it was not sent, or HTTP/2 says so: RFC 9113 8.7): again, whatever the method,
//     until retryFor is over. The second time another target is preferred.
//   - A connection broke before anything of a response came, and the request is idempotent: if the connection had been used
//     before, the target most likely closed it at the same moment, so the same target gets the request again, once. If
//     it was new, another target does, once.
//   - Anything else may be caused by the request itself, so it is not repeated.
//
// AWS does not say what it repeats.
func (t *Attempts) Decide(a Attempt, now time.Time, retryFor time.Duration) (Decision, time.Duration) {
	if _, ok := errors.AsType[*DialError](a.Err); ok {
		return t.another(), 0
	}
	broken, ok := errors.AsType[*BrokenError](a.Err)
	switch {
	case !ok || broken.Received || !a.Replayable:
		return GiveUp, 0
	case !broken.Sent:
		return t.untouchedAgain(now, retryFor)
	case !a.Idempotent || errors.Is(a.Err, os.ErrDeadlineExceeded):
		return GiveUp, 0
	case a.Reused && !t.same:
		t.same = true
		return SameTarget, 0
	default:
		return t.another(), 0
	}
}

// another decides for another target, once.
func (t *Attempts) another() Decision {
	if t.other {
		return GiveUp
	}
	t.other = true
	return OtherTarget
}

// untouchedAgain decides what follows an attempt in which no target has looked at the request.
func (t *Attempts) untouchedAgain(now time.Time, retryFor time.Duration) (Decision, time.Duration) {
	if t.untouched++; t.untouched == 1 {
		t.since = now
		return SameTarget, 0
	}
	if now.Sub(t.since) >= retryFor {
		return GiveUp, 0
	}
	// The first attempts follow at once. A target that keeps refusing is asked at intervals.
	pause := time.Duration(0)
	if t.untouched > 3 {
		pause = time.Millisecond << min(t.untouched-4, 6)
	}
	if t.untouched == 2 && !t.other {
		t.other = true
		return PreferOther, pause
	}
	return SameTarget, pause
}
