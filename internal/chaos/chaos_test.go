package chaos

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/shape"
)

// troubles returns what happens to the next n calls of an operation.
func troubles(c *Chaos, operation string, n int) []trouble {
	list := make([]trouble, n)
	for i := range list {
		list[i] = c.Next(operation).trouble
	}
	return list
}

func TestSameSeedBringsTheSameTroubleToEachOperation(t *testing.T) {
	cfg := Config{Throttle: 0.3, Error: 0.3, Seed: 7}
	first := New(cfg)
	want := troubles(first, "CreateService", 100)
	second := New(cfg)
	for i := range want {
		// Calls of other operations make no difference.
		second.Next("ListServices")
		second.FailCreation("service")
		if got := second.Next("CreateService").trouble; got != want[i] {
			t.Fatalf("call %d meets trouble %d, want %d as the first time", i, got, want[i])
		}
	}
	if slices.Equal(want, troubles(New(Config{Throttle: 0.3, Error: 0.3, Seed: 8}), "CreateService", 100)) {
		t.Error("another seed brings the same trouble")
	}
	if slices.Equal(want, troubles(New(cfg), "DeleteService", 100)) {
		t.Error("another operation meets the same trouble")
	}
}

func TestSharesAreKept(t *testing.T) {
	const calls = 20000
	counts := map[trouble]int{}
	c := New(Config{Throttle: 0.1, Error: 0.2, CreateFailed: 0.25, Seed: 1})
	failed := 0
	for _, tr := range troubles(c, "GetService", calls) {
		counts[tr]++
	}
	for range calls {
		if code, message := c.FailCreation("service"); code != "" {
			if message == "" {
				t.Fatal("a failure has a code and no message")
			}
			failed++
		}
	}
	for name, share := range map[string][2]float64{
		"throttled": {float64(counts[throttled]), 0.1}, "failed before": {float64(counts[failedBefore]), 0.1},
		"failed after": {float64(counts[failedAfter]), 0.1}, "not created": {float64(failed), 0.25},
	} {
		if got := share[0] / calls; math.Abs(got-share[1]) > 0.02 {
			t.Errorf("%s: a share of %.3f, want %.2f", name, got, share[1])
		}
	}
}

func TestNothingHappensUnlessAskedFor(t *testing.T) {
	c := New(Config{Seed: 1})
	for range 1000 {
		effect := c.Next("CreateService")
		if err := errors.Join(effect.Before(t.Context()), effect.After()); err != nil {
			t.Fatal(err)
		}
		if code, _ := c.FailCreation("service"); code != "" {
			t.Fatal("a creation failed")
		}
	}
}

func TestErrorsAreThoseThatClientsRetry(t *testing.T) {
	if _, ok := errors.AsType[*shape.ThrottlingException](New(Config{Throttle: 1}).Next("GetService").Before(t.Context())); !ok {
		t.Error("no ThrottlingException")
	}
	before, after := 0, 0
	c := New(Config{Error: 1})
	for range 100 {
		effect := c.Next("GetService")
		if err := effect.Before(t.Context()); err != nil {
			if _, ok := errors.AsType[*shape.InternalServerException](err); !ok {
				t.Fatalf("failed with %v", err)
			}
			before++
		} else if effect.After() != nil {
			after++
		}
	}
	if before == 0 || after == 0 || before+after != 100 {
		t.Errorf("of 100 calls %d fail before and %d after the operation", before, after)
	}
}

func TestLatencyIsWaitedForUnlessTheClientGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		effect := New(Config{Latency: 50 * time.Millisecond}).Next("GetService")
		start := time.Now()
		if err := effect.Before(t.Context()); err != nil || time.Since(start) != 50*time.Millisecond {
			t.Errorf("waited for %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := effect.Before(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the client has gone, and the call ends with %v", err)
		}
	})
}
