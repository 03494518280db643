package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/test/trellistest"
)

func open(t *testing.T, cfg Config) *Log {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func shut(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// readEntries reads every line of a file as an entry.
func readEntries(t *testing.T, path string) []Entry {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var entries []Entry
	for line := range strings.Lines(string(text)) {
		var e Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		entries = append(entries, e)
	}
	return entries
}

func TestEveryEntryIsALineOfJSON(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Config{Out: &out})
	at := time.Date(2026, 1, 2, 15, 4, 5, 678e6, time.FixedZone("", 3600))
	l.Record(Entry{
		Time: at, RequestID: "r-1", Account: "111122223333", Region: "us-west-2", Principal: "arn:aws:iam::111122223333:user/a",
		AccessKeyID: "AKID", SourceIP: "127.0.0.1", Operation: "CreateService", Parameters: map[string]any{"name": "a<b", "tagKeys": []string{"k"}},
		Status: 201, ID: "svc-1", ARN: "arn:x", DurationMS: 1.5,
	})
	l.Record(Entry{Operation: "DeleteService", Status: 404, ErrorCode: "ResourceNotFoundException"})
	shut(t, l)
	want := `{"time":"2026-01-02T14:04:05.678Z","requestId":"r-1","account":"111122223333","region":"us-west-2","principal":"arn:aws:iam::111122223333:user/a",` +
		`"accessKeyId":"AKID","sourceIp":"127.0.0.1","operation":"CreateService","parameters":{"name":"a<b","tagKeys":["k"]},"status":201,"id":"svc-1","arn":"arn:x","durationMs":1.5}` + "\n" +
		`{"time":"0001-01-01T00:00:00Z","requestId":"","account":"","region":"","principal":"","sourceIp":"","operation":"DeleteService","status":404,"errorCode":"ResourceNotFoundException","durationMs":0}` + "\n"
	if out.String() != want {
		t.Errorf("written:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestNothingRecordedIsLostWhenManyRecordAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "audit.log")
	l := open(t, Config{Path: path})
	const writers, each = 8, 1000 // more than wait in the queue
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for n := range each {
				l.Record(Entry{RequestID: fmt.Sprintf("%d-%d", w, n)})
			}
		})
	}
	wait.Wait()
	shut(t, l)
	seen := map[string]bool{}
	for _, e := range readEntries(t, path) {
		seen[e.RequestID] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d entries, want %d", len(seen), writers*each)
	}
}

func TestOnlyTheOwnerMayReadTheLogAndItIsAppendedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	for range 2 {
		l := open(t, Config{Path: path})
		l.Record(Entry{})
		shut(t, l)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %o, want 600", info.Mode().Perm())
	}
	if n := len(readEntries(t, path)); n != 2 {
		t.Errorf("%d entries after two runs, want 2", n)
	}
}

func TestFullFilesAreRenamedAndTheOldestDropped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	// Without the goroutine, so that each entry is a batch of its own. A file is full with one batch in it.
	l := &Log{cfg: Config{Path: path, MaxBytes: 1, Keep: 2}, entries: make(chan Entry)}
	if err := l.openFile(); err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		l.writeAll(Entry{RequestID: fmt.Sprint(n)})
	}
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path: "4", path + ".1": "3", path + ".2": "2"} {
		if got := readEntries(t, name); len(got) != 1 || got[0].RequestID != want {
			t.Errorf("%s holds %+v, want entry %s alone", name, got, want)
		}
	}
	if _, err := os.Stat(path + ".3"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a third old file is kept: %v", err)
	}
}

func TestFileThatCannotBeRotatedKeepsGrowing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	// A folder in the way of the renamed file.
	if err := os.MkdirAll(filepath.Join(path+".1", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	l := open(t, Config{Path: path, MaxBytes: 1, Keep: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		l.Record(Entry{})
	}
	shut(t, l)
	if n := len(readEntries(t, path)); n != 3 {
		t.Errorf("%d entries, want 3; the log says %s", n, log.String())
	}
}

// broken fails to write while it is broken.
type broken struct {
	mu       sync.Mutex
	broken   bool
	failures int
	bytes.Buffer
}

func (b *broken) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		b.failures++
		return 0, errors.New("no space left")
	}
	return b.Buffer.Write(p)
}

func TestFullDiskIsLoggedOnceAndDoesNotStopCalls(t *testing.T) {
	out := &broken{broken: true}
	var log bytes.Buffer
	l := open(t, Config{Out: out, Log: slog.New(slog.NewTextHandler(&log, nil))})
	const failing, more = 3, 3 * queueLength
	for n := range failing { // Each is a batch of its own.
		l.Record(Entry{})
		trellistest.Await(t, func() bool {
			out.mu.Lock()
			defer out.mu.Unlock()
			return out.failures > n
		}, "write %d has failed", n)
	}
	for range more { // More than may wait to be written.
		l.Record(Entry{})
	}
	out.mu.Lock()
	out.broken = false
	out.mu.Unlock()
	l.Record(Entry{})
	shut(t, l)
	if n := strings.Count(log.String(), "cannot be written"); n != 1 {
		t.Errorf("the full disk is logged %d times, want once", n)
	}
	lost := failing + more + 1 - strings.Count(out.String(), "\n")
	if end := fmt.Sprintf("can be written again\" lost=%d\n", lost); strings.Count(log.String(), end) != 1 {
		t.Errorf("the log says %s; want once that %d entries are lost", log.String(), lost)
	}
}

func TestCallThatOutlivesTheLogDoesNotHang(t *testing.T) {
	l := open(t, Config{Out: &bytes.Buffer{}})
	shut(t, l)
	for range queueLength + 1 {
		l.Record(Entry{})
	}
}

func TestReopenLeavesAFileThatWasMovedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, Config{Path: path})
	l.Record(Entry{RequestID: "before"})
	moved := path + ".moved"
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Record(Entry{RequestID: "after"})
	shut(t, l)
	for name, want := range map[string]string{moved: "before", path: "after"} {
		if got := readEntries(t, name); len(got) != 1 || got[0].RequestID != want {
			t.Errorf("%s holds %+v, want entry %s alone", name, got, want)
		}
	}
	if err := l.Reopen(); err != nil {
		t.Errorf("once closed: %v", err)
	}
}
