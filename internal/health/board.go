package health

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// The reason codes of target statuses. The first three are AWS's. The others are ours: the guide promises a reason code
// with every status but HEALTHY, and does not say which.
const (
	reasonHealthCheckFailed        = "HealthCheckFailed"
	reasonHealthCheckNotSupported  = "HealthCheckNotSupported"
	reasonTargetGroupNotInUse      = "TargetGroupNotInUse"
	reasonInitialHealthChecking    = "InitialHealthChecking"
	reasonHealthCheckDisabled      = "HealthCheckDisabled"
	reasonDeregistrationInProgress = "DeregistrationInProgress"
)

// group is a target group in use, on the board.
type group struct {
	key      lattice.Key
	record   *lattice.TargetGroup
	coverage coverage
	settings settings // The settings of a checked group.
	targets  map[lattice.Key]*target

	// For the queue: targets whose probe is due, oldest first; whether the group is in Checker.ready; and how many probes
	// are under way.
	waiting fifo[*target]
	isReady bool
	probing int
}

// target is a target of a group in use, on the board.
type target struct {
	group  *group
	record *lattice.Target

	// address is where it gets traffic, unless problem says why that is not known.
	address netip.AddrPort
	problem string
	// state is also that of a target with a problem; last is the latest probe's, none before the first. Else they mean
	// something while the target is probed: its group is checked and it is not draining.
	probed bool
	state  state
	last   outcome

	// For the schedule: isScheduled says that a series of probes is under way; due is when the next probe is; interval is
	// the series'; position is the target's index in Checker.schedule; isFirst says that no probe of the series has been
	// due yet; isWaiting says that the target is in group.waiting; checks are those under way.
	isScheduled bool
	isFirst     bool
	isWaiting   bool
	due         time.Time
	interval    time.Duration
	position    int
	checks      *check
}

// Result is what one probe found.
type Result struct {
	StartedAt time.Time     `json:"startedAt"`
	Duration  time.Duration `json:"durationNanoseconds"`
	// URL is what was asked for.
	URL string `json:"url"`
	// StatusCode is 0 when there was no answer.
	StatusCode int `json:"statusCode,omitempty"`
	// Failure says what was wrong. It is empty for a success.
	Failure string `json:"failure,omitempty"`
	// Body is the beginning of the body that came with a wrong status code.
	Body string `json:"body,omitempty"`
}

// TargetReport is all that is known about the health of a target. The admin port shows it as JSON.
type TargetReport struct {
	Target     *lattice.Target    `json:"target"`
	Status     shape.TargetStatus `json:"status"`
	ReasonCode string             `json:"reasonCode,omitempty"`
	// Address is where probes go. It is invalid when that is not known, and when the target is draining.
	Address netip.AddrPort `json:"address,omitzero"`
	// Problem says why the target's place is not known.
	Problem string `json:"problem,omitempty"`
	// Since is when probes gave the target its status.
	Since time.Time `json:"since,omitzero"`
	// Last is the latest result, nil before the first.
	Last *Result `json:"last,omitempty"`
	// Successes and Failures count the latest results that were the same; one of them is zero.
	Successes int `json:"successes"`
	Failures  int `json:"failures"`
	// NextAt is when the next probe is due; zero when none is.
	NextAt time.Time `json:"nextAt,omitzero"`
}

// Available reports whether a target may get requests while others of its group may too: it is healthy, or its health is
// not checked. A target that was never checked is not available, so that it cannot take requests from targets that are
// known to work. Routing sends requests to all targets when none is available (UG target-groups: fail open).
func (c *Checker) Available(key lattice.Key) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g := c.board[groupKey(key)]
	if g == nil {
		// Routing asks before it passes the targets on.
		return c.restored[key].status == shape.TargetStatusHealthy
	}
	return g.available(g.targets[key])
}

// Status returns the status of a target and the reason code for it, as ListTargets shows them.
func (c *Checker) Status(record *lattice.Target) (status shape.TargetStatus, reasonCode string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g := c.board[lattice.TargetGroupKey(record.Scope, record.TargetGroupID)]
	if g == nil {
		return g.status(record, nil)
	}
	return g.status(record, g.targets[record.Key()])
}

