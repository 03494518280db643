package catalog

import (
	"os"
	"path/filepath"
	"testing"
)

// temporary makes a directory as an ephemeral catalog does. It counts as in use if its lock is kept.
func temporary(t *testing.T, lives bool) string {
	t.Helper()
	dir, lock, err := makeTemporary()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if lives {
		t.Cleanup(func() { lock.Close() })
	} else {
		lock.Close()
	}
	return dir
}

func TestAnEphemeralCatalogRemovesWhatKilledOnesHaveLeft(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dead, alive := temporary(t, false), temporary(t, true)
	foreign := filepath.Join(os.TempDir(), temporaryPrefix+"foreign")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	// A link to a directory that is not ours, with a lock in it.
	target := t.TempDir()
	if err := os.WriteFile(filepath.Join(target, lockFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(os.TempDir(), temporaryPrefix+"link")); err != nil {
		t.Fatal(err)
	}
	first, second := start(t, Config{}), start(t, Config{})
	put(t, first, group("a"))
	put(t, second, group("b"))
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dead, err)
	}
	for _, dir := range []string{alive, foreign, filepath.Join(target, lockFile), filepath.Join(alive, "data"), filepath.Dir(first.store.embedded.dir)} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}

func TestAnEphemeralCatalogNeedsLittleSpace(t *testing.T) {
	c := start(t, Config{})
	put(t, c, group("a"))
	var allocated int64
	err := filepath.Walk(c.store.embedded.dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			allocated += info.Size()
		}
		return err
	})
	if err != nil || allocated > 2*segmentBytes+1<<20 {
		t.Errorf("its files have %d bytes, %v", allocated, err)
	}
}
