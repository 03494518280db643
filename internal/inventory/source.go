package inventory

import (
	"context"
	"math/rand/v2"
	"reflect"
	"time"
)

const (
	// refreshInterval is the time between two readings of a source. It varies by a quarter, so that several nodes do not ask at
	// the same time, and grows up to maxRefreshInterval while readings fail.
	refreshInterval    = time.Minute
	maxRefreshInterval = 15 * time.Minute
	// readTimeout bounds one reading. Open waits for the first one for firstReadTimeout at most.
	readTimeout      = 45 * time.Second
	firstReadTimeout = 10 * time.Second
)

// Source is where facts come from that are not in the file: a service of AWS in a Region.
type Source struct {
	Service, Region string
	// Read is called by one goroutine at a time.
	Read func(ctx context.Context) (*Facts, error)
}

// SourceReport is the state of a source. The admin port shows it as JSON.
type SourceReport struct {
	Service string `json:"service"`
	Region  string `json:"region"`
	// ReadAt is when the facts in force were read; it is zero as long as there are none.
	ReadAt     time.Time `json:"readAt,omitzero"`
	AgeSeconds int       `json:"ageSeconds"`
	// Problem says why there are no facts, or no newer ones.
	Problem string `json:"problem,omitempty"`
}

// source is a Source that is read regularly.
type source struct {
	Source
	refresh chan struct{} // signals that a reading is due at once
	first   chan struct{} // closed after the first reading

	// Inventory.mu guards the fields below.
	facts    *Facts // nil before a reading succeeds
	readAt   time.Time
	problem  string // the problem of the last reading
	failures int    // how many readings failed in a row
}

// poll reads a source until ctx ends. When a reading fails, what was known before stays in force.
func (i *Inventory) poll(ctx context.Context, s *source) {
	for isFirst := true; ; isFirst = false {
		reading, cancel := context.WithTimeout(ctx, readTimeout)
		facts, err := s.Read(reading)
		cancel()
		if ctx.Err() != nil {
			return
		}
		wait := i.take(s, facts, err)
		if isFirst {
			close(s.first)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.refresh:
		case <-time.After(wait):
		}
	}
}

// take notes what a reading has found, and returns how long to wait for the next one. It logs each problem once.
func (i *Inventory) take(s *source, facts *Facts, err error) (wait time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	wait = refreshInterval*3/4 + rand.N(refreshInterval/2)
	if err != nil {
		s.failures++
		if problem := err.Error(); problem != s.problem {
			s.problem = problem
			i.log.Warn("AWS cannot be asked; what was known before stays in force", "awsService", s.Service+" in "+s.Region, "error", err)
		}
		return min(wait<<min(s.failures-1, 8), maxRefreshInterval)
	}
	if s.problem != "" {
		i.log.Info("AWS can be asked again", "awsService", s.Service+" in "+s.Region, "count", s.failures)
	}
	s.problem, s.failures, s.readAt = "", 0, time.Now()
	if s.facts == nil || !reflect.DeepEqual(s.facts, facts) {
		s.facts = facts
		select {
		case i.learned <- struct{}{}:
		default:
		}
	}
	return wait
}

// awaitSources waits until each source has been read once, or for as long as a start may take.
func (i *Inventory) awaitSources(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstReadTimeout)
	defer cancel()
	for _, s := range i.sources {
		select {
		case <-s.first:
		case <-ctx.Done():
			return
		}
	}
}

// facts returns the facts of the sources, in the order of the sources.
func (i *Inventory) facts() (all []*Facts) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range i.sources {
		if s.facts != nil {
			all = append(all, s.facts)
		}
	}
	return all
}

// Sources returns the state of each source. A nil inventory has none.
func (i *Inventory) Sources() []SourceReport {
	if i == nil {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	var reports []SourceReport
	for _, s := range i.sources {
		report := SourceReport{Service: s.Service, Region: s.Region, ReadAt: s.readAt, Problem: s.problem}
		if !s.readAt.IsZero() {
			report.AgeSeconds = int(time.Since(s.readAt).Seconds())
		}
		reports = append(reports, report)
	}
	return reports
}
