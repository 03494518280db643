package delivery

// Figures count what a queue and its spool have done since the start, and what they hold.
type Figures struct {
	Queued  int64 // entries in memory
	Dropped int64 // entries lost because the queue was full
	// Delivered are the entries that destinations have taken, Lost those that they refused, or for which the spool had no
	// room. Failures are attempts of deliveries.
	Delivered, Lost, Failures int64
	// SpooledBatches and SpooledBytes are on the disk, those that still take entries included.
	SpooledBatches, SpooledBytes int64
	Watchers                     int64 // those who watch now
}

// Figures returns the figures as they are.
func (q *Queue) Figures() (f Figures) {
	for i := range q.buffers {
		b := &q.buffers[i]
		b.mu.Lock()
		f.Queued += int64(len(b.records.entries))
		b.mu.Unlock()
	}
	f.Queued += q.extras.Load()
	f.Dropped, f.Watchers = q.dropped.Load(), int64(q.watchers.count.Load())
	if s := q.cfg.Spool; s != nil {
		f.Delivered, f.Lost, f.Failures = s.delivered.Load(), s.lost.Load(), s.failures.Load()
		s.mu.Lock()
		f.SpooledBatches, f.SpooledBytes = s.batches, s.bytes
		s.mu.Unlock()
	}
	return f
}
