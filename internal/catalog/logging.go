package catalog

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLogger returns the logger for etcd's client and server: their warnings and worse go to log.
func zapLogger(log *slog.Logger) *zap.Logger {
	return zap.New(&slogCore{log: log.With("component", "etcd")})
}

// slogCore is a zap core that writes to a slog logger.
type slogCore struct {
	log    *slog.Logger
	fields []zapcore.Field
}

func (c *slogCore) Enabled(level zapcore.Level) bool { return level >= zapcore.WarnLevel }

func (c *slogCore) With(fields []zapcore.Field) zapcore.Core {
	return &slogCore{log: c.log, fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
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
	c.log.LogAttrs(context.Background(), level, entry.Message, attributes...)
	return nil
}

func (c *slogCore) Sync() error { return nil }

// expected says whether a message comes at every start of a cluster of one that listens nowhere.
func expected(message string) bool {
	switch message {
	case "Running http and grpc server on single port. This is not recommended for production.",
		"simple token is not cryptographically signed", // of etcd's users, of whom there are none
		"Failed to detect schema version",              // The version is written a moment later.
		"failed to update storage version":
		return true
	default:
		return false
	}
}
