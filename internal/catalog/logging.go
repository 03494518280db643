package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// serverLogger returns the logger for an etcd server: its warnings and worse go to log. Where etcd would end the process or
// panic, lost is called and only the goroutine ends. It is also called when etcd meets a full disk, after which etcd goes on
// until it needs the file that it could not make.
func serverLogger(log *slog.Logger, lost func(error)) *zap.Logger {
	end := endHook(lost)
	core := &slogCore{log: log.With("component", "etcd"), most: slog.LevelError, seen: func(entry zapcore.Entry, fields []zapcore.Field) {
		if entry.Level >= zapcore.ErrorLevel && errors.Is(errorOf(fields), syscall.ENOSPC) {
			lost(entryError(entry, fields))
		}
	}}
	return zap.New(core, zap.WithFatalHook(end), zap.WithPanicHook(end))
}

// clientLogger returns the logger for an etcd client. The client logs each failed attempt, which is too much for our log. But
// only that log says why: the final error of the client says only that the time is over.
func clientLogger(log *slog.Logger, failure *lastFailure) *zap.Logger {
	end := endHook(failure.set)
	core := &slogCore{log: log.With("component", "etcd"), most: slog.LevelDebug, seen: func(_ zapcore.Entry, fields []zapcore.Field) {
		if err := errorOf(fields); err != nil {
			failure.set(err)
		}
	}}
	return zap.New(core, zap.WithFatalHook(end), zap.WithPanicHook(end))
}

// lastFailure is the last failed attempt of an etcd client.
type lastFailure struct {
	mu  sync.Mutex // mu guards the fields below.
	err error
	at  time.Time
}

func (f *lastFailure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.at = err, time.Now()
}

// explain adds the last failure to an error of the client, if it came after a given time.
func (f *lastFailure) explain(err error, after time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil || f.at.Before(after) {
		return err
	}
	return fmt.Errorf("%w; the last attempt: %w", err, f.err)
}

// endHook takes the place of os.Exit and panic in etcd.
type endHook func(error)

// OnWrite implements zapcore.CheckWriteHook. It does not return, since the code that logs at this level cannot go on. Only if
// the goroutine is already ending does it return: then a deferred function logs, and others wait for that.
func (lost endHook) OnWrite(checked *zapcore.CheckedEntry, fields []zapcore.Field) {
	lost(entryError(checked.Entry, fields))
	if !ending() {
		runtime.Goexit()
	}
}

// ending reports whether the calling goroutine has called runtime.Goexit.
func ending() bool {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
	for {
		frame, more := frames.Next()
		if frame.Function == "runtime.Goexit" {
			return true
		}
		if !more {
			return false
		}
	}
}

// entryError returns an entry as an error, which wraps the one that the entry is about.
func entryError(entry zapcore.Entry, fields []zapcore.Field) error {
	if err := errorOf(fields); err != nil {
		return fmt.Errorf("%s: %w", entry.Message, err)
	}
	return errors.New(entry.Message)
}

// errorOf returns the error among the fields, or nil.
func errorOf(fields []zapcore.Field) error {
	for _, field := range fields {
		if err, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			return err
		}
	}
	return nil
}

// slogCore is a zap core that writes to a slog logger.
type slogCore struct {
	log    *slog.Logger
	most   slog.Level                           // the highest level that it passes on
	seen   func(zapcore.Entry, []zapcore.Field) // called with each entry
	fields []zapcore.Field
}

func (c *slogCore) Enabled(level zapcore.Level) bool { return level >= zapcore.WarnLevel }

func (c *slogCore) With(fields []zapcore.Field) zapcore.Core {
	return &slogCore{log: c.log, most: c.most, seen: c.seen, fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

func (c *slogCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

func (c *slogCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	encoder := zapcore.NewMapObjectEncoder()
	for _, list := range [][]zapcore.Field{c.fields, fields} {
		for _, field := range list {
			field.AddTo(encoder)
		}
	}
	attributes := make([]slog.Attr, 0, len(encoder.Fields))
	for name, value := range encoder.Fields {
		attributes = append(attributes, slog.Any(name, value))
	}
	level := slog.LevelWarn
	switch {
	case expected(entry.Message):
		level = slog.LevelDebug
	case entry.Level > zapcore.WarnLevel:
		level = slog.LevelError
	}
	c.log.LogAttrs(context.Background(), min(level, c.most), entry.Message, attributes...)
	c.seen(entry, fields)
	return nil
}

func (c *slogCore) Sync() error { return nil }

// expected reports whether a message appears at every start of a cluster of one that listens nowhere.
func expected(message string) bool {
	switch message {
	case "Running http and grpc server on single port. This is not recommended for production.",
		"simple token is not cryptographically signed", // of etcd's users, of whom there are none
		"Failed to detect schema version",              // etcd writes the version a moment later.
		"failed to update storage version":
		return true
	default:
		return false
	}
}
