package delivery

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/summary"
)

const (
	// healthySlots and failingSlots are how many batches are delivered at once: each is in memory meanwhile.
	healthySlots = 8
	failingSlots = 4
	// closeTimeout is how long the last batches may take at the end of the process. What is left is delivered by the next one.
	closeTimeout = 5 * time.Second
	// lookedEvery is how often the spool looks for batches of processes that have ended.
	lookedEvery = 10 * time.Second
	// summaryInterval is how often the log mentions destinations that stay down, which are tried every 30 seconds.
	summaryInterval = 5 * time.Minute
	// destinationAge is how long the file of a lane without batches is kept: the lane may be about to get one.
	destinationAge = time.Hour
	// destinedEvery is how often that file is written again, in case somebody has removed it: not for every batch, of which
	// there may be many a second.
	destinedEvery = time.Minute

	batchSuffix       = ".spool.gz" // gunzip can read the file at any time.
	destinationSuffix = ".destination"
	lockSuffix        = ".lock"
)

// Sink delivers batches. Its methods may be called from many goroutines.
type Sink interface {
	// Complete returns when a batch for a subscription is complete.
	Complete(to *lattice.AccessLogSubscription) Limits
	// Deliver delivers a batch. Rest is what must be delivered again after an error; nil means everything. Refused counts the
	// entries that the destination will never take.
	Deliver(ctx context.Context, b Batch) (rest []byte, refused int64, err error)
}

// Limits say when a batch is complete: at a size, of which one is given, or at an age.
type Limits struct {
	FileBytes int // the size of the file, as gzip
	LineBytes int // the size of the entries
	Age       time.Duration
}

// SpoolConfig is what a Spool is built from.
type SpoolConfig struct {
	// Dir is where batches wait. Several processes may share it.
	Dir string
	// MaxBytes bounds what waits. Beyond it the oldest batches go.
	MaxBytes int64
	Sink     Sink
	Log      *slog.Logger
}

// Spool keeps entries in files until a sink has taken them: NAME.spool.gz is a batch, which takes entries or waits;
// LANE.destination says where the batches of a lane go; PROCESS.lock is locked by the process that writes, or delivers, the
// batches with its name. When that has ended, another process takes the batches over.
type Spool struct {
	cfg     SpoolConfig
	process string
	healthy chan struct{}
	failing chan struct{}
	sending sync.WaitGroup
	// closing ends pauses between attempts; delivering ends the attempts themselves.
	closing       context.Context
	close         context.CancelFunc
	delivering    context.Context
	endDelivering context.CancelFunc

	delivered, lost, failures atomic.Int64
	losses, retries           *summary.Summary

	mu      sync.Mutex // mu guards the fields below.
	lanes   map[laneKey]*lane
	held    map[string]*fileutil.LockedFile // by process: whose batches this one delivers
	bytes   int64                           // the bytes of all batches
	batches int64
	number  int // the number of the next batch
	looked  time.Time
	spare   []byte  // a buffer for the next lane whose stream holds something
	taking  []*lane // Append's: the lanes that have taken entries
}

// NewSpool opens a spool, and begins to deliver the batches that ended processes have left in it.
func NewSpool(cfg SpoolConfig) (*Spool, error) {
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the directory of access logs: %w", err)
	}
	name := make([]byte, tokenBytes/2)
	_, _ = rand.Read(name) // rand.Read never fails.
	s := &Spool{
		cfg: cfg, process: hex.EncodeToString(name),
		healthy: make(chan struct{}, healthySlots), failing: make(chan struct{}, failingSlots),
		lanes: map[laneKey]*lane{}, held: map[string]*fileutil.LockedFile{},
		losses:  summary.New(summary.Config{Log: cfg.Log, First: "access log entries are lost", Again: "more access log entries were lost"}),
		retries: summary.New(summary.Config{Log: cfg.Log, Again: "more deliveries of access logs have failed", Interval: summaryInterval}),
	}
	s.closing, s.close = context.WithCancel(context.Background())
	s.delivering, s.endDelivering = context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hold(s.process) {
		return nil, fmt.Errorf("no file can be locked in %s, the directory of access logs", cfg.Dir)
	}
	if err := s.look(time.Now()); err != nil {
		return nil, fmt.Errorf("reading the spool of access logs: %w", err)
	}
	return s, nil
}

func (s *Spool) path(batch string) string { return filepath.Join(s.cfg.Dir, batch+batchSuffix) }

