package catalog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/lattice"
)

var scope = lattice.Scope{Account: "111122223333", Region: "us-west-2"}

var groups = lattice.All(lattice.KindTargetGroup, scope)

func group(name string) *lattice.TargetGroup {
	return &lattice.TargetGroup{Base: lattice.Base{
		ID: lattice.NewID(lattice.KindTargetGroup), Name: name, Scope: scope, CreatedAt: time.Now().UTC(),
	}, Type: "IP"}
}

func service() *lattice.Service {
	return &lattice.Service{Base: lattice.Base{ID: lattice.NewID(lattice.KindService), Name: rand.Text(), Scope: scope, CreatedAt: time.Now().UTC()}}
}

// rule returns a record below a service, of which one with another number is another.
func rule(s *lattice.Service, number int) *lattice.Rule {
	id := fmt.Sprintf("rule-%d", number)
	return &lattice.Rule{Base: lattice.Base{ID: id, Name: id, Scope: scope}, ServiceID: s.ID, ListenerID: s.ID, Priority: int32(number)}
}

func rulesOf(s *lattice.Service) lattice.Index {
	return lattice.By(lattice.KindRule, scope, "service", s.ID)
}

func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// start opens a catalog that the test closes.
func start(t testing.TB, cfg Config) *Catalog {
	t.Helper()
	if cfg.DataDir == "" && len(cfg.Endpoints) == 0 {
		cfg.Ephemeral = true
	}
	if cfg.Log == nil {
		cfg.Log = testLog(t)
	}
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// commit commits a mutation that must succeed.
func commit(t testing.TB, c *Catalog, fn func(tx *Tx)) {
	t.Helper()
	err := c.Commit(context.Background(), func(tx *Tx) error {
		fn(tx)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, c *Catalog, records ...lattice.Record) {
	t.Helper()
	commit(t, c, func(tx *Tx) {
		for _, rec := range records {
			tx.Put(rec)
		}
	})
}

// names returns the names of the target groups of a view in the order of the list.
func names(v View) (list []string) {
	for g := range All[*lattice.TargetGroup](v, groups) {
		list = append(list, g.Name)
	}
	return list
}

func namesOf(c *Catalog) (list []string) {
	c.Read(func(v View) { list = names(v) })
	return list
}

func TestACommittedRecordCanBeRead(t *testing.T) {
	c := start(t, Config{})
	g := group("a")
	put(t, c, g)
	c.Read(func(v View) {
		got, ok := Get[*lattice.TargetGroup](v, g.Key())
		if !ok {
			t.Fatal("not there")
		}
		if diff := cmp.Diff(g, got); diff != "" {
			t.Error(diff)
		}
		if _, ok := Get[*lattice.TargetGroup](v, lattice.TargetGroupKey(scope, "tg-other")); ok {
			t.Error("found what is not there")
		}
		if _, ok := Get[*lattice.Service](v, g.Key()); ok {
			t.Error("found a target group as a service")
		}
	})
}

func TestAListIsInOrderOfCreationAndAReplacedRecordKeepsItsPlace(t *testing.T) {
	c := start(t, Config{})
	first := group("first")
	put(t, c, first)
	for _, name := range []string{"z", "m", "a"} {
		put(t, c, group(name))
	}
	changed := *first
	changed.Name = "changed"
	put(t, c, &changed)
	if got, want := namesOf(c), []string{"changed", "z", "m", "a"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	commit(t, c, func(tx *Tx) { tx.Delete(first.Key()) })
	put(t, c, &changed)
	if got, want := namesOf(c), []string{"z", "m", "a", "changed"}; !slices.Equal(got, want) {
		t.Errorf("after deleting and creating it again: got %q, want %q", got, want)
	}
}

func TestAnIndexFollowsUpdates(t *testing.T) {
	c := start(t, Config{})
	g := group("a")
	put(t, c, g)
	deleting := *g
	deleting.Lifecycle.Phase = lattice.PhaseDelete
	put(t, c, &deleting)
	c.Read(func(v View) {
		if n := v.Count(lattice.Deleting); n != 1 {
			t.Errorf("%d are being deleted, want 1", n)
		}
	})
	put(t, c, g)
	c.Read(func(v View) {
		if n := v.Count(lattice.Deleting); n != 0 {
			t.Errorf("%d are being deleted, want 0", n)
		}
		if n := v.Count(groups); n != 1 {
			t.Errorf("%d target groups, want 1", n)
		}
	})
}

func TestPagesAreCompleteWhileOthersWrite(t *testing.T) {
	c := start(t, Config{})
	const before = 200
	var want []string
	var doomed []lattice.Key
	commit(t, c, func(tx *Tx) {
		for i := range 100 {
			g := group(fmt.Sprintf("doomed-%d", i))
			doomed = append(doomed, g.Key())
			tx.Put(g)
		}
	})
	for i := range before {
		name := fmt.Sprintf("kept-%03d", i)
		want = append(want, name)
		put(t, c, group(name))
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i, key := range doomed {
			commit(t, c, func(tx *Tx) {
				tx.Delete(key)
				tx.Put(group(fmt.Sprintf("late-%d", i)))
			})
		}
	})
	var got []string
	var cursor Cursor
	for more := true; more; {
		more = false
		c.Read(func(v View) {
			n := 0
			v.List(groups, cursor, func(rec lattice.Record, at Cursor) bool {
				if n == 7 {
					more = true
					return false
				}
				n++
				cursor = at
				if name := rec.(*lattice.TargetGroup).Name; strings.HasPrefix(name, "kept") {
					got = append(got, name)
				}
				return true
			})
		})
	}
	wg.Wait()
	if !slices.Equal(got, want) {
		t.Errorf("the pages have %d of %d records, in order: %q", len(got), len(want), got)
	}
}

func TestAnErrorOfTheMutationWritesNothing(t *testing.T) {
	c := start(t, Config{})
	failure := errors.New("no")
	err := c.Commit(t.Context(), func(tx *Tx) error {
		tx.Put(group("a"))
		return failure
	})
	if err != failure {
		t.Errorf("got %v, want the mutation's own error", err)
	}
	if got := namesOf(c); got != nil {
		t.Errorf("wrote %q", got)
	}
}

func TestARecordThatCouldNotBeReadBackIsRefused(t *testing.T) {
	c := start(t, Config{})
	for _, rec := range []lattice.Record{
		&lattice.TargetGroup{Base: lattice.Base{ID: "tg-1", Name: "no scope"}},
		unknownRecord{},
	} {
		err := c.Commit(t.Context(), func(tx *Tx) error { tx.Put(rec); return nil })
		if err == nil {
			t.Errorf("stored %s", rec.Key())
		}
	}
}

// unknownRecord is of a kind that lattice.NewRecord does not know.
type unknownRecord struct{}

func (unknownRecord) Key() lattice.Key         { return lattice.Key{Kind: "future", Scope: scope, Path: "f-1"} }
func (unknownRecord) Indexes() []lattice.Index { return nil }
func (unknownRecord) Claims() []lattice.Claim  { return nil }

func TestAMutationThatWritesNothingNeedsNoTransaction(t *testing.T) {
	c := start(t, Config{})
	put(t, c, group("a"))
	before := c.Revision()
	commit(t, c, func(tx *Tx) {
		if got := names(tx); len(got) != 1 {
			t.Errorf("the mutation sees %q, want one target group", got)
		}
		g := group("b")
		tx.Put(g)
		tx.Delete(g.Key())
		tx.Delete(lattice.TargetGroupKey(scope, "tg-nowhere"))
	})
	if after := c.Revision(); after != before {
		t.Errorf("the revision moved from %d to %d", before, after)
	}
}

func TestAPanicIsTheCallersOwn(t *testing.T) {
	c := start(t, Config{})
	func() {
		defer func() {
			if got := recover(); got != "oh" {
				t.Errorf("recovered %v, want the mutation's own panic", got)
			}
		}()
		c.Commit(t.Context(), func(tx *Tx) error {
			tx.Put(group("a"))
			panic("oh")
		})
	}()
	put(t, c, group("b"))
	if got, want := namesOf(c), []string{"b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAMutationWhoseGoroutineEndsIsWithdrawn(t *testing.T) {
	c := start(t, Config{})
	var wg sync.WaitGroup
	wg.Go(func() {
		c.Commit(t.Context(), func(tx *Tx) error {
			tx.Put(group("a"))
			t.SkipNow() // runtime.Goexit
			return nil
		})
	})
	wg.Wait()
	put(t, c, group("b"))
	if got, want := namesOf(c), []string{"b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestACancelledCallerIsAnsweredAtOnceAndItsMutationDoesNotRunAgain(t *testing.T) {
	c := start(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	busy, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		commit(t, c, func(tx *Tx) {
			tx.Put(group("slow"))
			close(busy)
			<-release
		})
	})
	<-busy
	left := make(chan error)
	go func() {
		left <- c.Commit(ctx, func(tx *Tx) error {
			tx.Put(group("cancelled"))
			return nil
		})
	}()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	wg.Wait()
	put(t, c, group("next"))
	if got, want := namesOf(c), []string{"slow", "next"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMutationsBeyondTheLimitsAreRefusedByType(t *testing.T) {
	c := start(t, Config{MaxOperations: 12, MaxBytes: 4096})
	many := func(n int) error {
		return c.Commit(t.Context(), func(tx *Tx) error {
			for i := range n {
				tx.Put(group(fmt.Sprintf("%d of %d", i, n)))
			}
			return nil
		})
	}
	if err := many(10); err != nil {
		t.Error(err)
	}
	err := many(11)
	if tooLarge, ok := errors.AsType[*TooLargeError](err); !ok || tooLarge.Operations != 11 || tooLarge.MaxOperations != 10 {
		t.Errorf("got %v, want a TooLargeError of 11 operations, of at most 10", err)
	}
	err = c.Commit(t.Context(), func(tx *Tx) error { tx.Put(group(strings.Repeat("x", 5000))); return nil })
	if _, ok := errors.AsType[*TooLargeError](err); !ok {
		t.Errorf("got %v, want a TooLargeError", err)
	}
}

func TestMutationsTooManyForOneTransactionAreAllCommitted(t *testing.T) {
	c := start(t, Config{MaxOperations: 7})
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			commit(t, c, func(tx *Tx) {
				for j := range 1 + i%4 {
					tx.Put(group(fmt.Sprintf("g-%d-%d", i, j)))
				}
			})
		})
	}
	wg.Wait()
	if got, want := len(namesOf(c)), 60/4*(1+2+3+4); got != want {
		t.Errorf("%d target groups, want %d", got, want)
	}
}

func TestApplyHasHadTheChangesBeforeTheWriterIsAnswered(t *testing.T) {
	dir := t.TempDir()
	first := start(t, Config{DataDir: dir})
	a, b := group("a"), group("b")
	put(t, first, a)
	put(t, first, b)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	var calls [][]lattice.Change // No lock: the catalog orders what it calls before what it answers.
	c := start(t, Config{DataDir: dir, Apply: func(changes []lattice.Change) { calls = append(calls, changes) }})
	want := [][]lattice.Change{{{New: a}, {New: b}}}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Fatalf("at the start:\n%s", diff)
	}
	renamed := *a
	renamed.Name = "c"
	put(t, c, &renamed)
	commit(t, c, func(tx *Tx) { tx.Delete(b.Key()) })
	want = append(want, []lattice.Change{{Old: a, New: &renamed}}, []lattice.Change{{Old: b}})
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Error(diff)
	}
}

func TestAClosedCatalogSaysSo(t *testing.T) {
	c := start(t, Config{})
	if c.Err() != nil {
		t.Error(c.Err())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("the second time: %v", err)
	}
	<-c.Done()
	for _, err := range []error{
		c.Err(),
		c.Writable(),
		c.Commit(t.Context(), func(*Tx) error { t.Error("a closed catalog evaluates a mutation"); return nil }),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	c.Read(func(v View) {}) // still allowed
}

func TestADataDirectoryHasOneUser(t *testing.T) {
	dir := t.TempDir()
	first := start(t, Config{DataDir: dir})
	_, err := Open(t.Context(), Config{DataDir: dir, Log: testLog(t)})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("got %v, want an error that names the other process", err)
	}
	first.Close()
	start(t, Config{DataDir: dir})
}

func TestAConfigurationWithoutAStoreIsRefused(t *testing.T) {
	if _, err := Open(t.Context(), Config{}); err == nil {
		t.Error("a catalog without a store was opened")
	}
	if _, err := Open(t.Context(), Config{Ephemeral: true, MaxOperations: 2}); err == nil {
		t.Error("a catalog with room for no operation was opened")
	}
}
