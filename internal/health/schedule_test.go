package health

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/routing"
)

// wantBeat checks that a target was asked at once, again after a half to a whole interval, and then at a fixed beat.
func wantBeat(t *testing.T, times []time.Duration, interval time.Duration) {
	t.Helper()
	if len(times) < 3 {
		t.Fatalf("only %d probes", len(times))
	}
	if times[0] != 0 {
		t.Errorf("the first probe comes after %v", times[0])
	}
	if phase := times[1] - times[0]; phase <= interval/2 || phase > interval {
		t.Errorf("the second probe comes %v after the first", phase)
	}
	for i := 2; i < len(times); i++ {
		if gap := times[i] - times[i-1]; gap != interval {
			t.Errorf("probe %d comes %v after the one before, want %v", i, gap, interval)
		}
	}
}

func TestSlowAnswersDoNotShiftTheInterval(t *testing.T) {
	for _, test := range []struct {
		name              string
		interval, timeout int32
		delay             time.Duration
	}{
		{"quick", 10, 5, 0},
		{"slow", 10, 5, 4 * time.Second},
		{"at the timeout", 10, 5, time.Hour},
		{"slower than the interval", 5, 120, 17 * time.Second},
		{"timeout longer than the interval", 5, 120, time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
				g, targets := groupWith("tg-1", withInterval(test.interval), withTimeout(test.timeout)), targetsOf("tg-1", 1)
				s.answer(targets[0], after(test.delay, status(200)))
				c.Apply(inUse(g, targets...))
				pass(10 * time.Minute)
				wantBeat(t, s.times(targets[0]), time.Duration(test.interval)*time.Second)
				if limit := int(test.timeout/test.interval) + 1; s.peak > limit {
					t.Errorf("%d probes of one target at once, want at most %d", s.peak, limit)
				}
			})
		})
	}
}

func TestSlowSuccessesOverlapAndCount(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1", withInterval(5), withTimeout(120), withThresholds(3, 2)), targetsOf("tg-1", 1)
		s.answer(targets[0], refuse)
		c.Apply(inUse(g, targets...))
		pass(10 * time.Second)
		wantUnhealthy(t, c, targets[0])
		s.answer(targets[0], after(60*time.Second, status(200)))
		pass(60*time.Second + 3*5*time.Second)
		wantHealthy(t, c, targets[0])
	})
}

// largestBurst returns how many of the probes at some times came within the same tenth of a second.
func largestBurst(times []time.Duration) int {
	slices.Sort(times)
	most, first := 0, 0
	for i, at := range times {
		for times[first] <= at-paceWindow {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func TestNoBurstIsMoreThanThreeTimesTheAverage(t *testing.T) {
	for _, test := range []struct {
		name     string
		targets  int
		interval int32
		disturb  func(c *Checker, asleep *atomic.Bool, targets []*lattice.Target)
	}{
		{name: "10,000 targets at 5 s", targets: 10_000, interval: 5},
		{name: "10,000 targets at 30 s", targets: 10_000, interval: 30},
		{name: "1,000 targets at 300 s", targets: 1000, interval: 300},
		{name: "a new question", targets: 10_000, interval: 5, disturb: func(c *Checker, _ *atomic.Bool, targets []*lattice.Target) {
			c.Apply(inUse(groupWith("tg-1", withInterval(5), withPath("/new")), targets...))
		}},
		{name: "a machine that sleeps", targets: 10_000, interval: 5, disturb: func(_ *Checker, asleep *atomic.Bool, _ []*lattice.Target) {
			asleep.Store(true)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asleep atomic.Bool
			resolve := func(_ *lattice.TargetGroup, target *lattice.Target) (routing.Place, error) {
				if asleep.CompareAndSwap(true, false) {
					time.Sleep(7 * time.Second) // Sleeps: in a bubble; nothing is done meanwhile, and all is late afterwards.
				}
				return routing.Place{Address: addressIn(target)}, nil
			}
			inBubble(t, Config{Resolve: resolve}, func(t *testing.T, c *Checker, s *script) {
				g, targets := groupWith("tg-1", withInterval(test.interval)), targetsOf("tg-1", test.targets)
				interval := time.Duration(test.interval) * time.Second
				c.Apply(inUse(g, targets...))
				pass(3 * interval)
				if test.disturb != nil {
					test.disturb(c, &asleep, targets)
					pass(5 * interval)
				}
				var all []time.Duration
				for _, target := range targets {
					times := s.times(target)
					if len(times) < 3 || times[0] > interval/2+paceBatch {
						t.Fatalf("%d probes of a target, the first after %v", len(times), times[0])
					}
					all = append(all, times...)
				}
				average := float64(test.targets) * float64(paceWindow) / float64(interval)
				limit := max(int(3*average), 2*promptProbes)
				if burst := largestBurst(all); burst > limit {
					t.Errorf("%d probes within %v, want at most %d", burst, paceWindow, limit)
				}
				if c.pace.perWindow/1e9 != int64(average) {
					t.Errorf("the pace counts with %d probes in %v, want %v", c.pace.perWindow/1e9, paceWindow, average)
				}
			})
		})
	}
}

func TestFewTargetsAreProbedAtOnce(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", promptProbes)
		c.Apply(inUse(g, targets...))
		synctest.Wait()
		for _, target := range targets {
			wantHealthy(t, c, target)
		}
		pass(time.Hour)
		c.Apply(inUse(g, append(targets, targetsOf("tg-1", promptProbes+1)[promptProbes:]...)...))
		c.Apply(inUse(g, targets[:1]...))
		pass(time.Hour)
		c.Apply(notInUse(g, targets...))
		if c.pace.perWindow != 0 {
			t.Errorf("the pace still counts with %d", c.pace.perWindow)
		}
	})
}

func TestMissedProbesAreNotCaughtUp(t *testing.T) {
	inBubble(t, Config{Concurrency: 1}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1", withInterval(5), withTimeout(120)), targetsOf("tg-1", 2)
		s.answer(targets[0], silence)
		s.answer(targets[1], silence)
		c.Apply(inUse(g, targets...))
		pass(20 * time.Minute)
		if s.peak != 1 {
			t.Errorf("%d probes at once", s.peak)
		}
		a, b := len(s.times(targets[0])), len(s.times(targets[1]))
		if a+b != 11 || a-b > 1 || b-a > 1 {
			t.Errorf("%d and %d probes of 120 s in 20 minutes, want turns", a, b)
		}
	})
}