// Append takes entries for their subscriptions. The entries are valid only during the call. One goroutine calls it.
func (s *Spool) Append(entries []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var (
		last   *lattice.AccessLogSubscription
		l      *lane
		limits Limits
	)
	for i := range entries {
		e := &entries[i]
		for _, to := range e.logs() {
			if to != last {
				l, last = s.lane(to), to
				limits = s.cfg.Sink.Complete(to)
				if !l.taking {
					l.taking = true
					s.taking = append(s.taking, l)
				}
			}
			if l.stream.out == nil {
				l.stream.out, s.spare = s.spare, nil
			}
			l.tell()
			if e.isExchange() {
				l.stream.entry(&e.exchange)
			} else {
				l.stream.line(e.extra.text)
			}
			l.pending++
			if l.isComplete(limits) {
				s.write(l, time.Now())
				s.cut(l)
			}
		}
	}
	for _, l := range s.taking {
		l.stream.keep()
		l.taking = false
	}
	clear(s.taking)
	s.taking = s.taking[:0]
}

func (s *Spool) lane(to *lattice.AccessLogSubscription) *lane {
	key := keyOf(to)
	l := s.lanes[key]
	if l == nil {
		l = &lane{id: key.laneID(), to: to}
		s.lanes[key] = l
	}
	return l
}

// Flush writes what has been appended, and begins to deliver the batches that are complete. The queue calls it now and then.
func (s *Spool) Flush(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lanes {
		s.write(l, now)
		// While others wait, a batch grows, so that a destination that is down does not get a file for each interval.
		if l.open != nil && len(l.waiting) == 0 && now.Sub(l.open.since) >= s.cfg.Sink.Complete(l.to).Age {
			s.cut(l)
		}
	}
	s.makeRoom()
	if now.Sub(s.looked) >= lookedEvery {
		if err := s.look(now); err != nil {
			s.cfg.Log.Error("looking through the spool of access logs", "error", err)
		}
	}
}

// write writes what a lane's stream holds to the file of its open batch. No file stays open: there may be more lanes than
// descriptors.
func (s *Spool) write(l *lane, now time.Time) {
	l.tell()
	if l.stream.flush(); len(l.stream.out) == 0 {
		return
	}
	if err := s.writeStream(l, now); err != nil {
		if n := l.forget(); n > 0 { // If all it holds is a record of lost entries, that waits for the next time.
			l.lack(n, now, now, "they could not be written to the spool")
			s.lose(n, "directory", s.cfg.Dir, "error", err)
		}
	}
	// The spool keeps one lane's buffer and frees the others: there may be thousands of lanes, each with a burst now and then.
	if cap(l.stream.out) > cap(s.spare) {
		s.spare = l.stream.out[:0]
	}
	l.stream.out = nil
}

func (s *Spool) writeStream(l *lane, now time.Time) error {
	b := l.open
	if b == nil {
		if now.Sub(l.destined) >= destinedEvery {
			if err := s.writeDestination(l); err != nil {
				return err
			}
			l.destined = now
		}
		b = &batch{name: batchName(l.to, now, l.id, s.process, s.number), since: now}
		s.number++
	}
	n := len(l.stream.out)
	l.stream.out = append(l.stream.out, l.stream.sum.end()...)
	err := appendFile(s.path(b.name), b.bytes, l.stream.out)
	if l.stream.out = l.stream.out[:n]; err != nil {
		return err
	}
	if l.open == nil {
		l.open = b
		s.batches++
	}
	b.bytes += int64(n)
	s.bytes += int64(n)
	b.entries += l.pending
	b.sum, b.until = l.stream.sum, now
	l.pending, l.told = 0, nil
	return nil
}

// Lack notes for a destination that entries were lost before they came here.
func (s *Spool) Lack(to *lattice.AccessLogSubscription, n int64, from, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lane(to).lack(n, from, until, "they came faster than they could be written")
}

func (s *Spool) lose(n int64, attributes ...any) {
	s.lost.Add(n)
	s.losses.Happened(n, attributes...)
}

// writeDestination writes down where the batches of a lane go, for the process that takes them over.
func (s *Spool) writeDestination(l *lane) error {
	to, err := json.Marshal(l.to)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(s.cfg.Dir, l.id+destinationSuffix), func(file io.Writer) error {
		_, err := file.Write(to)
		return err
	})
}

// appendFile keeps the first bytes of a file, and writes data after them.
func appendFile(path string, size int64, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	if _, err := file.WriteAt(content, size); err != nil {
		return errors.Join(err, file.Truncate(size), file.Close())
	}
	return file.Close()
}

