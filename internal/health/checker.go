// Package health finds out which targets work. A Checker probes the targets of target groups in use and keeps what it
// learns on a Board, which holds one state per target and outlives every routing change: a record that changes
// resets nothing that is known about it. Routing asks Available and is told through OnChange; ListTargets asks
// Status; the admin page asks Report.
//
// Health decides nothing about requests (routing fails open when no target is available) and stores nothing: after a
// restart every target is INITIAL, unless a Checker is told what another one knew.
//
// One goroutine keeps the schedule: it sleeps until a probe is due, has taken too long, or can go on. Where the system has
// epoll, it carries out all probes over HTTP/1.1 without TLS itself. Every other probe has a goroutine of its own. Another
// goroutine calls OnChange.
//
// Invariant: a target is in the schedule exactly as long as its record is registered and not draining, its address known,
// its group in use, and checks of the group enabled.
package health

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/outbound"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// defaultConcurrency lets 6,000 targets at default settings be down at once before probes wait for each other.
const defaultConcurrency = 1024

// Config is what a Checker needs of others.
type Config struct {
	// Resolve finds the place where a target gets traffic, as it does for routing. The error says why the place is not known.
	// It MUST NOT block. Nil is routing.ResolveLiteral.
	Resolve func(group *lattice.TargetGroup, target *lattice.Target) (routing.Place, error)
	// Dialer connects to the targets. Nil is one that connects to any address.
	Dialer *outbound.Dialer
	// Prober asks the targets. Nil asks them over the network.
	Prober Prober
	// Concurrency is how many probes may be under way at once; a quarter of them may be of one group. 0 means 1024. Further
	// probes wait, so lower it only when file descriptors or memory are scarce.
	Concurrency int
	// Log gets changes of health. Nil means slog.Default.
	Log *slog.Logger
}

// Checker probes targets and knows their health. Its methods may be called from any goroutine.
type Checker struct {
	onChange    func(targetGroup lattice.Key) // nil, or set before the first Apply
	resolve     func(group *lattice.TargetGroup, target *lattice.Target) (routing.Place, error)
	prober      Prober
	concurrency int
	log         *slog.Logger

	ctx        context.Context // ends when the Checker is closed.
	cancel     context.CancelFunc
	goroutines sync.WaitGroup
	isChanged  chan struct{} // wakes tellChanges.
	sleeper    sleeper       // of keepSchedule
	poller     *poller       // nil if there is none; only keepSchedule uses it.

	mu       sync.RWMutex           // mu guards the fields below, and the groups and targets that they lead to.
	board    map[lattice.Key]*group // the Board: the target groups in use.
	schedule schedule
	pace     pace
	ready    fifo[*group] // the groups whose turn it is to send a probe.
	probing  int          // how many probes are under way
	checks   checks       // those under way that have not been ended
	spare    []*check
	changed  map[lattice.Key]struct{}
	restored map[lattice.Key]state // what another Checker knew; nil after the first Apply.
	closed   bool
}

// NewChecker returns a Checker that knows of no target. It runs until it is closed.
func NewChecker(cfg Config) *Checker {
	c := &Checker{
		resolve:     cfg.Resolve,
		prober:      cfg.Prober,
		concurrency: cfg.Concurrency,
		log:         cfg.Log,
		isChanged:   make(chan struct{}, 1),
		board:       map[lattice.Key]*group{},
		changed:     map[lattice.Key]struct{}{},
	}
	if c.resolve == nil {
		c.resolve = routing.ResolveLiteral
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	if c.prober == nil {
		if cfg.Dialer == nil {
			cfg.Dialer = outbound.New(outbound.Config{})
		}
		c.prober = newHTTPProber(cfg.Dialer)
		var err error
		if c.poller, err = newPoller(cfg.Dialer, c.finish); err != nil {
			c.log.Warn("each health check takes a goroutine of its own", "error", err)
		}
	}
	if c.sleeper = c.poller; c.poller == nil {
		c.sleeper = newAlarm()
	}
	if c.concurrency == 0 {
		c.concurrency = defaultConcurrency
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.goroutines.Go(c.keepSchedule)
	c.goroutines.Go(c.tellChanges)
	return c
}

// OnChange registers a function that is called when the availability of targets of a group has changed. It must be called
// before Apply. One goroutine calls the function, without locks: the function may call the Checker, except Close. Changes
// that come while it runs are joined to one call per group.
func (c *Checker) OnChange(fn func(targetGroup lattice.Key)) { c.onChange = fn }

// Close stops all probes and waits for them. The Board stays as it is.
func (c *Checker) Close() {
	c.mu.Lock()
	c.closed = true
	c.cancel()
	c.sleeper.wake()
	c.mu.Unlock()
	c.goroutines.Wait()
}

// Apply notes which target groups are in use, with their settings and targets. Other groups stay as they are.
func (c *Checker) Apply(uses []routing.Use) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	var starting []*target
	for _, use := range uses {
		if use.Group == nil || !use.InUse {
			c.forget(use.Key)
			continue
		}
		starting = append(starting, c.update(use)...)
	}
	c.restored = nil
	c.startProbing(starting)
}

// forget takes a group off the board: what was learned about its targets may be wrong by the time the group is in use again
//
func (c *Checker) forget(key lattice.Key) {
	g := c.board[key]
	if g == nil {
		return
	}
	for _, t := range g.targets {
		c.forgetTarget(t)
	}
	delete(c.board, key)
}

// forgetTarget ends the probes of a target, and drops their results.
func (c *Checker) forgetTarget(t *target) {
	c.stopProbing(t)
	t.probed, t.problem = false, ""
	t.state, t.last = state{}, outcome{}
}

// InventoryChanged resolves the targets again whose ids are not addresses: Resolve may return other places now.
func (c *Checker) InventoryChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	var starting []*target
	for _, g := range c.board {
		if g.record.Type == shape.TargetGroupTypeIp {
			continue
		}
		for _, t := range g.targets {
			if c.place(t, false) {
				starting = append(starting, t)
			}
		}
	}
	c.startProbing(starting)
}

