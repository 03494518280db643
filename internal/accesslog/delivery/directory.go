package delivery

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"trellis/internal/lattice"
)

const (
	// At AWS, an object in S3 is complete at ObjectBytes or ObjectAge (UG monitoring-access-logs).
	ObjectBytes = 5 << 20
	ObjectAge   = 5 * time.Minute
	// ObjectSuffix ends the names of compressed objects.
	ObjectSuffix = ".json.gz"
	// tidiedEvery is how often the directory is tidied.
	tidiedEvery = time.Minute
)

// Directory is a Sink that moves batches to files, under the names that objects in S3 have. It is on the file system of
// the spool.
type Directory struct {
	dir      string
	maxBytes int64
	log      *slog.Logger

	mu     sync.Mutex // mu guards the field below.
	tidied time.Time
}

// NewDirectory returns a sink that keeps at most maxBytes of files below a directory.
func NewDirectory(dir string, maxBytes int64, log *slog.Logger) *Directory {
	return &Directory{dir: dir, maxBytes: maxBytes, log: log}
}

// Complete implements Sink.
func (d *Directory) Complete(*lattice.AccessLogSubscription) Limits {
	return Limits{FileBytes: ObjectBytes, Age: ObjectAge}
}

// Deliver implements Sink.
func (d *Directory) Deliver(_ context.Context, b Batch) ([]byte, int64, error) {
	path := filepath.Join(d.dir, filepath.FromSlash(b.Key)) + ObjectSuffix
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, 0, err
	}
	// The process's umask must not decide who may read the file.
	if err := errors.Join(os.Chmod(b.File, 0o640), os.Rename(b.File, path)); err != nil {
		return nil, 0, err
	}
	if d.dueToTidy() {
		if err := d.tidy(); err != nil {
			d.log.Error("tidying the access logs", "error", err)
		}
	}
	return nil, 0, nil
}

func (d *Directory) dueToTidy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.tidied) < tidiedEvery {
		return false
	}
	d.tidied = time.Now()
	return true
}

// tidy removes the oldest files until the rest is within the bound.
func (d *Directory) tidy() error {
	type found struct {
		path string
		info fs.FileInfo
	}
	var files []found
	var total int64
	err := filepath.WalkDir(d.dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // Its batch has been delivered meanwhile.
		}
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ObjectSuffix) {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // Another process has removed it.
		}
		if err != nil {
			return err
		}
		files = append(files, found{path, info})
		total += info.Size()
		return nil
	})
	if err != nil || total <= d.maxBytes {
		return err
	}
	slices.SortFunc(files, func(a, b found) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	removed := 0
	for _, f := range files {
		if total <= d.maxBytes {
			break
		}
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.info.Size()
		removed++
	}
	d.log.Warn("old access logs were removed: the directory was over its limit", "count", removed, "limit", d.maxBytes)
	return nil
}
