package health

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"trellis/internal/shape"
)

// check is a probe under way.
type check struct {
	target   *target
	question *question
	address  netip.AddrPort
	began    time.Time
	deadline time.Time // when the check is ended
	position int       // its index in Checker.checks; -1 once it has been ended
	isVoid   bool      // the series has ended: the outcome does not count
	next     *check    // another one of the same target

	cancel context.CancelCauseFunc // for a check with a goroutine of its own
	call   call                    // for any other check
}

// outcome is what a check has found.
type outcome struct {
	began    time.Time
	duration time.Duration
	question *question
	address  netip.AddrPort
	status   int    // 0 without an answer
	err      error  // why there is no answer
	phase    string // the phase of the error, if the error does not name it
	body     string // the beginning of the body that came with a wrong status code
}

// passes reports whether the outcome is a success.
func (o *outcome) passes() bool { return o.err == nil && o.question.matcher.Match(o.status) }

// failure says what was wrong. It is empty for a success.
func (o *outcome) failure() string {
	switch {
	case o.err != nil && o.phase != "":
		return o.phase + ": " + o.err.Error()
	case o.err != nil:
		return o.err.Error()
	case !o.passes():
		return fmt.Sprintf("status code %d, expected %s", o.status, o.question.httpCode)
	default:
		return ""
	}
}

// result returns the outcome for reports, or nil for none.
func (o *outcome) result() *Result {
	if o.question == nil {
		return nil
	}
	return &Result{StartedAt: o.began, Duration: o.duration, URL: o.question.probe(o.address).URL(), StatusCode: o.status,
		Failure: o.failure(), Body: excerpt([]byte(o.body))}
}

// checks is a heap of the checks under way: the one that ends first is at the top.
type checks []*check

func (s checks) Len() int           { return len(s) }
func (s checks) Less(i, j int) bool { return s[i].deadline.Before(s[j].deadline) }
func (s checks) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].position, s[j].position = i, j
}
func (s *checks) Push(k any) {
	k.(*check).position = len(*s)
	*s = append(*s, k.(*check))
}
func (s *checks) Pop() any {
	last := len(*s) - 1
	k := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	k.position = -1
	return k
}

// newCheck notes that a check of a target is under way. The caller holds the lock.
func (c *Checker) newCheck(t *target, now time.Time) *check {
	var k *check
	if last := len(c.spare) - 1; last >= 0 {
		k, c.spare = c.spare[last], c.spare[:last]
	} else {
		k = new(check)
	}
	q := t.group.settings.question
	*k = check{target: t, question: q, address: q.at(t.address), began: now, deadline: now.Add(q.timeout), next: t.checks}
	t.checks = k
	heap.Push(&c.checks, k)
	c.probing++
	t.group.probing++
	return k
}

// start begins a check. It is called by keepSchedule, without the lock.
func (c *Checker) start(k *check) {
	if c.poller != nil && k.question.isPlain() && !c.poller.dialer.Waits(k.address) {
		c.poller.begin(c.ctx, k)
		return
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	k.cancel = cancel
	c.goroutines.Go(func() {
		defer cancel(nil)
		answer, err := c.prober.Probe(ctx, k.question.probe(k.address))
		c.finish(k, outcome{status: answer.StatusCode, err: err}, []byte(answer.Body))
	})
}

// endLate ends the checks whose time is over. It is called by keepSchedule, which holds the lock.
func (c *Checker) endLate(now time.Time) {
	for len(c.checks) > 0 && !c.checks[0].deadline.After(now) {
		k := heap.Pop(&c.checks).(*check)
		late := (*lateError)(k.question)
		if k.cancel != nil {
			k.cancel(late) // The check's goroutine finishes it.
			continue
		}
		c.count(k, outcome{err: late, phase: c.poller.drop(k)}, nil)
	}
}

// finish notes the outcome of a check: what was found, but not what the check itself knows. The body may be used again
// afterwards.
func (c *Checker) finish(k *check, o outcome, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(k, o, body)
	if c.ready.len() > 0 {
		c.sleeper.wake()
	}
}

// count is finish for callers that hold the lock. Outcomes count in the order in which they arrive.
func (c *Checker) count(k *check, o outcome, body []byte) {
	t := k.target
	c.probing--
	t.group.probing--
	c.makeReady(t.group)
	if k.position >= 0 {
		heap.Remove(&c.checks, k.position)
	}
	for at := &t.checks; *at != nil; at = &(*at).next {
		if *at == k {
			*at = k.next
			break
		}
	}
	if !k.isVoid && !c.closed {
		now := time.Now()
		o.began, o.question, o.address, o.duration = k.began, k.question, k.address, now.Sub(k.began)
		if o.body = t.last.body; o.passes() || o.err != nil {
			o.body = ""
		} else if body = body[:min(len(body), maxExcerptBytes)]; o.body != string(body) {
			o.body = string(body)
		}
		t.last = o
		c.judge(t, now)
	}
	*k = check{}
	c.spare = append(c.spare, k)
}

// judge takes a target's last outcome into account.
func (c *Checker) judge(t *target, now time.Time) {
	o := &t.last
	if _, isUnmade := errors.AsType[*UnmadeError](o.err); isUnmade {
		c.log.Warn("health check not made", "targetGroup", t.group.record.ID, "target", t.record.ID, "port", t.record.Port, "problem", o.failure())
		return
	}
	before := t.state.status
	t.state.record(o.passes(), &t.group.settings, now)
	c.tellChange(t, before, o.failure())
}

// tellChange reports a change of the target's status, if there is one.
func (c *Checker) tellChange(t *target, before shape.TargetStatus, problem string) {
	after := t.state.status
	if before == after {
		return
	}
	c.log.Info("target health changed", "targetGroup", t.group.record.ID, "target", t.record.ID, "port", t.record.Port,
		"from", before, "to", after, "problem", problem)
	if before == shape.TargetStatusHealthy || after == shape.TargetStatusHealthy {
		c.availabilityChanged(t.group.key)
	}
}
