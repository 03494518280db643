package catalog

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
)

// follower is a data plane that keeps the changes that Apply gets, and finds errors in them.
type follower struct {
	t testing.TB

	mu      sync.Mutex // mu guards the field below.
	records map[lattice.Key]lattice.Record
}

func newFollower(t testing.TB) *follower {
	return &follower{t: t, records: map[lattice.Key]lattice.Record{}}
}

func (f *follower) apply(changes []lattice.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, change := range changes {
		rec := change.New
		if rec == nil {
			rec = change.Old
		}
		key := rec.Key()
		if f.records[key] != change.Old {
			f.t.Errorf("%s was not what a change says it was", key)
		}
		if change.New != nil {
			f.records[key] = change.New
		} else {
			delete(f.records, key)
		}
	}
}

// compare fails the test if Apply has said anything but what the catalog has, record by record.
func (f *follower) compare(c *Catalog) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	c.Read(func(v View) {
		rows := v.(*table).rows
		if len(rows) != len(f.records) {
			f.t.Errorf("Apply knows %d records, the replica %d", len(f.records), len(rows))
		}
		for key, r := range rows {
			if f.records[r.key()] != r.rec {
				f.t.Errorf("Apply has another %s than the replica", key)
			}
		}
	})
}

// caughtUp waits until a catalog has taken up all that was written before.
func caughtUp(ctx context.Context, c *Catalog) error {
	response, err := c.store.kv.Get(ctx, headKey, clientv3.WithKeysOnly())
	if err != nil || len(response.Kvs) == 0 {
		return err
	}
	return c.replica.applied.wait(response.Kvs[0].ModRevision, ctx, c.ctx)
}

// converge waits until catalogs have reached the same revision, and fails if they do not have the same records.
func converge(t testing.TB, catalogs ...*Catalog) {
	t.Helper()
	for _, c := range catalogs {
		if err := caughtUp(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	want := dump(catalogs[0])
	for i, c := range catalogs[1:] {
		if got := dump(c); !slices.Equal(got, want) {
			t.Errorf("catalog %d differs:\n%s", i+1, fmt.Sprint(got, "\n", want))
		}
	}
}
