package health

import (
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// Known is the result of one target's checks, for a Checker in another process.
type Known struct {
	Target    lattice.Key
	Status    shape.TargetStatus
	Successes int
	Failures  int
	Since     time.Time
}

// Known returns the results of the targets that have been judged.
func (c *Checker) Known() []Known {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var list []Known
	for _, g := range c.board {
		for key, t := range g.targets {
			if t.probed && t.state.status != shape.TargetStatusInitial {
				list = append(list, Known{Target: key, Status: t.state.status, Successes: t.state.successes, Failures: t.state.failures, Since: t.state.since})
			}
		}
	}
	return list
}

// Restore gives the targets of the first Apply, which must follow, the results of another Checker. It may be called several
// times, each time with other targets. All of them are probed as usual.
func (c *Checker) Restore(list []Known) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.restored == nil {
		c.restored = make(map[lattice.Key]state, len(list))
	}
	for _, k := range list {
		c.restored[k.Target] = state{status: k.Status, successes: k.Successes, failures: k.Failures, since: k.Since}
	}
}
