package health

import "time"

// groupShare is the part of all probes under way that may belong to one group, so that targets of one group that let every
// probe time out cannot delay the probes of other groups.
const groupShare = 4

// enqueue queues a probe of a target. If the one before has not even been sent, this machine is too slow for its schedule,
// and the probe is left out.
func (c *Checker) enqueue(t *target) {
	if t.isWaiting {
		return
	}
	t.isWaiting = true
	t.group.waiting.push(t)
	c.makeReady(t.group)
}

// makeReady adds a group to those that may send a probe, if it has one to send and may send it.
func (c *Checker) makeReady(g *group) {
	if !g.isReady && g.waiting.len() > 0 && g.probing < max(c.concurrency/groupShare, 1) {
		g.isReady = true
		c.ready.push(g)
	}
}

// takeTurns appends the checks of queued probes that may be sent now. Groups take turns. It returns when the next may be
// sent, if the pace holds it up; the caller holds the lock.
func (c *Checker) takeTurns(turns []*check, now time.Time) (_ []*check, next time.Time) {
	c.pace.refill(now)
	for c.probing < c.concurrency && c.ready.len() > 0 {
		if next = c.pace.next(now); !next.IsZero() {
			break
		}
		g := c.ready.pop()
		g.isReady = false
		t := g.waiting.pop()
		if t.isWaiting { // Otherwise its series has ended meanwhile.
			t.isWaiting = false
			c.pace.take()
			turns = append(turns, c.newCheck(t, now))
		}
		c.makeReady(g)
	}
	return turns, next
}
