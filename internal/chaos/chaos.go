// Package chaos makes calls of the API fail or wait on purpose, so that the authors of a client can see what it does when the
// server is slow, throttles, fails, or cannot create what was asked for. It decides which calls these are; the handler and the
// operations do what it says. It is used in dev only.
//
// What happens to the n-th call of an operation depends on the seed, the operation and n alone. So a test that makes the same
// calls gets the same failures, whatever it does with other operations at the same time.
package chaos

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"trellis/internal/shape"
)

// Config says how much goes wrong. Shares are between 0 and 1.
type Config struct {
	// Latency is added to every call, before it is carried out.
	Latency time.Duration
	// Throttle is the share of calls that are answered with 429, and Error of those with 500. Their sum is 1 at most.
	Throttle, Error float64
	// CreateFailed is the share of created resources that end in CREATE_FAILED.
	CreateFailed float64
	// Seed chooses which calls and resources these are.
	Seed uint64
}

// Chaos decides which calls fail or wait.
type Chaos struct {
	cfg Config

	mu      sync.Mutex // mu guards the field below.
	streams map[string]*rand.Rand
}

// New returns a Chaos in which no call has been made yet.
func New(cfg Config) *Chaos {
	return &Chaos{cfg: cfg, streams: map[string]*rand.Rand{}}
}

// Effect is what happens to one call.
type Effect struct {
	latency time.Duration
	trouble trouble
}

type trouble uint8

const (
	none trouble = iota
	throttled
	// After failedBefore the operation has not been carried out. After failedAfter it has, and its response is lost; this is why
	// there are client tokens.
	failedBefore
	failedAfter
)

// Next returns what happens to the next call of an operation. Half of the errors come after the operation has been
// carried out.
func (c *Chaos) Next(operation string) Effect {
	effect := Effect{latency: c.cfg.Latency}
	switch n := c.draw(operation); {
	case n < c.cfg.Throttle:
		effect.trouble = throttled
	case n < c.cfg.Throttle+c.cfg.Error/2:
		effect.trouble = failedBefore
	case n < c.cfg.Throttle+c.cfg.Error:
		effect.trouble = failedAfter
	}
	return effect
}

// Before must be called before the operation. It waits, and returns the error with which the call is answered, or nil.
func (e Effect) Before(ctx context.Context) error {
	if e.latency > 0 {
		timer := time.NewTimer(e.latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch e.trouble {
	case throttled:
		return &shape.ThrottlingException{Message: new("Rate exceeded (--chaos-throttle)."), ServiceCode: new("vpc-lattice"), RetryAfterSeconds: new(int32(1))}
	case failedBefore:
		return &shape.InternalServerException{Message: new("Failed before the operation was carried out (--chaos-error).")}
	}
	return nil
}

// After must be called when the operation has succeeded. It returns the error with which the call is answered all the same, or nil.
func (e Effect) After() error {
	if e.trouble == failedAfter {
		return &shape.InternalServerException{Message: new("Failed after the operation was carried out (--chaos-error).")}
	}
	return nil
}

// FailCreation returns why the next resource of a kind cannot be created, or empty strings if it can.
func (c *Chaos) FailCreation(kind string) (code, message string) {
	if c.draw("create "+kind) >= c.cfg.CreateFailed {
		return "", ""
	}
	return "InternalFailure", "The resource could not be created (--chaos-create-failed)."
}

// draw returns the next random number in [0, 1) of the sequence with a name.
func (c *Chaos) draw(name string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	stream, ok := c.streams[name]
	if !ok {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(name)) // It never fails.
		stream = rand.New(rand.NewPCG(c.cfg.Seed, hash.Sum64()))
		c.streams[name] = stream
	}
	return stream.Float64()
}
