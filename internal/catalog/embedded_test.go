package catalog

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"trellis/test/trellistest"
)

// commitSoon commits a mutation as soon as changes can be stored; it fails the test if that takes too long.
func commitSoon(t *testing.T, c *Catalog, fn func(tx *Tx)) {
	t.Helper()
	trellistest.Await(t, func() bool {
		err := c.Commit(t.Context(), func(tx *Tx) error { fn(tx); return nil })
		if err != nil && !errors.As(err, new(*UnavailableError)) {
			t.Fatal(err)
		}
		return err == nil
	}, "changes can be stored")
}

// serverOf returns the embedded server of a catalog.
func serverOf(c *Catalog) *server {
	s, _, _ := c.store.embedded.now()
	return s
}

func TestAnEmbeddedServerThatEndsItsProcessIsStartedAgain(t *testing.T) {
	for name, end := range map[string]func(log *zap.Logger){
		"fatal": func(log *zap.Logger) { log.Fatal("failed to save", zap.Error(syscall.EIO)) },
		"panic": func(log *zap.Logger) { log.Panic("failed to save", zap.Error(syscall.EIO)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			followed := newFollower(t)
			c := start(t, Config{DataDir: t.TempDir(), Apply: followed.apply})
			put(t, c, group("before"))
			failed := serverOf(c)
			go end(failed.etcd.GetLogger())
			<-failed.lost
			if !errors.Is(failed.err, syscall.EIO) {
				t.Errorf("the server has failed with %v", failed.err)
			}
			after := group("after")
			commitSoon(t, c, func(tx *Tx) { tx.Put(after) })
			if serverOf(c) == failed {
				t.Error("the failed server is still used")
			}
			if got, want := namesOf(c), []string{"before", "after"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			followed.compare(c)
		})
	}
}
