package health

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"time"
)

// promptTargets is how many new targets get their first probe at once. When more come at the same time, such as all
// of them at the start of the program, first probes are spread over firstProbeSpacing for each, and over an interval
// at most.
const (
	promptTargets     = 64
	firstProbeSpacing = 200 * time.Microsecond
)

// schedule is a heap of the targets that are probed: the one that is due first stands at the top.
type schedule []*target

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due.Before(s[j].due) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].position, s[j].position = i, j
}
func (s *schedule) Push(t any) {
	t.(*target).position = len(*s)
	*s = append(*s, t.(*target))
}
func (s *schedule) Pop() any {
	last := len(*s) - 1
	t := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return t
}

// startProbing begins a series of probes for each of the targets that is to be probed and has none.
func (c *Checker) startProbing(targets []*target) {
	now := time.Now()
	var spread time.Duration
	if len(targets) > promptTargets {
		spread = time.Duration(len(targets)) * firstProbeSpacing
	}
	for _, t := range targets {
		if !t.probed || t.cancel != nil {
			continue
		}
		t.ctx, t.cancel = context.WithCancel(c.ctx)
		t.isFirst = true
		t.due = now.Add(random(min(spread, t.group.settings.interval)))
		heap.Push(&c.schedule, t)
	}
	select {
	case c.rescheduled <- struct{}{}:
	default:
	}
}

// stopProbing ends the series of probes of a target, if there is one. Probes on their way are broken off, and their
// results are not counted.
func (c *Checker) stopProbing(t *target) {
	if t.cancel == nil {
		return
	}
	t.cancel()
	t.cancel = nil
	t.due = time.Time{}
	t.isWaiting = false
	heap.Remove(&c.schedule, t.position)
}

// keepSchedule queues the probes that are due, for as long as the checker is open. It sleeps until there is one.
func (c *Checker) keepSchedule() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-c.rescheduled:
		case <-c.ctx.Done():
			return
		}
		c.mu.Lock()
		now := time.Now()
		for len(c.schedule) > 0 && !c.schedule[0].due.After(now) {
			t := c.schedule[0]
			t.advance(now)
			heap.Fix(&c.schedule, 0)
			c.enqueue(t)
		}
		c.sendProbes()
		if len(c.schedule) > 0 {
			timer.Reset(c.schedule[0].due.Sub(now))
		} else {
			timer.Stop()
		}
		c.mu.Unlock()
	}
}

// advance sets when the target is due next. Probes are due at a fixed beat that no slow answer shifts
// (UG target-group-health-checks); beats that were missed are left out. After its first probe a target waits for
// between a half and a whole interval, so that targets that started together drift apart.
func (t *target) advance(now time.Time) {
	interval := t.group.settings.interval
	if t.isFirst {
		t.isFirst = false
		t.due = t.due.Add(interval - random(interval/2))
	} else {
		t.due = t.due.Add(interval)
	}
	if late := now.Sub(t.due); late >= 0 {
		t.due = t.due.Add((late/interval + 1) * interval)
	}
}

// random returns a duration from 0 to less than limit.
func random(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return rand.N(limit)
}
