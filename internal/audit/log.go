// Package audit keeps a log of who changed what: a line of JSON for each call of an operation that may change something, and for
// signatures that were refused. It holds only identifiers and names, no policies and no secrets.
//
// A Log never drops an entry to save time: a caller that is faster than the file waits. What has been written to the file
// survives the end of the process. It is synced within a second, so that it survives the end of the machine too.
package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Entry is one call, or several that were refused in the same way.
type Entry struct {
	Time        time.Time `json:"time"`
	RequestID   string    `json:"requestId"`
	Account     string    `json:"account"`
	Region      string    `json:"region"`
	Principal   string    `json:"principal"`
	AccessKeyID string    `json:"accessKeyId,omitempty"`
	SourceIP    string    `json:"sourceIp"`
	Operation   string    `json:"operation"`
	// Parameters are the parameters that identify what the call was about.
	Parameters map[string]any `json:"parameters,omitempty"`
	Status     int            `json:"status"`
	// ErrorCode is empty for success.
	ErrorCode string `json:"errorCode,omitempty"`
	// Count is how many requests the entry stands for, if it is not one.
	Count int `json:"count,omitempty"`
	// ID and ARN come from the response; they are those of a created resource, for example.
	ID         string  `json:"id,omitempty"`
	ARN        string  `json:"arn,omitempty"`
	DurationMS float64 `json:"durationMs"`
}

// Config says where a Log is written.
type Config struct {
	// Path is the file, to which lines are appended. Its folder is created. If it is empty, Out is written to.
	Path string
	Out  io.Writer
	// MaxBytes is the size at which the file is renamed to PATH.1, PATH.1 to PATH.2 and so on. 0 means 100 MiB.
	MaxBytes int64
	// Keep is how many renamed files are kept. 0 means 9.
	Keep int
	// Log gets the problems with the file.
	Log *slog.Logger
}

const (
	defaultMaxBytes = 100 << 20
	defaultKeep     = 9
	// queueLength is how many entries may wait to be written before callers wait too.
	queueLength   = 1024
	maxBatchBytes = 1 << 20
	syncInterval  = time.Second
)

// Log is an audit log. Its goroutine owns the file.
type Log struct {
	cfg     Config
	entries chan Entry
	reopen  chan chan error
	stop    chan struct{}
	done    chan struct{}

	// What follows belongs to the goroutine.
	file  *os.File // nil when Out is written to.
	size  int64
	batch bytes.Buffer
	// failing keeps a full disk from filling the log with the same line.
	failing bool
	lost    int
}

// Open opens the file and starts the goroutine that writes it. The caller closes the log.
func Open(cfg Config) (*Log, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.Keep == 0 {
		cfg.Keep = defaultKeep
	}
	l := &Log{cfg: cfg, entries: make(chan Entry, queueLength), reopen: make(chan chan error), stop: make(chan struct{}), done: make(chan struct{})}
	if cfg.Path != "" {
		if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
			return nil, fmt.Errorf("creating the audit log's folder: %w", err)
		}
		if err := l.openFile(); err != nil {
			return nil, err
		}
	}
	go l.run()
	return l, nil
}

// Record gives an entry to the goroutine that writes. It waits while queueLength others wait to be written.
func (l *Log) Record(e Entry) {
	select {
	case l.entries <- e:
	case <-l.done:
		// The call ended after the server had shut down.
	}
}

// Reopen opens the log's path again and goes on in that file, a new one if the old one has been moved away. What was recorded
// before is in the old one.
func (l *Log) Reopen() error {
	done := make(chan error, 1)
	select {
	case l.reopen <- done:
		return <-done
	case <-l.done:
		return nil
	}
}

// Close writes what has been recorded, and closes the file.
func (l *Log) Close() error {
	close(l.stop)
	<-l.done
	if l.file == nil {
		return nil
	}
	if err := errors.Join(l.file.Sync(), l.file.Close()); err != nil {
		return fmt.Errorf("closing the audit log: %w", err)
	}
	return nil
}

func (l *Log) run() {
	defer close(l.done)
	var syncDue <-chan time.Time
	for {
		select {
		case e := <-l.entries:
			l.writeAll(e)
			if syncDue == nil && l.file != nil {
				syncDue = time.After(syncInterval)
			}
		case <-syncDue:
			syncDue = nil
			if err := l.file.Sync(); err != nil {
				l.cfg.Log.Error("the audit log cannot be synced", "error", err)
			}
		case done := <-l.reopen:
			for range len(l.entries) {
				l.writeAll(<-l.entries)
			}
			done <- l.replaceFile()
		case <-l.stop:
			for {
				select {
				case e := <-l.entries:
					l.writeAll(e)
				default:
					return
				}
			}
		}
	}
}

// writeAll writes an entry and all that wait behind it with one call.
func (l *Log) writeAll(first Entry) {
	l.batch.Reset()
	l.encode(first)
	count := 1
	for waiting := true; waiting && l.batch.Len() < maxBatchBytes; {
		select {
		case e := <-l.entries:
			l.encode(e)
			count++
		default:
			waiting = false
		}
	}
	if err := l.write(); err != nil {
		l.lost += count
		if !l.failing {
			l.cfg.Log.Error("the audit log cannot be written; calls go on without it", "error", err)
		}
		l.failing = true
		return
	}
	if l.failing {
		l.cfg.Log.Error("the audit log can be written again", "lost", l.lost)
		l.failing, l.lost = false, 0
	}
}

func (l *Log) encode(e Entry) {
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	encoder := json.NewEncoder(&l.batch)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		l.cfg.Log.Error("an audit entry cannot be encoded", "requestId", e.RequestID, "error", err)
	}
}

func (l *Log) write() error {
	if l.file == nil {
		_, err := l.cfg.Out.Write(l.batch.Bytes())
		return err
	}
	if l.size > 0 && l.size+int64(l.batch.Len()) > l.cfg.MaxBytes {
		if err := l.rotate(); err != nil {
			l.cfg.Log.Error("the audit log cannot be rotated; its file keeps growing", "error", err)
			l.size = 0 // The next attempt is after MaxBytes more.
		}
	}
	n, err := l.file.Write(l.batch.Bytes())
	l.size += int64(n)
	return err
}
