package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
	"trellis/test/trellistest"
)

func TestALostWatchIsResumed(t *testing.T)                 { testLostWatch(t, false) }
func TestACompactedWatchListsEverythingAgain(t *testing.T) { testLostWatch(t, true) }

func testLostWatch(t *testing.T, compact bool) {
	s := testStore(t)
	a := startOn(t, s.shared(), Config{})
	followed := newFollower(t)
	faulty := s.shared()
	watcher := newFaultyWatcher(s.watcher)
	faulty.watcher = watcher
	b := startOn(t, faulty, Config{Apply: followed.apply})

	var kept []*lattice.TargetGroup
	for i := range 20 {
		kept = append(kept, group(fmt.Sprintf("group-%d", i)))
		put(t, a, kept[i])
	}
	converge(t, a, b)

	for round := range 3 {
		watcher.cut()
		for i, g := range kept {
			switch changed := *g; i % 3 {
			case 0:
				commit(t, a, func(tx *Tx) { tx.Delete(g.Key()) })
			case 1:
				changed.Name = fmt.Sprintf("changed-%d-%d", i, round)
				put(t, a, &changed)
			}
			if i%3 == 0 {
				put(t, a, g) // It comes back in another place.
			}
			if i%5 == 0 {
				put(t, a, group(fmt.Sprintf("new-%d-%d", i, round)))
			}
		}
		if compact {
			if _, err := s.kv.Compact(t.Context(), a.Revision(), clientv3.WithCompactPhysical()); err != nil {
				t.Fatal(err)
			}
		}
		watcher.mend()
		converge(t, a, b)
		followed.compare(b)
	}
}

func TestAWriterWithoutAWatchWaitsForIt(t *testing.T) {
	s := testStore(t)
	watcher := newFaultyWatcher(s.watcher)
	faulty := s.shared()
	faulty.watcher = watcher
	c := startOn(t, faulty, Config{})
	put(t, c, group("a"))
	watcher.cut()
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error)
	stored := make(chan struct{})
	go func() {
		answered <- c.Commit(ctx, func(tx *Tx) error { tx.Put(group("b")); return nil })
	}()
	go func() {
		for ctx.Err() == nil {
			if resp, err := s.kv.Get(ctx, headKey); err == nil && resp.Kvs[0].Version == 2 {
				close(stored)
				return
			}
		}
	}()
	<-stored
	select {
	case err := <-answered:
		t.Fatalf("answered %v although the replica does not have it", err)
	default:
	}
	watcher.mend()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	cancel()
	if got := namesOf(c); len(got) != 2 {
		t.Errorf("the replica has %q", got)
	}
}

func TestASilentWatchIsReplaced(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	watcher := newFaultyWatcher(s.watcher)
	watcher.mute = true
	faulty := s.shared()
	faulty.watcher = watcher
	c, other := startOn(t, faulty, Config{}), startOn(t, s.shared(), Config{})
	put(t, other, group("a"))
	converge(t, other, c)
	put(t, c, group("b"))
	converge(t, c, other)
}

// It must make no difference whether a node takes a revision from what it stored or from what etcd delivers, nor in which
// order others write in between.
func TestStoredAndWatchedRevisionsMakeOneReplica(t *testing.T) {
	s := testStore(t)
	followedA, followedB := newFollower(t), newFollower(t)
	a := startOn(t, s.shared(), Config{Apply: followedA.apply})
	watcher := newFaultyWatcher(s.watcher)
	faulty := s.shared()
	faulty.watcher = watcher
	b := startOn(t, faulty, Config{Apply: followedB.apply})
	parent := service()
	put(t, a, parent)
	var running sync.WaitGroup
	var stored atomic.Int64
	var enough atomic.Bool
	defer running.Wait()
	defer enough.Store(true)
	for n, c := range []*Catalog{a, b} {
		for i := range 4 {
			running.Go(func() {
				for j := 0; !enough.Load(); j++ {
					stored.Add(1)
					number := 100_000*(4*n+i) + j
					commit(t, c, func(tx *Tx) {
						tx.Put(rule(parent, number))
						tx.PutExpiring(&lattice.Token{Scope: scope, Operation: "Test", Token: fmt.Sprint(number), Answer: json.RawMessage("{}")})
					})
					switch j % 4 {
					case 1:
						commit(t, c, func(tx *Tx) { tx.Delete(rule(parent, number-1).Key()) })
					case 3:
						commit(t, c, func(tx *Tx) {
							tx.DeleteTree(lattice.KindRule, scope, parent.ID)
							tx.Put(rule(parent, number))
						})
					}
				}
			})
		}
	}
	for range 5 {
		for _, change := range []func(){watcher.cut, watcher.mend} {
			change()
			before := stored.Load()
			trellistest.Await(t, func() bool { return stored.Load() >= before+20 }, "others write in between")
		}
	}
	enough.Store(true)
	running.Wait()
	converge(t, a, b, startOn(t, s.shared(), Config{}))
	followedA.compare(a)
	followedB.compare(b)
}

func TestKeysThatAreNotRecordsAreSkipped(t *testing.T) {
	s := testStore(t)
	g := group("good")
	value, err := encode(g)
	if err != nil {
		t.Fatal(err)
	}
	name := prefix + g.Key().String()
	write := func(key, value string) {
		t.Helper()
		if _, err := s.kv.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	odd := []string{
		prefix + "future/111122223333/us-west-2/x-1", prefix + "targetgroup/111122223333/us-west-2/tg-bad", prefix + "short",
		prefix + "targetgroup/111122223333/us-west-2/tg-other",
	}
	values := []string{`{}`, `{"id":`, `?`, string(value)}
	write(name, string(value))
	for i, key := range odd[:2] {
		write(key, values[i])
	}
	followed := newFollower(t)
	c := startOn(t, s.shared(), Config{Apply: followed.apply})
	for i, key := range odd {
		write(key, values[i])
		write(key, values[i])
	}
	put(t, c, group("next"))
	if got := namesOf(c); len(got) != 2 {
		t.Errorf("the replica has %q", got)
	}
	if got := len(c.replica.skipped); got != len(odd) {
		t.Errorf("%d keys were skipped, want %d", got, len(odd))
	}

	write(name, "broken")
	put(t, c, group("last"))
	fresh := startOn(t, s.shared(), Config{})
	converge(t, c, fresh)
	followed.compare(c)
	if got := namesOf(c); len(got) != 2 || got[0] != "next" {
		t.Errorf("the replica has %q", got)
	}
	if _, err := s.kv.Delete(t.Context(), prefix, clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	put(t, c, group("after all was deleted"))
	converge(t, c, fresh)
	followed.compare(c)
	if got := namesOf(c); len(got) != 1 {
		t.Errorf("the replica has %q", got)
	}
}

func TestAStoreThatWentBackIsNoticed(t *testing.T) {
	s := testStore(t)
	r := newReplica(nil, testLog(t))
	r.seen.advance(1 << 40)
	err := r.relist(t.Context(), s.kv)
	if wentBack, ok := errors.AsType[*wentBackError](err); !ok || wentBack.from != 1<<40 {
		t.Errorf("got %v, want a wentBackError from revision %d", err, int64(1<<40))
	}
}
