package delivery

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
)

// collected is a sink that keeps everything.
type collected struct {
	mu      sync.Mutex
	entries []string
	block   chan struct{} // Write waits for it if it is not nil
}

func (c *collected) Write(to *lattice.AccessLogSubscription, entry []byte) {
	if c.block != nil {
		<-c.block
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = append(c.entries, to.ID+" "+string(entry))
}

func (c *collected) Flush(time.Time) {}
func (c *collected) Close()          {}

func TestWhoWatchesSeesExchangesWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(Config{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { q.Run(ctx); close(ended) }()
		if q.Wants(nil) {
			t.Error("records are wanted although nobody watches, and there is no sink")
		}
		watch, stop := q.Watch(func([]byte) bool { return true })
		if !q.Wants(nil) {
			t.Error("no records are wanted although somebody watches")
		}
		began := time.Now()
		q.Write(&accesslog.Record{Start: began, Method: []byte("GET"), Path: []byte("/x"), Status: 502, Problem: fmt.Errorf("refused")})
		line := <-watch.Lines
		if took := time.Since(began); took > time.Second {
			t.Errorf("the line came after %v", took)
		}
		var fields struct {
			RequestPath, Problem string
			ResponseCode         int
		}
		if err := json.Unmarshal(line, &fields); err != nil || fields.RequestPath != "/x" || fields.ResponseCode != 502 || fields.Problem != "refused" {
			t.Errorf("the line is %s (%v)", line, err)
		}
		stop()
		if q.Wants(nil) {
			t.Error("records are wanted although nobody watches any more")
		}
		cancel()
		<-ended
	})
}

func TestWhoWatchesTooSlowlyMissesLinesAndIsTold(t *testing.T) {
	q := NewQueue(Config{})
	watch, stop := q.Watch(func([]byte) bool { return true })
	defer stop()
	for range maxUnseen + 5 {
		q.Write(&accesslog.Record{Status: 200})
	}
	q.deliver()
	if n := watch.Missed(); n != 5 || len(watch.Lines) != maxUnseen {
		t.Errorf("%d lines were missed and %d wait, want 5 and %d", n, len(watch.Lines), maxUnseen)
	}
}

func TestEntriesThatASinkDoesNotTakeAreDroppedAndCounted(t *testing.T) {
	sink := &collected{block: make(chan struct{})}
	q := NewQueue(Config{Sink: sink, Log: slog.New(slog.DiscardHandler)})
	r := &accesslog.Record{Path: []byte(strings.Repeat("x", 10_000))}
	for range len(q.buffers)*maxBufferBytes/10_000 + 100 {
		q.Write(r)
	}
	held := 0
	for i := range q.buffers {
		held += cap(q.buffers[i].batch.bytes)
	}
	if q.dropped.Load() == 0 || held > 2*len(q.buffers)*maxBufferBytes {
		t.Errorf("%d entries were dropped and %d bytes are held", q.dropped.Load(), held)
	}
}

func TestWriteOfARecordAllocatesNothing(t *testing.T) {
	q := NewQueue(Config{Sink: &collected{}})
	r := &accesslog.Record{Start: time.Now(), Method: []byte("GET"), Path: []byte("/"), Status: 200}
	for range 200 {
		q.Write(r) // Until the buffers have grown.
	}
	q.deliver()
	for range 200 {
		q.Write(r)
	}
	q.deliver()
	if n := testing.AllocsPerRun(50, func() { q.Write(r) }); n != 0 {
		t.Errorf("a record takes %v allocations", n)
	}
}

func subscription(id, resource string) *lattice.AccessLogSubscription {
	return &lattice.AccessLogSubscription{
		Base:       lattice.Base{ID: id, Scope: lattice.Scope{Account: "111122223333", Region: "us-west-2"}},
		ResourceID: resource,
	}
}

// files returns the paths below a directory.
func files(t *testing.T, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(dir, path)
			list = append(list, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// linesOf returns the lines of a compressed file.
func linesOf(t *testing.T, path string) (lines []string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(z)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestDirectoryHasTheEntriesOfEachSubscriptionUnderTheNamesOfS3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // The clock begins at midnight UTC 2000-01-01.
		dir := t.TempDir()
		d, err := NewDirectory(dir, 1<<30, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		one, other := subscription("als-1", "svc-1"), subscription("als-2", "sn-1")
		d.Write(one, []byte(`{"n":1}`))
		d.Write(other, []byte(`{"n":1}`))
		d.Flush(time.Now())
		const first = "AWSLogs/111122223333/VpcLattice/AccessLogs/us-west-2/2000/01/01/svc-1/111122223333_VpcLatticeAccessLogs_us-west-2_svc-1_20000101T0000Z_1.json"
		if list := files(t, dir); !slices.Contains(list, first) || len(list) != 2 {
			t.Fatalf("the files are %v", list)
		}
		time.Sleep(maxFileAge)
		d.Write(one, []byte(`{"n":2}`))
		d.Flush(time.Now())
		if got := linesOf(t, filepath.Join(dir, first+".gz")); !slices.Equal(got, []string{`{"n":1}`, `{"n":2}`}) {
			t.Errorf("the complete file has %v", got)
		}
		d.Write(one, []byte(`{"n":3}`))
		d.Close()
		list := files(t, dir)
		if slices.ContainsFunc(list, func(path string) bool { return strings.HasSuffix(path, ".json") }) || len(list) != 3 {
			t.Errorf("in the end the files are %v, want three compressed ones", list)
		}
	})
}

func TestFilesOfAKilledProcessAreCompletedOnceNobodyWritesThem(t *testing.T) {
	dir := t.TempDir()
	killed, err := NewDirectory(dir, 1<<30, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	killed.Write(subscription("als-1", "svc-1"), []byte(`{"n":1}`))
	killed.Flush(time.Now())
	next, err := NewDirectory(dir, 1<<30, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	next.Flush(time.Now())
	list := files(t, dir)
	if len(list) != 1 || !strings.HasSuffix(list[0], ".json") {
		t.Fatalf("the files are %v, want that of the other process, which may still be there", list)
	}
	next.Flush(time.Now().Add(abandonedAfter + time.Second)) // The other process has ended without a word.
	list = files(t, dir)
	if len(list) != 1 || !strings.HasSuffix(list[0], ".json.gz") {
		t.Fatalf("the files are %v, want a compressed one", list)
	}
	if got := linesOf(t, filepath.Join(dir, list[0])); !slices.Equal(got, []string{`{"n":1}`}) {
		t.Errorf("the file has %v", got)
	}
}

func TestOldestFilesGoWhenThereAreTooMany(t *testing.T) {
	dir := t.TempDir()
	d, err := NewDirectory(dir, 250, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprintf("%d.json.gz", i))
		if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	d.Flush(time.Now())
	if list := files(t, dir); !slices.Equal(list, []string{"3.json.gz", "4.json.gz"}) {
		t.Errorf("what is left is %v, want the two newest", list)
	}
}
