package health

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// schedule is a heap of the targets that are probed: the one that is due first is at the top.
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

// startProbing begins a series of probes for each target that must be probed and has none.
func (c *Checker) startProbing(targets []*target) {
	now := time.Now()
	var spread time.Duration
	if len(targets) > promptProbes {
		spread = time.Duration(len(targets)) * paceWindow / promptProbes
	}
	for i, t := range targets {
		if !t.probed || t.isScheduled {
			continue
		}
		t.isScheduled, t.isFirst = true, true
		t.interval = t.group.settings.interval
		t.due = now.Add(min(spread, t.interval/2) * time.Duration(i) / time.Duration(len(targets)))
		heap.Push(&c.schedule, t)
		c.pace.perWindow += share(t.interval)
	}
	c.sleeper.wake()
}

// stopProbing ends a target's series of probes, if there is one. Probes under way are broken off, and their results do not
// count.
func (c *Checker) stopProbing(t *target) {
	if !t.isScheduled {
		return
	}
	t.isScheduled = false
	t.isWaiting = false
	t.due = time.Time{}
	heap.Remove(&c.schedule, t.position)
	c.pace.perWindow -= share(t.interval)
	for k := t.checks; k != nil; k = k.next {
		k.isVoid = true
		if k.position >= 0 {
			k.deadline = time.Time{}
			heap.Fix(&c.checks, k.position)
		}
	}
	c.sleeper.wake()
}

// keepSchedule sends the probes that are due and ends those that take too long, for as long as the checker is open. It
// sleeps in between.
func (c *Checker) keepSchedule() {
	var turns []*check
	for {
		c.mu.Lock()
		if c.closed {
			break
		}
		now := time.Now()
		c.endLate(now)
		for len(c.schedule) > 0 && !c.schedule[0].due.After(now) {
			t := c.schedule[0]
			t.advance(now)
			heap.Fix(&c.schedule, 0)
			c.enqueue(t)
		}
		var next time.Time
		turns, next = c.takeTurns(turns[:0], now)
		if len(c.schedule) > 0 {
			due := c.schedule[0].due
			if earliest := now.Add(c.pace.batchTime()); due.Before(earliest) {
				due = earliest
			}
			next = earlier(next, due)
		}
		if len(c.checks) > 0 {
			next = earlier(next, c.checks[0].deadline)
		}
		c.sleeper.set(next)
		c.mu.Unlock()
		for _, k := range turns {
			c.start(k)
		}
		c.sleeper.sleep()
	}
	c.mu.Unlock()
	if c.poller != nil {
		c.poller.close()
	}
}

// earlier returns the earlier of two times. The zero time means none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// advance sets when the target is due next. Probes are due at fixed times that no slow response shifts (UG
// target-group-health-checks); missed ones are left out. After its first probe a target waits for between a half and a
// whole interval, so that targets that started together drift apart.
func (t *target) advance(now time.Time) {
	interval := t.interval
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
