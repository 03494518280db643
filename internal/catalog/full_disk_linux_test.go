package catalog

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system with options such as its size, and returns its directory.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes a file until the disk is full, and returns what makes room again.
func fill(t *testing.T, dir string) (remove func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk does not fill: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestAFullDiskRefusesChangesUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=100m")
	followed := newFollower(t)
	c := start(t, Config{DataDir: filepath.Join(dir, "data"), Apply: followed.apply})
	put(t, c, group("before"))
	// Whether etcd itself survives depends on whether it was about to write to its database; the next test is about one
	// that does not.
	remove := fill(t, dir)
	err := c.Commit(t.Context(), func(tx *Tx) error { tx.Put(group("refused")); return nil })
	refused, ok := errors.AsType[*UnavailableError](err)
	if !ok || refused.Unknown || !errors.As(err, new(*NoRoomError)) {
		t.Fatalf("got %v, want a NoRoomError, and that nothing was stored", err)
	}
	if got, want := namesOf(c), []string{"before"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	remove()
	commitSoon(t, c, func(tx *Tx) { tx.Put(group("after")) })
	if got, want := namesOf(c), []string{"before", "after"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	followed.compare(c)
}

// TestAServerThatFindsNoRoomIsStartedAgainWhenThereIsSome has etcd itself write on when the disk is full.
func TestAServerThatFindsNoRoomIsStartedAgainWhenThereIsSome(t *testing.T) {
	for name, size := range map[string]int{
		"beyond the end of a file of the log": 1 << 20,
		"in the database":                     1 << 10,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := smallDisk(t, "size=100m")
			followed := newFollower(t)
			c := start(t, Config{DataDir: filepath.Join(dir, "data"), Apply: followed.apply})
			put(t, c, group("before"))
			failed := serverOf(c)
			remove := fill(t, dir)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var writers sync.WaitGroup
			for range 8 {
				writers.Go(func() {
					for {
						select {
						case <-failed.lost:
							return
						default:
						}
						if _, err := c.store.kv.Put(ctx, "/filler/"+rand.Text(), strings.Repeat("x", size)); ctx.Err() != nil {
							t.Errorf("the server lives on: %v", err)
							return
						}
					}
				})
			}
			writers.Wait()
			if !errors.Is(failed.err, syscall.ENOSPC) {
				t.Errorf("the server has failed with %v", failed.err)
			}
			t.Log(failed.err)
			remove()
			commitSoon(t, c, func(tx *Tx) { tx.Put(group("after")) })
			if got, want := namesOf(c), []string{"before", "after"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			followed.compare(c)
		})
	}
}

func TestADiskThatIsTooSmallIsReportedAtTheStart(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=20m")
	_, err := Open(t.Context(), Config{DataDir: filepath.Join(dir, "data"), Log: testLog(t)})
	missing, ok := errors.AsType[*NoRoomError](err)
	if !ok || missing.Need != newStoreBytes || missing.Free < 19<<20 || missing.Free > 20<<20 {
		t.Errorf("got %v, want an error that tells what the store needs and what is free", err)
	}
}
