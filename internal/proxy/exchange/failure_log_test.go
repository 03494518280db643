package exchange

import (
	"log/slog"
	"strings"
	"testing"

	"trellis/internal/accesslog"
)

func TestLogIsNotFilledWithFailures(t *testing.T) {
	var failures failureLog
	var text strings.Builder
	log := slog.New(slog.NewTextHandler(&text, nil))
	told := 0
	for range 100 {
		for _, failure := range []accesslog.Failure{accesslog.TargetConnectionError, accesslog.TargetProtocolError} {
			if failures.isNew(&accesslog.Record{Failure: failure}) {
				told++
			}
		}
	}
	failures.sweep(log)
	if !failures.isNew(&accesslog.Record{Failure: accesslog.TargetConnectionError}) || told != 2 {
		t.Errorf("told of %d failures", told)
	}
	failures.sweep(log)
	if got := strings.Count(text.String(), "count=99"); got != 2 || strings.Count(text.String(), "\n") != 2 {
		t.Errorf("log:\n%s", text.String())
	}
}