// place finds out where a target is, and whether it must be probed there. It reports whether a series of probes must start.
func (c *Checker) place(t *target, isNewQuestion bool) (starts bool) {
	at, err := c.resolve(t.group.record, t.record)
	isElsewhere := at.Address != t.address
	t.address = at.Address
	switch {
	case t.record.Draining():
		c.forgetTarget(t)
	case err != nil:
		c.lose(t, err.Error())
	case t.group.coverage != checked:
		if t.problem != "" {
			c.availabilityChanged(t.group.key)
		}
		c.forgetTarget(t)
	case !t.probed: // At an address that was not known before, a target is like a new one.
		c.forgetTarget(t)
		t.probed = true
		t.state = state{status: shape.TargetStatusInitial, since: time.Now()}
		if known, ok := c.restored[t.record.Key()]; ok {
			t.state = known
		}
		return true
	case isNewQuestion || isElsewhere:
		c.stopProbing(t)
		return true
	}
	return false
}

// lose makes a target unhealthy at once, since nobody knows where it is. It is not probed.
func (c *Checker) lose(t *target, problem string) {
	c.stopProbing(t)
	before := cmp.Or(t.state.status, shape.TargetStatusInitial)
	t.probed, t.problem = false, problem
	t.last = outcome{}
	t.state.successes, t.state.failures = 0, 0
	t.state.become(shape.TargetStatusUnhealthy, time.Now())
	c.tellChange(t, before, problem)
}

// update brings a group in use on the board up to date and returns the targets whose series of probes must start.
func (c *Checker) update(use routing.Use) (starting []*target) {
	g := c.board[use.Key]
	if g == nil {
		g = &group{key: use.Key, targets: map[lattice.Key]*target{}}
		c.board[use.Key] = g
	}
	isNewQuestion := c.configure(g, use.Group)

	gone := g.targets
	g.targets = make(map[lattice.Key]*target, len(use.Targets))
	for _, record := range use.Targets {
		key := record.Key()
		t := gone[key]
		if t == nil {
			t = &target{group: g}
		}
		delete(gone, key)
		g.targets[key] = t
		t.record = record

		if c.place(t, isNewQuestion) {
			starting = append(starting, t)
		}
	}
	for _, t := range gone {
		c.forgetTarget(t)
	}
	return starting
}

// configure gives a group its record. It reports whether the targets are asked a new question: their states stay, but they are
// asked at once, and answers to the old question do not count.
func (c *Checker) configure(g *group, record *lattice.TargetGroup) (isNewQuestion bool) {
	before, wasCoverage, wasKnown := g.settings, g.coverage, g.record != nil
	g.record = record
	g.coverage = coverageOf(record)
	g.settings = settings{}
	if g.coverage == checked {
		var err error
		g.settings, err = settingsOf(record)
		if err != nil {
			c.log.Error("no target can pass this health check", "targetGroup", record.ID, "error", err)
		}
	}
	// Routing asked about the targets before it passed them on, when the group was unknown or had other coverage.
	if wasCoverage != g.coverage || !wasKnown && g.coverage != checked {
		c.availabilityChanged(g.key)
	}
	if before.question != nil && g.settings.question != nil && *before.question == *g.settings.question {
		g.settings.question = before.question
	}
	return before.question != g.settings.question
}

// availabilityChanged has OnChange called for a group.
func (c *Checker) availabilityChanged(targetGroup lattice.Key) {
	if c.onChange == nil {
		return
	}
	c.changed[targetGroup] = struct{}{}
	select {
	case c.isChanged <- struct{}{}:
	default:
	}
}

// tellChanges calls OnChange for as long as the checker is open.
func (c *Checker) tellChanges() {
	for {
		select {
		case <-c.isChanged:
		case <-c.ctx.Done():
			return
		}
		c.mu.Lock()
		changed := c.changed
		c.changed = map[lattice.Key]struct{}{}
		c.mu.Unlock()
		for targetGroup := range changed {
			if c.ctx.Err() != nil {
				return
			}
			c.onChange(targetGroup)
		}
	}
}
