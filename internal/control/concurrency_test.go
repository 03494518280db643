package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// newTestControl returns operations on the tests' catalog, and a caller in its own account.
func newTestControl(cfg Config) (*Control, api.Caller) {
	cfg.Catalog = store
	cfg.Domain = "localhost"
	cfg.Log = slog.New(slog.DiscardHandler)
	if cfg.Health == nil {
		cfg.Health = scriptedHealth{}
	}
	if cfg.Resolver == nil {
		cfg.Resolver = scriptedRecords{}
	}
	return New(cfg), api.Caller{Account: newTestAccount(), Region: "us-west-2"}
}

// atOnce runs fn for 0 to n-1 at the same time and returns what each returned.
func atOnce[T any](n int, fn func(i int) (T, error)) ([]T, []error) {
	results, errs := make([]T, n), make([]error, n)
	var start, done sync.WaitGroup
	start.Add(1)
	for i := range n {
		done.Go(func() {
			start.Wait()
			results[i], errs[i] = fn(i)
		})
	}
	start.Done()
	done.Wait()
	return results, errs
}

func countTargetGroups(c *Control, caller api.Caller) (n int) {
	c.Catalog.Read(func(v catalog.View) { n = v.Count(lattice.All(lattice.KindTargetGroup, caller.Scope())) })
	return n
}

func TestOneOfManyClientsGetsAName(t *testing.T) {
	c, caller := newTestControl(Config{})
	for round := range 10 {
		name := fmt.Sprintf("web-%d", round)
		_, errs := atOnce(8, func(i int) (*shape.CreateTargetGroupResponse, error) {
			return c.CreateTargetGroup(t.Context(), caller, &shape.CreateTargetGroupRequest{
				ClientToken: ptr(fmt.Sprintf("%d-%d", round, i)), Name: &name, Type: shape.TargetGroupTypeLambda,
			})
		})
		created := 0
		for _, err := range errs {
			if err == nil {
				created++
			} else if conflict, ok := errors.AsType[*shape.ConflictException](err); !ok || *conflict.ResourceType != "TARGET_GROUP" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if created != 1 || countTargetGroups(c, caller) != round+1 {
			t.Fatalf("%s was created %d times; there are %d target groups", name, created, countTargetGroups(c, caller))
		}
	}
}

func TestOneTokenMakesOneTargetGroup(t *testing.T) {
	c, caller := newTestControl(Config{})
	create := func(name string) (*shape.CreateTargetGroupResponse, error) {
		return c.CreateTargetGroup(t.Context(), caller, &shape.CreateTargetGroupRequest{
			ClientToken: ptr("retry"), Name: &name, Type: shape.TargetGroupTypeLambda,
		})
	}
	answers, errs := atOnce(8, func(int) (*shape.CreateTargetGroupResponse, error) { return create("web") })
	for i, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
		if *answers[i].Id != *answers[0].Id || answers[i].Status != shape.TargetGroupStatusCreateInProgress {
			t.Errorf("answer %d is %+v, the first %+v", i, answers[i], answers[0])
		}
	}
	if _, err := create("other"); !isConflict(err) {
		t.Errorf("other parameters: %v", err)
	}
	if n := countTargetGroups(c, caller); n != 1 {
		t.Errorf("there are %d target groups", n)
	}
}

func isConflict(err error) bool {
	_, ok := errors.AsType[*shape.ConflictException](err)
	return ok
}

// Registering a target in a target group that is being deleted must not leave a target without a group.
func TestTargetsAreNotRegisteredInAGroupBeingDeleted(t *testing.T) {
	c, caller := newTestControl(Config{})
	for range 20 {
		group, err := c.CreateTargetGroup(t.Context(), caller, &shape.CreateTargetGroupRequest{
			Name: ptr("web"), Type: shape.TargetGroupTypeIp,
			Config: &shape.TargetGroupConfig{Protocol: "HTTP", VpcIdentifier: ptr("vpc-12345678")},
		})
		if err != nil {
			t.Fatal(err)
		}
		targets := []shape.Target{{Id: ptr("10.0.0.1")}}
		_, errs := atOnce(2, func(i int) (any, error) {
			if i == 0 {
				return c.DeleteTargetGroup(t.Context(), caller, &shape.DeleteTargetGroupRequest{TargetGroupIdentifier: group.Id})
			}
			return c.RegisterTargets(t.Context(), caller, &shape.RegisterTargetsRequest{TargetGroupIdentifier: group.Id, Targets: targets})
		})
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("deletion: %v, registration: %v", errs[0], errs[1])
		}
		if errs[0] == nil {
			continue
		}
		_, err = c.DeregisterTargets(t.Context(), caller, &shape.DeregisterTargetsRequest{TargetGroupIdentifier: group.Id, Targets: targets})
		if err == nil {
			_, err = c.DeleteTargetGroup(t.Context(), caller, &shape.DeleteTargetGroupRequest{TargetGroupIdentifier: group.Id})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunEndsDeletionsAndStops(t *testing.T) {
	c, caller := newTestControl(Config{LifecycleDelay: 20 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for i := range 5 {
		group, err := c.CreateTargetGroup(t.Context(), caller, &shape.CreateTargetGroupRequest{
			Name: ptr(fmt.Sprintf("web-%d", i)), Type: shape.TargetGroupTypeLambda,
		})
		if err != nil {
			t.Fatal(err)
		}
		request := &shape.DeleteTargetGroupRequest{TargetGroupIdentifier: group.Id}
		eventually(t, func() bool { // CREATE_IN_PROGRESS first
			_, err = c.DeleteTargetGroup(t.Context(), caller, request)
			return err == nil
		})
		eventually(t, func() bool {
			_, err := c.GetTargetGroup(t.Context(), caller, &shape.GetTargetGroupRequest{TargetGroupIdentifier: group.Id})
			_, gone := errors.AsType[*shape.ResourceNotFoundException](err)
			return gone
		})
	}
	stop()
	running.Wait()
}

func TestManyDeletionsEndTogether(t *testing.T) {
	now := testEpoch
	c, caller := newTestControl(Config{LifecycleDelay: time.Second, Now: func() time.Time { return now }})
	var ids []*string
	for i := range 2*endsAtOnce + 1 {
		group, err := c.CreateTargetGroup(t.Context(), caller, &shape.CreateTargetGroupRequest{
			Name: ptr(fmt.Sprintf("web-%d", i)), Type: shape.TargetGroupTypeLambda,
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, group.Id)
	}
	now = now.Add(time.Second)
	for _, id := range ids {
		if _, err := c.DeleteTargetGroup(t.Context(), caller, &shape.DeleteTargetGroupRequest{TargetGroupIdentifier: id}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{len(ids), 0} {
		if next, err := c.endDue(t.Context()); err != nil || next <= 0 {
			t.Fatal(next, err)
		}
		if n := countTargetGroups(c, caller); n != want {
			t.Fatalf("after %v there are %d target groups, want %d", now.Sub(testEpoch), n, want)
		}
		now = now.Add(time.Second)
	}
}

// eventually waits for something that another goroutine brings about.
func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	trellistest.Await(t, condition, "another goroutine brings it about")
}
