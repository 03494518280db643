package function

import (
	"log/slog"
	"testing"
	"time"
)

func TestIdleProcessesMayStayForFiveMinutes(t *testing.T) {
	f := New(Config{Log: slog.New(slog.DiscardHandler)})
	defer f.Close()
	if f.cfg.IdleTimeout != 5*time.Minute {
		t.Errorf("idle processes may stay for %s, want 5m", f.cfg.IdleTimeout)
	}
}
