package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"trellis/internal/lattice"
)

const (
	// deliveryTimeout bounds an attempt to deliver a batch.
	deliveryTimeout = 15 * time.Second
	// minBackoff and maxBackoff bound the pause after a failure. It doubles, and half of it is random.
	minBackoff = 500 * time.Millisecond
	maxBackoff = 30 * time.Second
)

// lane is the way from a subscription to its destination.
type lane struct {
	id       string
	to       *lattice.AccessLogSubscription
	open     *batch     // the batch that takes entries; nil while there are none
	stream   compressor // the stream of open; its bytes are not in the file yet
	pending  int64      // how many entries it holds
	taking   bool       // it has got entries in the current call of Append
	waiting  []*batch   // complete ones, oldest first
	sending  bool       // a goroutine delivers what waits
	destined time.Time  // when it was written down where the batches go
	// failures counts the failed attempts since the last success.
	failures int
	// missing are entries that could not be written. A record of them comes before the next entry.
	missing *hole
	told    *hole // the record of missing entries in the stream, not in the file yet
}

// laneKey identifies a lane. A subscription that is moved to another destination gets another lane; what was spooled before
// still goes to the old destination.
type laneKey struct{ subscription, destination string }

func keyOf(to *lattice.AccessLogSubscription) laneKey { return laneKey{to.ID, to.DestinationARN} }

func (k laneKey) laneID() string {
	sum := sha256.Sum256([]byte(k.subscription + " " + k.destination))
	return hex.EncodeToString(sum[:])[:tokenBytes]
}

// wait adds a batch to those that wait, behind all that are not younger.
func (l *lane) wait(b *batch) {
	at := len(l.waiting)
	for at > 0 && l.waiting[at-1].since.After(b.since) {
		at--
	}
	l.waiting = slices.Insert(l.waiting, at, b)
}

// isComplete reports whether the open batch, with what the stream holds, has one of the sizes that make it complete.
func (l *lane) isComplete(limits Limits) bool {
	if limits.LineBytes > 0 {
		return int64(l.stream.sum.size) >= int64(limits.LineBytes)
	}
	size := int64(len(l.stream.out))
	if l.open != nil {
		size += l.open.bytes
	}
	return size >= int64(limits.FileBytes)
}

// lack adds to the entries that are missing.
func (l *lane) lack(n int64, from, until time.Time, problem string) {
	if l.missing == nil {
		l.missing = &hole{From: from.UTC(), Problem: problem}
	}
	l.missing.LostEntries += n
	l.missing.To = until.UTC()
}

// tell puts a record of what is missing into the stream.
func (l *lane) tell() {
	if l.missing != nil {
		l.stream.line(l.missing.line())
		l.told, l.missing = l.missing, nil
	}
}

// forget drops what the stream holds, and returns how many entries that were.
func (l *lane) forget() (n int64) {
	var written checksum
	if l.open != nil {
		written = l.open.sum
	}
	l.stream.rewind(written)
	if l.told != nil {
		later := l.missing
		if l.missing, l.told = l.told, nil; later != nil {
			l.lack(later.LostEntries, later.From, later.To, later.Problem)
		}
	}
	n, l.pending = l.pending, 0
	return n
}

// send delivers what waits in a lane until nothing does, or until the spool is closed.
func (s *Spool) send(l *lane) {
	defer s.sending.Done()
	for {
		b, slots := s.next(l)
		if b == nil {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-s.delivering.Done():
			s.attempted(l, b, s.delivering.Err())
			return
		}
		pause := s.attempt(l, b)
		<-slots
		if pause == 0 {
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-s.closing.Done():
			timer.Stop()
			return
		}
	}
}

// next takes the oldest batch of a lane. Lanes that fail share slots of their own, so that they do not hold up others.
func (s *Spool) next(l *lane) (*batch, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(l.waiting) == 0 {
		l.sending = false
		return nil, nil
	}
	l.waiting[0].busy = true
	if l.failures > 0 {
		return l.waiting[0], s.failing
	}
	return l.waiting[0], s.healthy
}

// attempt delivers a batch, and returns how long to wait before the next one.
func (s *Spool) attempt(l *lane, b *batch) (pause time.Duration) {
	path, end := s.path(b.name), b.sum.end()
	info, err := os.Stat(path)
	if err == nil && info.Size() < b.bytes {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		// The file was removed, or the disk fails.
		s.cfg.Log.Error("a batch of access logs cannot be read; it is lost", "file", path, "error", err)
		s.lose(b.entries, "destination", l.to.DestinationARN, "problem", "the batch cannot be read")
		return s.attempted(l, b, nil)
	}
	if info.Size() != b.bytes+int64(len(end)) { // The spool could not append to this batch.
		if err := errors.Join(os.Truncate(path, b.bytes), appendFile(path, b.bytes, end)); err != nil {
			return s.attempted(l, b, err)
		}
	}
	ctx, cancel := context.WithTimeout(s.delivering, deliveryTimeout)
	defer cancel()
	rest, refused, err := s.cfg.Sink.Deliver(ctx, Batch{To: l.to, Key: objectKey(l.to, b.name), Since: b.since, File: path})
	if refused > 0 {
		s.lose(refused, "destination", l.to.DestinationARN, "problem", "the destination refuses them")
	}
	switch {
	case err == nil:
		s.delivered.Add(b.entries - refused)
	case rest != nil:
		s.delivered.Add(b.entries - countEntries(rest) - refused)
		s.shorten(b, rest)
	}
	return s.attempted(l, b, err)
}

// shorten removes the beginning of a batch, which has been delivered.
func (s *Spool) shorten(b *batch, rest []byte) {
	size, content, err := writeWhole(s.path(b.name), bytes.Lines(rest))
	if err != nil {
		s.cfg.Log.Error("a batch of access logs was delivered in part, and will be delivered again as a whole", "file", s.path(b.name), "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += size - b.bytes
	b.bytes, b.content = size, content
}

// attempted notes the result of an attempt. It returns how long to wait before the next one.
func (s *Spool) attempted(l *lane, b *batch, err error) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.busy = false
	if err == nil {
		if l.failures > 0 {
			s.cfg.Log.Info("access logs are delivered again", "destination", l.to.DestinationARN, "count", l.failures)
		}
		l.failures = 0
		l.waiting = slices.DeleteFunc(l.waiting, func(other *batch) bool { return other == b })
		s.remove(b)
		return 0
	}
	if s.delivering.Err() != nil {
		return maxBackoff // The spool is being closed, which is no failure of the destination.
	}
	l.failures++
	s.failures.Add(1)
	if l.failures == 1 {
		s.cfg.Log.Warn("access logs cannot be delivered; they wait in the spool", "destination", l.to.DestinationARN, "error", err)
	} else {
		s.retries.Happened(1, "destination", l.to.DestinationARN, "error", err)
	}
	pause := min(minBackoff<<min(l.failures-1, 10), maxBackoff)
	return pause/2 + rand.N(pause/2)
}
