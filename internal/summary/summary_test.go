package summary

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/test/trellistest"
)

func TestFirstEventIsLoggedAtOnceAndTheRestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log trellistest.Text
		s := New(Config{
			Log:   slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: withoutTime})),
			First: "closed", Again: "closed more",
		})
		told := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if got := strings.TrimSpace(log.Take()); got != strings.Join(want, "\n") {
				t.Errorf("the log says\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
		}
		s.Happened(1, "limit", 7)
		told("level=WARN msg=closed limit=7")
		s.Happened(1, "limit", 7)
		s.Happened(3, "limit", 9)
		told()
		time.Sleep(10 * time.Second)
		told(`level=WARN msg="closed more" limit=9 count=4 total=5`)
		time.Sleep(2 * 10 * time.Second)
		told()
		s.Happened(2, "limit", 8) // There was a pause: it is news again.
		told("level=WARN msg=closed limit=8")
		s.Close()
		told(`level=WARN msg="closed more" limit=8 count=1 total=7`)
		s.Happened(1)
		told()
		if got := s.Total(); got != 8 {
			t.Errorf("the total is %d, want 8", got)
		}
	})
}

func TestEventsWithoutAFirstLineAreLoggedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log trellistest.Text
		s := New(Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: withoutTime})), Again: "closed more"})
		s.Happened(1, "limit", 7)
		s.Happened(1, "limit", 8)
		if got := log.Take(); got != "" {
			t.Errorf("at once the log says %s", got)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got, want := strings.TrimSpace(log.Take()), `level=WARN msg="closed more" limit=8 count=2 total=2`; got != want {
			t.Errorf("the log says %s, want %s", got, want)
		}
		s.Close()
	})
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
