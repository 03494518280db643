package upstream

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

func TestWhatFollowsDependsOnWhatWasSentAndReceived(t *testing.T) {
	reset := errors.New("connection reset")
	dial, unsent := &DialError{Err: reset}, &BrokenError{Err: reset}
	sent, received := &BrokenError{Sent: true, Err: reset}, &BrokenError{Sent: true, Received: true, Err: reset}
	for _, test := range []struct {
		name    string
		attempt Attempt
		want    []Decision // when every attempt fails in the same way
	}{
		{"no connection", Attempt{Err: dial, Replayable: true}, []Decision{OtherTarget, GiveUp}},
		{"wrapped", Attempt{Err: fmt.Errorf("trying: %w", dial)}, []Decision{OtherTarget, GiveUp}},
		{"new, sent, idempotent", Attempt{Err: sent, Replayable: true, Idempotent: true}, []Decision{OtherTarget, GiveUp}},
		{"new, sent, not idempotent", Attempt{Err: sent, Replayable: true}, []Decision{GiveUp}},
		{"new, sent, body gone", Attempt{Err: sent, Idempotent: true}, []Decision{GiveUp}},
		{"new, received", Attempt{Err: received, Replayable: true, Idempotent: true}, []Decision{GiveUp}},
		{"reused, sent, idempotent", Attempt{Err: sent, Reused: true, Replayable: true, Idempotent: true}, []Decision{SameTarget, OtherTarget, GiveUp}},
		{"reused, sent, not idempotent", Attempt{Err: sent, Reused: true, Replayable: true}, []Decision{GiveUp}},
		{"reused, sent, body gone", Attempt{Err: sent, Reused: true, Idempotent: true}, []Decision{GiveUp}},
		{"reused, received", Attempt{Err: received, Reused: true, Replayable: true, Idempotent: true}, []Decision{GiveUp}},
		{"not looked at", Attempt{Err: unsent, Replayable: true}, []Decision{SameTarget, PreferOther, SameTarget, SameTarget, SameTarget}},
		{"not looked at, body gone", Attempt{Err: unsent, Idempotent: true}, []Decision{GiveUp}},
		{"silent", Attempt{Err: &BrokenError{Sent: true, Err: os.ErrDeadlineExceeded}, Replayable: true, Idempotent: true}, []Decision{GiveUp}},
		{"something else", Attempt{Err: reset, Reused: true, Replayable: true, Idempotent: true}, []Decision{GiveUp}},
	} {
		var attempts Attempts
		var got []Decision
		for range test.want {
			decision, _ := attempts.Decide(test.attempt, time.Unix(0, 0), time.Second)
			got = append(got, decision)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func TestRequestThatNoTargetLooksAtIsTriedUntilTheLimit(t *testing.T) {
	now := time.Unix(0, 0)
	var attempts Attempts
	var count int
	for ; count < 1000; count++ {
		decision, pause := attempts.Decide(Attempt{Err: &BrokenError{Err: errUnasked}, Replayable: true}, now, 5*time.Second)
		if decision == GiveUp {
			break
		}
		now = now.Add(pause)
	}
	if lasted := now.Sub(time.Unix(0, 0)); lasted < 5*time.Second || lasted > 6*time.Second || count > 100 {
		t.Errorf("%d attempts in %v", count, lasted)
	}
}
