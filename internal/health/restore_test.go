package health

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestTargetsBeginWithWhatAnotherCheckerKnew(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, old *Checker, s *script) {
		g, targets := groupWith("tg-1", withThresholds(2, 3)), targetsOf("tg-1", 3)
		s.answer(targets[1], refuse)
		s.answer(targets[2], silence)
		old.Apply(inUse(g, targets[0], targets[1]))
		synctest.Wait()
		for range 3 {
			pass(30 * time.Second)
		}
		wantHealthy(t, old, targets[0])
		wantUnhealthy(t, old, targets[1])
		old.Apply(inUse(g, targets...))

		c := NewChecker(Config{Prober: s})
		defer c.Close()
		c.Restore(old.Known())
		if !c.Available(targets[0].Key()) || c.Available(targets[1].Key()) || c.Available(targets[2].Key()) {
			t.Error("routing, which asks first, is told something else")
		}
		c.Apply(inUse(g, targets...))
		wantHealthy(t, c, targets[0])
		wantUnhealthy(t, c, targets[1])
		wantInitial(t, c, targets[2])

		s.answer(targets[1], status(200))
		for range 3 {
			pass(30 * time.Second)
		}
		wantHealthy(t, c, targets[1])

		again := groupWith("tg-2")
		fresh := targetsOf("tg-2", 1)
		s.answer(fresh[0], silence)
		c.Restore(old.Known())
		c.Apply(inUse(again, fresh...))
		wantInitial(t, c, fresh[0])
	})
}
