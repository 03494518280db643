package downstream

import (
	"testing"
	"time"
)

func TestLastBytesOfAConnectionHaveTheirTimeWhenItsLifeIsOver(t *testing.T) {
	for _, state := range []State{Writing, Discarding, Closing} {
		c := accepted(t)
		c.endsAt = c.Env.Clock.Now()
		late := c.endsAt + time.Minute.Milliseconds()
		c.Enter(state, time.Hour.Milliseconds())
		for _, after := range []int64{0, Tick.Milliseconds(), LingerMillis - 1} {
			if c.Sweep(late+after, false); wordCause(c.watch.word.Load()) != CauseNone {
				t.Errorf("state %d was ended %d ms after the sweeper had seen that the life is over", state, after)
			}
		}
		if c.Sweep(late+LingerMillis, false); wordCause(c.watch.word.Load()) != CauseLifetime {
			t.Errorf("state %d goes on after its time", state)
		}
	}
}

func TestConnectionThatWaitsForItsClientEndsWithItsLife(t *testing.T) {
	for _, state := range []State{Idle, ReadingHead} {
		c := accepted(t)
		c.endsAt = c.Env.Clock.Now() + 1000
		c.Enter(state, time.Hour.Milliseconds())
		if c.Sweep(c.endsAt-1, false); wordCause(c.watch.word.Load()) != CauseNone {
			t.Errorf("state %d was ended early", state)
		}
		if c.Sweep(c.endsAt, false); wordCause(c.watch.word.Load()) != CauseLifetime {
			t.Errorf("state %d goes on when the life is over", state)
		}
	}
}