func TestMissedTimesOfTheScheduleAreLeftOut(t *testing.T) {
	due := time.Now()
	for _, test := range []struct{ late, want time.Duration }{
		{0, 30 * time.Second},
		{29 * time.Second, 30 * time.Second},
		{30 * time.Second, 60 * time.Second},
		{59 * time.Second, 60 * time.Second},
		{3601 * time.Second, 3630 * time.Second},
	} {
		beat := &target{interval: 30 * time.Second, due: due}
		beat.advance(due.Add(test.late))
		if got := beat.due.Sub(due); got != test.want {
			t.Errorf("%v late: next after %v, want %v", test.late, got, test.want)
		}
	}
}

func TestGroupThatIsDownDoesNotDelayOthers(t *testing.T) {
	inBubble(t, Config{Concurrency: 16}, func(t *testing.T, c *Checker, s *script) {
		dead, live := groupWith("tg-dead", withInterval(5), withTimeout(120)), groupWith("tg-live", withInterval(5))
		deadTargets, liveTargets := targetsOf("tg-dead", 50), targetsOf("tg-live", 4)
		for i, target := range liveTargets {
			target.Port = int32(8000 + i)
		}
		for _, target := range deadTargets {
			s.answer(target, silence)
		}
		c.Apply(append(inUse(dead, deadTargets...), inUse(live, liveTargets...)...))
		pass(10 * time.Minute)
		if s.peak > 8 { // 4 of the group that is down, 4 of the other
			t.Errorf("%d probes at once", s.peak)
		}
		for _, target := range liveTargets {
			wantBeat(t, s.times(target), 5*time.Second)
			wantHealthy(t, c, target)
		}
	})
}

func TestGroupNoLongerInUseLeavesNothingBehind(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 3)
		c.Apply(inUse(g, targets...))
		pass(time.Minute)
		c.Apply(notInUse(g, targets...))
		synctest.Wait()
		c.mu.RLock()
		defer c.mu.RUnlock()
		if len(c.schedule) != 0 || len(c.board) != 0 || c.ready.len() != 0 || c.probing != 0 {
			t.Errorf("something is left: %+v", c)
		}
	})
}

// TestScheduleHoldsExactlyWhatIsProbed makes random changes and compares the checker with what the records say.
func TestScheduleHoldsExactlyWhatIsProbed(t *testing.T) {
	answers := []func(context.Context) (Answer, error){silence, status(500), status(200), after(7*time.Second, status(200))}
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 0))
		inBubble(t, Config{Concurrency: 8}, func(t *testing.T, c *Checker, s *script) {
			ids := []string{"tg-1", "tg-2", "tg-3"}
			latest := map[string]routing.Use{}
			var batch []routing.Use
			for range 300 {
				id := ids[random.IntN(len(ids))]
				g := groupWith(id, withInterval(random.Int32N(3)*5+5), withTimeout(random.Int32N(20)+1))
				if random.IntN(5) == 0 {
					withoutChecks(g.Config.HealthCheck)
				}
				use := routing.Use{Key: g.Key(), Group: g, InUse: random.IntN(6) > 0}
				if random.IntN(10) == 0 {
					use.Group, use.InUse = nil, false
				}
				for _, target := range targetsOf(id, 20) {
					switch random.IntN(10) {
					case 0:
					case 1:
						use.Targets = append(use.Targets, draining(target))
					default:
						use.Targets = append(use.Targets, target)
					}
					if random.IntN(4) == 0 {
						s.answer(target, answers[random.IntN(len(answers))])
					}
				}
				latest[id] = use
				batch = append(batch, use)
				if random.IntN(3) == 0 {
					continue // one group may change several times in one Apply.
				}
				c.Apply(batch)
				batch = nil
				if random.IntN(3) == 0 {
					pass(time.Duration(random.Int64N(int64(20 * time.Second))))
				}
				checkInvariants(t, c, latest)
			}
			c.Apply(batch)
			pass(10 * time.Minute)
			checkInvariants(t, c, latest)
		})
	}
}

func checkInvariants(t *testing.T, c *Checker, latest map[string]routing.Use) {
	t.Helper()
	want := map[lattice.Key]bool{}
	for _, use := range latest {
		if use.Group == nil || !use.InUse || coverageOf(use.Group) != checked {
			continue
		}
		for _, target := range use.Targets {
			if !target.Draining() {
				want[target.Key()] = true
			}
		}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.schedule) != len(want) {
		t.Errorf("%d targets in the schedule, want %d", len(c.schedule), len(want))
	}
	for i, target := range c.schedule {
		if !want[target.record.Key()] || !target.probed || !target.isScheduled || target.position != i {
			t.Errorf("target %v stands in the schedule wrongly", target.record.Key())
		}
		if i > 0 && target.due.Before(c.schedule[(i-1)/2].due) {
			t.Errorf("the schedule is out of order at %d", i)
		}
	}
	if c.probing > c.concurrency {
		t.Errorf("%d probes at once", c.probing)
	}
}
