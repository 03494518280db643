package health

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// groupShare is which part of all probes on their way may belong to one group: so many targets of one group that let
// every probe run into its timeout cannot delay the probes of other groups.
const groupShare = 4

// enqueue queues a probe of a target. When the one before has not even been sent, this machine is too slow for its
// schedule, and one is left out.
func (c *Checker) enqueue(t *target) {
	if t.isWaiting {
		return
	}
	t.isWaiting = true
	t.group.waiting = append(t.group.waiting, t)
	c.makeReady(t.group)
}

// makeReady lines a group up for sending, if it has something to send and may.
func (c *Checker) makeReady(g *group) {
	if !g.isReady && len(g.waiting) > 0 && g.probing < max(c.concurrency/groupShare, 1) {
		g.isReady = true
		c.ready = append(c.ready, g)
	}
}

// sendProbes sends as many queued probes as may be on their way. Groups take turns.
func (c *Checker) sendProbes() {
	for c.probing < c.concurrency && len(c.ready) > 0 && !c.closed {
		g := c.ready[0]
		c.ready = c.ready[1:]
		g.isReady = false
		t := g.waiting[0]
		g.waiting = g.waiting[1:]
		if t.isWaiting { // Else its series has ended meanwhile.
			t.isWaiting = false
			c.probing++
			g.probing++
			ctx, record, set, locate := t.ctx, t.record, g.settings, c.locator(g)
			c.goroutines.Go(func() { c.probe(ctx, t, record, set.question, locate) })
		}
		c.makeReady(g)
	}
}

// probe sends one probe and counts what comes of it.
func (c *Checker) probe(ctx context.Context, t *target, record *lattice.Target, q question, locate locator) {
	result, isMade := c.ask(ctx, record, q, locate)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.probing--
	t.group.probing--
	if ctx.Err() == nil {
		c.count(t, result, isMade)
	}
	c.makeReady(t.group)
	c.sendProbes()
}

// ask asks a target and judges its answer. isMade is false when nothing was learned about the target.
func (c *Checker) ask(ctx context.Context, record *lattice.Target, q question, locate locator) (result *Result, isMade bool) {
	result = &Result{StartedAt: time.Now()}
	address, err := locate(record)
	if err != nil { // Routing cannot reach it either.
		result.Failure = err.Error()
		return result, true
	}
	probe := Probe{Address: address, HTTPS: q.https, HTTP2: q.http2, Path: q.path}
	result.URL = probe.URL()

	ctx, cancel := context.WithTimeoutCause(ctx, q.timeout, fmt.Errorf("timed out after %v", q.timeout))
	defer cancel()
	answer, err := c.prober.Probe(ctx, probe)
	result.Duration = time.Since(result.StartedAt)
	result.StatusCode = answer.StatusCode
	if err != nil {
		result.Failure = err.Error()
		_, isUnmade := errors.AsType[*UnmadeError](err)
		return result, !isUnmade
	}
	if !q.matcher.Match(answer.StatusCode) {
		result.Failure = fmt.Sprintf("status code %d, expected %s", answer.StatusCode, q.httpCode)
		result.Body = answer.Body
	}
	return result, true
}

// count records a result of a target that is still probed. Results count in the order in which they come.
func (c *Checker) count(t *target, result *Result, isMade bool) {
	t.last = result
	if !isMade {
		c.log.Warn("health check not made", "targetGroup", t.group.record.ID, "target", t.record.ID, "port", t.record.Port, "problem", result.Failure)
		return
	}
	before := t.state.status
	t.state.record(result.Failure == "", t.group.settings)
	after := t.state.status
	if before == after {
		return
	}
	c.log.Info("target health changed", "targetGroup", t.group.record.ID, "target", t.record.ID, "port", t.record.Port,
		"from", before, "to", after, "problem", result.Failure)
	if before == shape.TargetStatusHealthy || after == shape.TargetStatusHealthy {
		c.availabilityChanged(t.group.key)
	}
}

// locator finds the address that probes of a target go to.
type locator func(*lattice.Target) (netip.AddrPort, error)

// locator returns the locator of a group as its record is now. Targets are looked up for every probe, since an
// instance may get another address while its record stays as it is.
func (c *Checker) locator(g *group) locator {
	record, port := g.record, g.settings.port
	return func(t *lattice.Target) (netip.AddrPort, error) {
		address, err := c.resolve(record, t)
		if err == nil && port != 0 {
			address = netip.AddrPortFrom(address.Addr(), port)
		}
		return address, err
	}
}
