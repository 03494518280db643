package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

var scope = lattice.Scope{Account: "111122223333", Region: "us-west-2"}

// script is a Prober whose targets answer as the test says, by default with 200.
type script struct {
	began time.Time

	mu      sync.Mutex // mu guards the fields below.
	answers map[netip.AddrPort]func(ctx context.Context) (Answer, error)
	asked   map[netip.AddrPort][]time.Duration // when, since the beginning.
	probes  []Probe
	inside  int
	peak    int // how many were inside at once.
}

func newScript() *script {
	return &script{
		began:   time.Now(),
		answers: map[netip.AddrPort]func(context.Context) (Answer, error){},
		asked:   map[netip.AddrPort][]time.Duration{},
	}
}

func (s *script) Probe(ctx context.Context, probe Probe) (Answer, error) {
	s.mu.Lock()
	answer := s.answers[probe.Address]
	s.asked[probe.Address] = append(s.asked[probe.Address], time.Since(s.began))
	s.probes = append(s.probes, probe)
	s.inside++
	s.peak = max(s.peak, s.inside)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.inside--
		s.mu.Unlock()
	}()
	if answer == nil {
		return Answer{StatusCode: 200}, nil
	}
	return answer(ctx)
}

func (s *script) answer(t *lattice.Target, answer func(ctx context.Context) (Answer, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[addressIn(t)] = answer
}

// times returns when a target was asked, since the beginning.
func (s *script) times(t *lattice.Target) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Duration(nil), s.asked[addressIn(t)]...)
}

func addressIn(t *lattice.Target) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(t.ID), uint16(t.Port))
}

// slowly answers after a while.
func slowly(answer func(ctx context.Context) (Answer, error)) func(context.Context) (Answer, error) {
	return func(ctx context.Context) (Answer, error) {
		time.Sleep(10 * time.Millisecond) // Sleeps: a check takes that long by the clock of its test, which is a bubble's.
		return answer(ctx)
	}
}

func status(code int) func(context.Context) (Answer, error) {
	return func(context.Context) (Answer, error) {
		return Answer{StatusCode: code, Body: fmt.Sprintf("body of %d", code)}, nil
	}
}

func silence(ctx context.Context) (Answer, error) {
	<-ctx.Done()
	return Answer{}, context.Cause(ctx)
}

// after answers late.
func after(delay time.Duration, answer func(context.Context) (Answer, error)) func(context.Context) (Answer, error) {
	return func(ctx context.Context) (Answer, error) {
		select {
		case <-time.After(delay):
			return answer(ctx)
		case <-ctx.Done():
			return Answer{}, context.Cause(ctx)
		}
	}
}

// told collects calls to OnChange.
type told struct {
	mu    sync.Mutex
	calls []lattice.Key
}

func (n *told) onChange(targetGroup lattice.Key) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = append(n.calls, targetGroup)
}

func (n *told) take() []lattice.Key {
	n.mu.Lock()
	defer n.mu.Unlock()
	calls := n.calls
	n.calls = nil
	return calls
}

// inBubble runs a test with a checker in fake time. Unless cfg says otherwise, its prober is the script.
func inBubble(t *testing.T, cfg Config, test func(t *testing.T, c *Checker, s *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		if cfg.Prober == nil {
			cfg.Prober = s
		}
		cfg.Log = slog.New(slog.DiscardHandler)
		c := NewChecker(cfg)
		defer c.Close()
		test(t, c, s)
	})
}

// pass lets time pass, and everything happen that is due by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// groupWith returns a target group of type IP with documented defaults, changed by edits.
func groupWith(id string, edits ...func(*shape.HealthCheckConfig)) *lattice.TargetGroup {
	hc := &shape.HealthCheckConfig{
		Enabled:                    new(true),
		HealthCheckIntervalSeconds: new(int32(30)),
		HealthCheckTimeoutSeconds:  new(int32(5)),
		HealthyThresholdCount:      new(int32(5)),
		UnhealthyThresholdCount:    new(int32(2)),
		Matcher:                    &shape.Matcher{HttpCode: new("200")},
		Path:                       new("/"),
		Protocol:                   shape.TargetGroupProtocolHttp,
		ProtocolVersion:            shape.HealthCheckProtocolVersionHttp1,
	}
	for _, edit := range edits {
		edit(hc)
	}
	return &lattice.TargetGroup{
		Base:   lattice.Base{ID: id, Scope: scope},
		Type:   shape.TargetGroupTypeIp,
		Config: &shape.TargetGroupConfig{HealthCheck: hc},
	}
}

func withInterval(seconds int32) func(*shape.HealthCheckConfig) {
	return func(hc *shape.HealthCheckConfig) { hc.HealthCheckIntervalSeconds = new(seconds) }
}

func withTimeout(seconds int32) func(*shape.HealthCheckConfig) {
	return func(hc *shape.HealthCheckConfig) { hc.HealthCheckTimeoutSeconds = new(seconds) }
}

func withThresholds(healthy, unhealthy int32) func(*shape.HealthCheckConfig) {
	return func(hc *shape.HealthCheckConfig) {
		hc.HealthyThresholdCount, hc.UnhealthyThresholdCount = new(healthy), new(unhealthy)
	}
}

func withPath(path string) func(*shape.HealthCheckConfig) {
	return func(hc *shape.HealthCheckConfig) { hc.Path = new(path) }
}

func withoutChecks(hc *shape.HealthCheckConfig) { hc.Enabled = new(false) }

// targetsOf returns n targets of a group.
func targetsOf(groupID string, n int) []*lattice.Target {
	targets := make([]*lattice.Target, n)
	for i := range targets {
		targets[i] = &lattice.Target{
			Scope: scope, TargetGroupID: groupID, ID: fmt.Sprintf("10.0.%d.%d", i/250, i%250), Port: 80,
		}
	}
	return targets
}

func draining(t *lattice.Target) *lattice.Target {
	changed := *t
	changed.DrainingUntil = time.Now().Add(time.Minute)
	return &changed
}

func inUse(g *lattice.TargetGroup, targets ...*lattice.Target) []routing.Use {
	return []routing.Use{{Key: g.Key(), Group: g, Targets: targets, InUse: true}}
}

func notInUse(g *lattice.TargetGroup, targets ...*lattice.Target) []routing.Use {
	return []routing.Use{{Key: g.Key(), Group: g, Targets: targets}}
}

func wantStatus(t *testing.T, c *Checker, target *lattice.Target, want shape.TargetStatus, wantReason string) {
	t.Helper()
	if got, reason := c.Status(target); got != want || reason != wantReason {
		t.Errorf("status is %s %q, want %s %q", got, reason, want, wantReason)
	}
	// Only these two statuses let a target have requests while others may too.
	wantAvailable := want == shape.TargetStatusHealthy || want == shape.TargetStatusUnavailable
	if got := c.Available(target.Key()); got != wantAvailable {
		t.Errorf("available is %v at status %s", got, want)
	}
}

func wantInitial(t *testing.T, c *Checker, target *lattice.Target) {
	t.Helper()
	wantStatus(t, c, target, shape.TargetStatusInitial, "InitialHealthChecking")
}

func wantHealthy(t *testing.T, c *Checker, target *lattice.Target) {
	t.Helper()
	wantStatus(t, c, target, shape.TargetStatusHealthy, "")
}

func wantUnhealthy(t *testing.T, c *Checker, target *lattice.Target) {
	t.Helper()
	wantStatus(t, c, target, shape.TargetStatusUnhealthy, "HealthCheckFailed")
}

var errRefused = errors.New("connection refused")

func refuse(context.Context) (Answer, error) { return Answer{}, errRefused }