// Report returns what is known about the targets of a group, by id and port. It is empty for a group not in use.
func (c *Checker) Report(key lattice.Key) []TargetReport {
	reports := c.readBoard(key)
	slices.SortFunc(reports, func(a, b TargetReport) int { return a.Target.Compare(b.Target) })
	return reports
}

// Counts is how many targets of a target group have which status.
type Counts struct {
	ID, Name string
	Statuses map[shape.TargetStatus]int
}

// Counts returns how many targets have which status, for each target group in use, in no order.
func (c *Checker) Counts() []Counts {
	c.mu.RLock()
	keys := slices.Collect(maps.Keys(c.board))
	c.mu.RUnlock()
	counts := make([]Counts, 0, len(keys))
	for _, key := range keys {
		if n, ok := c.countsOf(key); ok {
			counts = append(counts, n)
		}
	}
	return counts
}

// The lock is taken for one group at a time, since probes need it too.
func (c *Checker) countsOf(key lattice.Key) (n Counts, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g := c.board[key]
	if g == nil {
		return n, false
	}
	n = Counts{ID: g.record.ID, Name: g.record.Name, Statuses: map[shape.TargetStatus]int{}}
	for _, t := range g.targets {
		status, _ := g.status(t.record, t)
		n.Statuses[status]++
	}
	return n, true
}

// readBoard returns the reports of a group's targets in no order.
func (c *Checker) readBoard(key lattice.Key) []TargetReport {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g := c.board[key]
	if g == nil {
		return nil
	}
	reports := make([]TargetReport, 0, len(g.targets))
	for _, t := range g.targets {
		report := TargetReport{
			Target:    t.record,
			Problem:   t.problem,
			Since:     t.state.since,
			Last:      t.last.result(),
			Successes: t.state.successes,
			Failures:  t.state.failures,
			NextAt:    t.due,
		}
		if !t.record.Draining() && t.address.IsValid() {
			report.Address = g.settings.question.at(t.address)
		}
		report.Status, report.ReasonCode = g.status(t.record, t)
		reports = append(reports, report)
	}
	return reports
}

// available is Available for a target of the group, or nil for one that is not on the board yet.
func (g *group) available(t *target) bool {
	if t != nil && (t.record.Draining() || t.problem != "") {
		return false
	}
	return g.coverage != checked || t != nil && t.state.status == shape.TargetStatusHealthy
}

// status is Status for a target of the group. The group is nil when it is not in use, the target when it is not on
// the board yet.
func (g *group) status(record *lattice.Target, t *target) (shape.TargetStatus, string) {
	switch {
	case record.Draining(): // whether or not the group is in use, or was checked.
		return shape.TargetStatusDraining, reasonDeregistrationInProgress
	case t != nil && t.problem != "": // whether or not the group is checked.
		return shape.TargetStatusUnhealthy, reasonHealthCheckFailed
	case g == nil && strings.HasPrefix(record.ID, "arn:"), g != nil && g.coverage == unsupported:
		// Only load balancers and functions are targets by ARN. AWS shows them as UNAVAILABLE always
		// (github.com/hashicorp/terraform-provider-aws/issues/40581).
		return shape.TargetStatusUnavailable, reasonHealthCheckNotSupported
	case g == nil:
		return shape.TargetStatusUnused, reasonTargetGroupNotInUse
	case g.coverage == disabled:
		return shape.TargetStatusUnavailable, reasonHealthCheckDisabled
	case t == nil || t.state.status == shape.TargetStatusInitial:
		return shape.TargetStatusInitial, reasonInitialHealthChecking
	case t.state.status == shape.TargetStatusUnhealthy:
		return shape.TargetStatusUnhealthy, reasonHealthCheckFailed
	default:
		return shape.TargetStatusHealthy, ""
	}
}

// groupKey returns the key of the group that a target belongs to.
func groupKey(target lattice.Key) lattice.Key {
	id, _, _ := strings.Cut(target.Path, "/")
	return lattice.TargetGroupKey(target.Scope, id)
}
