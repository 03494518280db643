package catalog

import (
	"log/slog"
	"sync"
)

// condition is whether changes can be stored, and why not.
type condition struct {
	log *slog.Logger

	mu      sync.Mutex // mu guards the fields below.
	err     *UnavailableError
	failure *failure // the current failure, or the next one
}

// failure is a period in which changes cannot be stored.
type failure struct {
	begun chan struct{}     // closed when it begins
	err   *UnavailableError // why; it may be read once begun is closed
}

func newCondition(log *slog.Logger) *condition {
	return &condition{log: log, failure: &failure{begun: make(chan struct{})}}
}

// now returns why changes cannot be stored, or nil.
func (c *condition) now() *UnavailableError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// next returns the current failure, or the next one.
func (c *condition) next() *failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// set notes why changes cannot be stored; nil means that they can.
func (c *condition) set(err *UnavailableError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.err
	c.err = err
	if err == nil {
		if before != nil {
			c.failure = &failure{begun: make(chan struct{})}
			c.log.Info("changes can be stored again")
		}
		return
	}
	if before == nil {
		c.failure.err = err
		close(c.failure.begun)
	}
	if before == nil || before.Reason != err.Reason {
		c.log.Error("changes cannot be stored; traffic goes on", "error", err.Err)
	}
}