// replaceFile replaces the content of a file at once, by what write writes: readers see the old content or the new.
func replaceFile(path string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".*.new") // Another process may write the same.
	if err != nil {
		return err
	}
	err = errors.Join(write(file), file.Close())
	if err == nil {
		err = os.Chmod(file.Name(), 0o640)
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // The first error is the one that matters.
	}
	return err
}

// cut completes the open batch of a lane.
func (s *Spool) cut(l *lane) {
	if l.open == nil {
		return
	}
	l.wait(l.open)
	l.open = nil
	l.stream.rewind(checksum{})
	s.start(l)
}

// start begins to deliver a lane's batches, unless that is under way or the spool is closed.
func (s *Spool) start(l *lane) {
	if !l.sending && len(l.waiting) > 0 && s.closing.Err() == nil {
		l.sending = true
		s.sending.Add(1)
		go s.send(l)
	}
}

// remove removes the file of a batch that has been delivered, or lost.
func (s *Spool) remove(b *batch) {
	s.bytes -= b.bytes
	s.batches--
	s.removeFile(b)
}

func (s *Spool) removeFile(b *batch) {
	if err := os.Remove(s.path(b.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Log.Error("a batch of access logs cannot be removed; the next process will deliver it again", "file", s.path(b.name), "error", err)
	}
}

// makeRoom gives up the oldest batches until the rest is within the bound.
func (s *Spool) makeRoom() {
	for s.bytes > s.cfg.MaxBytes {
		var from *lane
		at := 0
		for _, l := range s.lanes {
			i := slices.IndexFunc(l.waiting, func(b *batch) bool { return !b.busy && b.hole == nil })
			if i >= 0 && (from == nil || l.waiting[i].since.Before(from.waiting[at].since)) {
				from, at = l, i
			}
		}
		if from == nil {
			// All that waits is being delivered, so batches that still take entries are next.
			if !s.cutOldest() {
				return
			}
			continue
		}
		s.giveUp(from, at)
	}
}

// cutOldest completes the oldest batch that still takes entries.
func (s *Spool) cutOldest() bool {
	var oldest *lane
	for _, l := range s.lanes {
		if l.open != nil && (oldest == nil || l.open.since.Before(oldest.open.since)) {
			oldest = l
		}
	}
	if oldest == nil {
		return false
	}
	s.cut(oldest)
	return true
}

// giveUp replaces a batch by a record of what is lost, or adds to the record in the batch before it.
func (s *Spool) giveUp(l *lane, at int) {
	b := l.waiting[at]
	n := b.entries
	s.lose(n, "destination", l.to.DestinationARN, "limit", s.cfg.MaxBytes, "problem", "the spool is full (--access-logs-spool)")
	place := b
	if at > 0 && l.waiting[at-1].hole != nil && !l.waiting[at-1].busy {
		place = l.waiting[at-1]
		place.hole.LostEntries += n
		place.hole.To = b.until.UTC()
	} else {
		place.hole = &hole{LostEntries: n, From: b.since.UTC(), To: b.until.UTC(), Problem: "the spool was full"}
	}
	size, content, err := writeWhole(s.path(place.name), bytes.Lines(append(place.hole.line(), accesslog.LineEnd...)))
	if err != nil {
		s.cfg.Log.Error("the record of lost access log entries cannot be written", "file", s.path(place.name), "error", err)
	}
	if place != b {
		l.waiting = slices.Delete(l.waiting, at, at+1)
		s.remove(b)
	}
	s.bytes += size - place.bytes
	place.bytes, place.content = size, content
}

// hold makes this process the one that delivers the batches of a process that has ended, or its own.
func (s *Spool) hold(process string) bool {
	lock, err := fileutil.TryLockFile(filepath.Join(s.cfg.Dir, process+lockSuffix), os.O_WRONLY|os.O_CREATE, 0o640)
	if err != nil {
		return false // That process still runs, or another one has taken its batches over.
	}
	s.held[process] = lock
	return true
}

// look takes over the batches of processes that have ended, and tidies.
func (s *Spool) look(now time.Time) error {
	s.looked = now
	files, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return err
	}
	processes, lanes := map[string][]string{}, map[string]bool{}
	for _, file := range files {
		if process, ok := strings.CutSuffix(file.Name(), lockSuffix); ok {
			// The lock counts by itself: its process may have no batches.
			processes[process] = append(processes[process], []string{}...)
		} else if name, ok := strings.CutSuffix(file.Name(), batchSuffix); ok {
			if lane, process, ok := parseBatchName(name); ok {
				processes[process] = append(processes[process], name)
				lanes[lane] = true
			}
		}
	}
	for process, names := range processes {
		if _, ours := s.held[process]; !ours && s.hold(process) {
			s.sending.Go(func() { s.adopt(names) })
		} else if ours && process != s.process && len(names) == 0 {
			s.release(process)
		}
	}
	for key, l := range s.lanes {
		if l.open == nil && len(l.waiting) == 0 && l.pending == 0 && l.missing == nil && !l.sending {
			delete(s.lanes, key)
		}
	}
	for _, file := range files {
		if lane, ok := strings.CutSuffix(file.Name(), destinationSuffix); ok && !lanes[lane] {
			if info, err := file.Info(); err == nil && now.Sub(info.ModTime()) > destinationAge {
				_ = os.Remove(filepath.Join(s.cfg.Dir, file.Name())) // If it fails, the next tidying removes it.
			}
		}
	}
	return nil
}

