package delivery

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/summary"
)

const (
	// maxFileBytes and maxFileAge are when a file is completed: what AWS puts into one object of S3
	// (UG monitoring-access-logs).
	maxFileBytes = 5 << 20
	maxFileAge   = 5 * time.Minute
	// abandonedAfter is when nobody writes a file any more: whoever had opened it would have completed it. Before that it may
	// be a process's that is being replaced by this one, and whose last exchanges have not ended.
	abandonedAfter = maxFileAge + time.Minute
	openSuffix     = ".json"
	doneSuffix     = ".json.gz"
	// tidiedEvery is how often all files are looked at.
	tidiedEvery = time.Minute
)

// Directory is a Sink that writes the entries of each subscription to files, under the names that objects in S3 have:
//
//	AWSLogs/ACCOUNT/VpcLattice/AccessLogs/REGION/YYYY/MM/DD/RESOURCE/ACCOUNT_VpcLatticeAccessLogs_REGION_RESOURCE_YYYYMMDDTHHmmZ_SUBSCRIPTION.json.gz
//
// The file that is being written ends in .json, so that it can be followed; when it is complete it is compressed.
type Directory struct {
	dir      string
	maxBytes int64
	log      *slog.Logger
	failed   *summary.Summary
	open     map[string]*logFile // by the subscription's id
	tidied   time.Time
}

// logFile is a file that is being written. Its buffer is written at each Flush.
type logFile struct {
	path   string
	file   *os.File
	since  time.Time
	bytes  int
	buffer []byte
}

// NewDirectory returns a sink that keeps at most so many bytes of complete files below a directory, which is made.
func NewDirectory(dir string, maxBytes int64, log *slog.Logger) (*Directory, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the directory of access logs: %w", err)
	}
	return &Directory{dir: dir, maxBytes: maxBytes, log: log, open: map[string]*logFile{},
		failed: summary.New(summary.Config{Log: log, First: "access log entries cannot be written; they are lost", Again: "more access log entries could not be written"}),
	}, nil
}

// Write implements Sink.
func (d *Directory) Write(to *lattice.AccessLogSubscription, entry []byte) {
	f := d.open[to.ID]
	if f == nil {
		f = &logFile{since: time.Now()}
		f.path = filepath.Join(d.dir, filepath.FromSlash(objectKey(to, f.since))) + openSuffix
		d.open[to.ID] = f
	}
	f.buffer = append(append(f.buffer, entry...), '\n')
}

// objectKey returns the name of an object of a subscription's entries without its suffix.
func objectKey(to *lattice.AccessLogSubscription, at time.Time) string {
	at = at.UTC()
	account, region := to.Scope.Account, to.Scope.Region
	return fmt.Sprintf("AWSLogs/%s/VpcLattice/AccessLogs/%s/%s/%s/%s_VpcLatticeAccessLogs_%s_%s_%s_%s",
		account, region, at.Format("2006/01/02"), to.ResourceID,
		account, region, to.ResourceID, at.Format("20060102T1504Z"), strings.TrimPrefix(to.ID, "als-"))
}

// Flush implements Sink.
func (d *Directory) Flush(now time.Time) {
	for id, f := range d.open {
		if err := f.flush(); err != nil {
			d.failed.Happened(1, "path", f.path, "error", err)
			f.buffer = f.buffer[:0]
		}
		if f.bytes >= maxFileBytes || now.Sub(f.since) >= maxFileAge {
			delete(d.open, id)
			d.complete(f)
		}
	}
	if now.Sub(d.tidied) >= tidiedEvery {
		d.tidied = now
		if err := d.tidy(now); err != nil {
			d.log.Error("tidying the access logs", "error", err)
		}
	}
}

func (f *logFile) flush() (err error) {
	if len(f.buffer) == 0 {
		return nil
	}
	if f.file == nil {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o750); err != nil {
			return err
		}
		// A file of that minute may be there: the last one was full within it.
		if f.file, err = os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640); err != nil {
			return err
		}
	}
	n, err := f.file.Write(f.buffer)
	f.bytes += n
	f.buffer = f.buffer[:0]
	return err
}

func (d *Directory) complete(f *logFile) {
	if f.file == nil {
		return
	}
	err := f.file.Close()
	if err == nil {
		err = compress(f.path)
	}
	if err != nil {
		d.log.Error("compressing an access log", "path", f.path, "error", err)
	}
}

// compress replaces a file by its compressed form. If one is there, of the same minute, the entries follow its own: gzip
// files may be joined (RFC 1952 2.2).
func compress(path string) (err error) {
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	done := strings.TrimSuffix(path, openSuffix) + doneSuffix
	to, err := os.OpenFile(done, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	before, err := to.Seek(0, io.SeekEnd)
	if err != nil {
		return errors.Join(err, to.Close())
	}
	z := gzip.NewWriter(to)
	_, err = io.Copy(z, from)
	if err = errors.Join(err, z.Close()); err != nil {
		return errors.Join(err, to.Truncate(before), to.Close())
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.Remove(path)
}

// tidy completes the files that a killed process has left open, and removes the oldest complete ones until the rest is
// within the bound.
func (d *Directory) tidy(now time.Time) error {
	type found struct {
		path string
		info fs.FileInfo
	}
	var files []found
	var total int64
	err := filepath.WalkDir(d.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // Another process has completed it.
			return nil
		case err != nil:
			return err
		}
		switch {
		case strings.HasSuffix(path, openSuffix) && now.Sub(info.ModTime()) >= abandonedAfter:
			return compress(path)
		case strings.HasSuffix(path, doneSuffix):
			files = append(files, found{path, info})
			total += info.Size()
		}
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
		if err := os.Remove(f.path); err != nil {
			return err
		}
		total -= f.info.Size()
		removed++
	}
	d.log.Warn("old access logs were removed: there are more than may be kept", "count", removed, "limit", d.maxBytes)
	return nil
}

// Close implements Sink.
func (d *Directory) Close() {
	for _, f := range d.open {
		if err := f.flush(); err != nil {
			d.failed.Happened(1, "path", f.path, "error", err)
		}
		d.complete(f)
	}
	clear(d.open)
	d.failed.Close()
}
