package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/routing"
)

func TestWatchersSeeExchangesWithinASecond(t *testing.T) {
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
			t.Errorf("the line came after %v, want within a second", took)
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

func TestSlowWatchersMissLinesAndLearnHowMany(t *testing.T) {
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

// held returns how much memory records hold, used or not.
func (r *records) held() int {
	return cap(r.room.Text) + cap(r.entries)*int(unsafe.Sizeof(entry{})) + cap(r.extras)*int(unsafe.Sizeof(extra{})) + cap(r.room.Callers)*int(unsafe.Sizeof(accesslog.Caller{}))
}

func TestEntriesThatNobodyTakesInTimeAreDroppedAndCounted(t *testing.T) {
	q := NewQueue(Config{Log: slog.New(slog.DiscardHandler)})
	r := &accesslog.Record{Path: []byte(strings.Repeat("x", 10_000))}
	sent := int64(len(q.buffers)*maxBufferBytes/10_000 + 100)
	for range sent {
		q.Write(r)
	}
	held := 0
	for i := range q.buffers {
		held += q.buffers[i].records.held()
	}
	if f := q.Figures(); f.Dropped == 0 || f.Queued+f.Dropped != sent || held > 2*len(q.buffers)*maxBufferBytes {
		t.Errorf("of %d entries %d were dropped and %d wait in %d bytes", sent, f.Dropped, f.Queued, held)
	}
}

func TestEntryThatFindsAllBuffersInUseIsNotDropped(t *testing.T) {
	q := NewQueue(Config{Log: slog.New(slog.DiscardHandler)})
	watch, stop := q.Watch(func([]byte) bool { return true })
	defer stop()
	for i := range q.buffers {
		q.buffers[i].mu.Lock()
	}
	for i := range maxExtras + 3 {
		q.Write(&accesslog.Record{Status: 200 + i})
	}
	for i := range q.buffers {
		q.buffers[i].mu.Unlock()
	}
	if f := q.Figures(); f.Queued != maxExtras || f.Dropped != 3 {
		t.Errorf("%d entries wait, and %d were dropped, want %d and 3", f.Queued, f.Dropped, maxExtras)
	}
	q.deliver()
	if n := len(watch.Lines); n != maxExtras || q.Figures().Queued != 0 {
		t.Errorf("%d lines have come, and %d entries wait", n, q.Figures().Queued)
	}
}

func TestDestinationLearnsOfDroppedEntries(t *testing.T) {
	sink := newTaker(1<<30, time.Hour)
	s := openSpool(t, t.TempDir(), 1<<30, sink)
	q := NewQueue(Config{Spool: s, Log: slog.New(slog.DiscardHandler)})
	logs := []*lattice.AccessLogSubscription{subscription("als-1", "rcfg-1")}
	r := &accesslog.ResourceRecord{ConfigurationARN: strings.Repeat("x", 100_000)}
	sent := int64(len(q.buffers)*maxBufferBytes/100_000 + 50)
	for range sent {
		q.WriteResource(r, logs)
	}
	q.deliver()
	q.WriteResource(&accesslog.ResourceRecord{}, logs)
	q.deliver()
	s.Close()
	var entries, told int64
	for line := range strings.Lines(sink.taken("als-1")) {
		if h := readHole([]byte(line)); h != nil {
			told += h.LostEntries
		} else {
			entries++
		}
	}
	if told == 0 || told != q.Figures().Dropped || entries+told != sent+1 {
		t.Errorf("of %d entries %d have come, %d are told to be lost, and %d are counted", sent+1, entries, told, q.Figures().Dropped)
	}
}

func TestWritingARecordAllocatesNothing(t *testing.T) {
	q := NewQueue(Config{})
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
		t.Errorf("a record takes %v allocations, want none", n)
	}
}

func TestLastFailuresOfEachServiceAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQueue(Config{})
		service := func(n int) *routing.Service {
			return &routing.Service{ARN: fmt.Sprint("arn:", n), Name: fmt.Sprint("the-", n)}
		}
		fail := func(service *routing.Service, failure accesslog.Failure, path string) {
			q.Failed(&accesslog.Record{Connection: new(accesslog.Connection), Service: service, Failure: failure, Path: []byte(path), Status: 502, Problem: errors.New("why")})
		}
		all := func(*Failure) bool { return true }
		fail(service(1), accesslog.TargetConnectionError, "/first")
		// Of many denials in one second a few are remembered; they displace no failure of a target.
		for range 10 * rememberedFailures {
			fail(service(1), accesslog.ClientAccessDenied, strings.Repeat("/long", 1000))
		}
		found := q.LastFailures(1000, all)
		if len(found) != 1+rememberedFailures || q.Failures() != int64(len(found)) {
			t.Fatalf("%d are remembered, and counted as %d", len(found), q.Failures())
		}
		if len(found[0].Path) > shownFailureBytes+len("...") {
			t.Errorf("a path of %d bytes is remembered", len(found[0].Path))
		}
		last := q.LastFailures(1000, func(f *Failure) bool { return f.Reason == accesslog.TargetConnectionError })
		if len(last) != 1 || last[0].Path != "/first" || last[0].Problem != "why" || last[0].ServiceName != "the-1" {
			t.Errorf("the target's failure is remembered as %+v", last)
		}
		time.Sleep(2 * time.Second)
		fail(service(1), accesslog.ClientAccessDenied, "/later")
		if got := q.LastFailures(1, all); len(got) != 1 || got[0].Path != "/later" {
			t.Errorf("the last one is %+v", got)
		}
		for n := range rememberedServices + 10 {
			fail(service(10+n), accesslog.TargetConnectionError, "/")
			time.Sleep(time.Millisecond)
		}
		if len(q.rings) != rememberedServices {
			t.Errorf("failures of %d services are remembered, want %d", len(q.rings), rememberedServices)
		}
		if got := q.LastFailures(1000, func(f *Failure) bool { return f.Path == "/first" }); len(got) != 0 {
			t.Errorf("the oldest has not made room: %+v", got)
		}
	})
}