// release gives up a process whose batches are all delivered.
func (s *Spool) release(process string) {
	// The file is removed while it is locked, so that no other process has it.
	_ = os.Remove(filepath.Join(s.cfg.Dir, process+lockSuffix))
	s.held[process].Close()
	delete(s.held, process)
}

// adopt takes over the batches of a process that has ended, the oldest first. To read a full spool takes a minute and more, during
// which the node serves, and entries come.
func (s *Spool) adopt(names []string) {
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(minuteOf(a), minuteOf(b)) })
	for _, name := range names {
		if s.closing.Err() != nil {
			return // The next process takes the rest.
		}
		b, to, err := s.readBatch(name)
		if err != nil {
			s.cfg.Log.Error("a batch of access logs that another process has left cannot be delivered", "file", s.path(name), "error", err)
			continue
		}
		if b.bytes == 0 {
			s.removeFile(b) // The process has ended before it had written anything.
			continue
		}
		s.mu.Lock()
		s.bytes += b.bytes
		s.batches++
		l := s.lane(to)
		l.wait(b)
		s.start(l)
		s.mu.Unlock()
	}
}

func (s *Spool) readBatch(name string) (*batch, *lattice.AccessLogSubscription, error) {
	id, _, _ := parseBatchName(name)
	destination, err := os.ReadFile(filepath.Join(s.cfg.Dir, id+destinationSuffix))
	if err != nil {
		return nil, nil, err
	}
	var to lattice.AccessLogSubscription
	if err := json.Unmarshal(destination, &to); err != nil {
		return nil, nil, fmt.Errorf("%s%s: %w", id, destinationSuffix, err)
	}
	path := s.path(name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	b := &batch{name: name, since: info.ModTime(), until: info.ModTime()} // The name has the minute, which is not enough for the order.
	var first []byte
	count := 0
	file, err := readLines(path, func(line []byte) bool {
		if count++; count == 1 {
			first = line
		}
		b.add(line)
		return true
	})
	if err != nil || count == 0 {
		return b, &to, err
	}
	if count == 1 {
		b.hole = readHole(first)
	}
	if end := b.sum.end(); bytes.Equal(file.last, end) {
		b.bytes = file.size - int64(len(end))
		return b, &to, nil
	}
	var failed error
	b.bytes, b.content, err = writeWhole(path, func(yield func([]byte) bool) { _, failed = readLines(path, yield) })
	return b, &to, errors.Join(err, failed)
}

// Close delivers what it can within closeTimeout. The rest stays for the next process.
func (s *Spool) Close() {
	s.mu.Lock()
	now := time.Now()
	for _, l := range s.lanes {
		s.write(l, now)
		s.cut(l)
	}
	s.mu.Unlock()
	s.close()
	stop := time.AfterFunc(closeTimeout, s.endDelivering)
	s.sending.Wait()
	stop.Stop()
	s.endDelivering()
	s.mu.Lock()
	defer s.mu.Unlock()
	left, err := filepath.Glob(filepath.Join(s.cfg.Dir, "*"+batchSuffix))
	for process := range s.held {
		if err == nil && !slices.ContainsFunc(left, func(path string) bool { return strings.Contains(path, process) }) {
			s.release(process)
			continue
		}
		s.held[process].Close()
	}
	s.losses.Close()
	s.retries.Close()
}
