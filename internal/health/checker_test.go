package health

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

func TestFreshTargetIsHealthyAfterOneSuccess(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 1)
		s.answer(targets[0], after(time.Second, status(200)))
		c.Apply(inUse(g, targets...))
		wantInitial(t, c, targets[0])
		pass(time.Second)
		wantHealthy(t, c, targets[0])
	})
}

func TestFreshTargetIsHealthyAfterOneSuccessEvenAfterAFailure(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 1)
		s.answer(targets[0], refuse)
		c.Apply(inUse(g, targets...))
		synctest.Wait()
		wantInitial(t, c, targets[0])
		s.answer(targets[0], status(200))
		pass(30 * time.Second)
		wantHealthy(t, c, targets[0])
	})
}

func TestTargetIsUnhealthyAfterFailuresInARow(t *testing.T) {
	for _, test := range []struct {
		name  string
		fail  func(context.Context) (Answer, error)
		fresh bool
	}{
		{"fresh", refuse, true},
		{"refusing", refuse, false},
		{"wrong status code", status(503), false},
		{"too slow", silence, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
				g, targets := groupWith("tg-1", withThresholds(2, 3)), targetsOf("tg-1", 1)
				before := wantInitial
				if !test.fresh {
					c.Apply(inUse(g, targets...))
					synctest.Wait()
					before = wantHealthy
				}
				s.answer(targets[0], test.fail)
				c.Apply(inUse(g, targets...))
				synctest.Wait()
				want := 3
				if !test.fresh {
					want++
				}
				for len(s.times(targets[0])) < want {
					before(t, c, targets[0])
					pass(time.Second)
				}
				pass(5 * time.Second) // the timeout.
				wantUnhealthy(t, c, targets[0])
			})
		})
	}
}

func TestFailuresWithASuccessBetweenThemDoNotAddUp(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 1)
		n := 0
		s.answer(targets[0], func(ctx context.Context) (Answer, error) {
			n++
			return status(200 + n%2)(ctx)
		})
		c.Apply(inUse(g, targets...))
		pass(time.Hour)
		wantHealthy(t, c, targets[0])
		if n < 100 {
			t.Errorf("only %d probes", n)
		}
	})
}

func TestUnhealthyTargetIsHealthyAfterSuccessesInARow(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1", withThresholds(4, 2)), targetsOf("tg-1", 1)
		s.answer(targets[0], refuse)
		c.Apply(inUse(g, targets...))
		pass(time.Minute)
		wantUnhealthy(t, c, targets[0])
		s.answer(targets[0], status(200))
		pass(3 * 30 * time.Second)
		wantUnhealthy(t, c, targets[0])
		pass(30 * time.Second)
		wantHealthy(t, c, targets[0])
	})
}

func TestTargetsThatAreNotCheckedSayWhy(t *testing.T) {
	typed := func(kind shape.TargetGroupType) *lattice.TargetGroup {
		return &lattice.TargetGroup{Base: lattice.Base{ID: "tg-1", Scope: scope}, Type: kind}
	}
	ip := targetsOf("tg-1", 1)[0]
	function := &lattice.Target{Scope: scope, TargetGroupID: "tg-1", ID: "arn:aws:lambda:us-west-2:111122223333:function:f"}
	balancer := &lattice.Target{Scope: scope, TargetGroupID: "tg-1", ID: "arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/a/1", Port: 80}
	for _, test := range []struct {
		name       string
		group      *lattice.TargetGroup
		target     *lattice.Target
		inUse      bool
		want       shape.TargetStatus
		wantReason string
	}{
		{"not in use", groupWith("tg-1"), ip, false, shape.TargetStatusUnused, "TargetGroupNotInUse"},
		{"not in use, checks disabled", groupWith("tg-1", withoutChecks), ip, false, shape.TargetStatusUnused, "TargetGroupNotInUse"},
		{"checks disabled", groupWith("tg-1", withoutChecks), ip, true, shape.TargetStatusUnavailable, "HealthCheckDisabled"},
		{"function", typed(shape.TargetGroupTypeLambda), function, true, shape.TargetStatusUnavailable, "HealthCheckNotSupported"},
		{"load balancer", typed(shape.TargetGroupTypeAlb), balancer, true, shape.TargetStatusUnavailable, "HealthCheckNotSupported"},
		{"draining", groupWith("tg-1"), draining(ip), true, shape.TargetStatusDraining, "DeregistrationInProgress"},
		{"draining, checks disabled", groupWith("tg-1", withoutChecks), draining(ip), true, shape.TargetStatusDraining, "DeregistrationInProgress"},
		{"draining function", typed(shape.TargetGroupTypeLambda), draining(function), true, shape.TargetStatusDraining, "DeregistrationInProgress"},
		{"draining, not in use", groupWith("tg-1"), draining(ip), false, shape.TargetStatusDraining, "DeregistrationInProgress"},
	} {
		t.Run(test.name, func(t *testing.T) {
			known := func(*lattice.TargetGroup, *lattice.Target) (routing.Place, error) { return routing.Place{}, nil }
			inBubble(t, Config{Resolve: known}, func(t *testing.T, c *Checker, s *script) {
				if test.inUse {
					c.Apply(inUse(test.group, test.target))
				} else {
					c.Apply(notInUse(test.group, test.target))
				}
				pass(time.Minute)
				wantStatus(t, c, test.target, test.want, test.wantReason)
				if len(s.probes) > 0 {
					t.Errorf("%d probes", len(s.probes))
				}
			})
		})
	}
	// A function of a target group that was never in use has no health checks either
	// (github.com/hashicorp/terraform-provider-aws/issues/40581).
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		if status, reason := c.Status(function); status != shape.TargetStatusUnavailable || reason != "HealthCheckNotSupported" {
			t.Errorf("status of an unused function is %s %q", status, reason)
		}
	})
}

func TestTargetThatTheBoardDoesNotHaveYetHasAStatus(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 2)
		c.Apply(inUse(g, targets[0]))
		wantInitial(t, c, targets[1])
		c.Apply(inUse(groupWith("tg-1", withoutChecks), targets[0]))
		wantStatus(t, c, targets[1], shape.TargetStatusUnavailable, "HealthCheckDisabled")
	})
}

func TestHealthSurvivesTableSwap(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 4)
		s.answer(targets[1], refuse)
		c.Apply(inUse(g, targets[:3]...))
		pass(time.Minute)
		steps := []struct {
			name  string
			apply []routing.Use
		}{
			{"the same again", inUse(g, targets[:3]...)},
			{"another name and tags", func() []routing.Use {
				changed := *g
				changed.Name, changed.Tags = "other", map[string]string{"a": "b"}
				return inUse(&changed, targets[:3]...)
			}()},
			{"other thresholds", inUse(groupWith("tg-1", withThresholds(9, 9)), targets[:3]...)},
			{"other path", inUse(groupWith("tg-1", withPath("/other")), targets[:3]...)},
			{"other interval", inUse(groupWith("tg-1", withInterval(300)), targets[:3]...)},
			{"one target more", inUse(g, targets...)},
			{"one target less, in another order", inUse(g, targets[3], targets[1], targets[0])},
			{"one target draining", inUse(g, targets[0], targets[1], draining(targets[3]))},
			{"other group", inUse(groupWith("tg-2"), targetsOf("tg-2", 3)...)},
			{"other group gone", []routing.Use{{Key: groupWith("tg-2").Key()}}},
		}
		for _, step := range steps {
			t.Log(step.name)
			c.Apply(step.apply)
			wantHealthy(t, c, targets[0])
			wantUnhealthy(t, c, targets[1])
			synctest.Wait()
			wantHealthy(t, c, targets[0])
			wantUnhealthy(t, c, targets[1])
		}
	})
}

func TestUnchangedRecordsDoNotShiftTheSchedule(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 1)
		c.Apply(inUse(g, targets...))
		for range 600 {
			pass(time.Second)
			c.Apply(inUse(groupWith("tg-1", withThresholds(2, rand.Int32N(8)+2)), targets...))
		}
		wantBeat(t, s.times(targets[0]), 30*time.Second)
	})
}

func TestGroupNoLongerInUseIsForgotten(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 1)
		s.answer(targets[0], after(time.Second, status(200)))
		c.Apply(inUse(g, targets...))
		pass(time.Minute)
		wantHealthy(t, c, targets[0])
		probes := len(s.times(targets[0]))

		c.Apply(notInUse(g, targets...))
		wantStatus(t, c, targets[0], shape.TargetStatusUnused, "TargetGroupNotInUse")
		pass(time.Hour)
		if got := len(s.times(targets[0])); got != probes {
			t.Errorf("%d probes while not in use", got-probes)
		}

		c.Apply(inUse(g, targets...))
		wantInitial(t, c, targets[0])
		pass(time.Second)
		wantHealthy(t, c, targets[0])

		c.Apply([]routing.Use{{Key: g.Key()}}) // deleted.
		wantStatus(t, c, targets[0], shape.TargetStatusUnused, "TargetGroupNotInUse")
	})
}

func TestDrainingTargetIsNotProbed(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 2)
		s.answer(targets[0], after(time.Second, status(200)))
		c.Apply(inUse(g, targets...))
		pass(time.Minute)
		c.Apply(inUse(g, draining(targets[0]), targets[1]))
		probes := len(s.times(targets[0]))
		pass(time.Hour)
		if got := len(s.times(targets[0])); got != probes {
			t.Errorf("%d probes while draining", got-probes)
		}
		wantHealthy(t, c, targets[1])

		c.Apply(inUse(g, targets...)) // registered again.
		wantInitial(t, c, targets[0])
		pass(time.Second)
		wantHealthy(t, c, targets[0])
	})
}

func TestResultsOfAnEndedSeriesDoNotCount(t *testing.T) {
	g, targets := groupWith("tg-1", withThresholds(2, 2)), targetsOf("tg-1", 1)
	for _, test := range []struct {
		name string
		end  []routing.Use
		want shape.TargetStatus
	}{
		{"out of use", notInUse(g, targets...), shape.TargetStatusUnused},
		{"in use again", append(notInUse(g, targets...), inUse(g, targets...)...), shape.TargetStatusInitial},
		{"checks disabled", inUse(groupWith("tg-1", withoutChecks), targets...), shape.TargetStatusUnavailable},
		{"another question", inUse(groupWith("tg-1", withPath("/other")), targets...), shape.TargetStatusInitial},
		{"target gone", inUse(g), shape.TargetStatusInitial},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
				// The answer comes although the prober was told to stop, as one in flight could.
				stubborn := make(chan struct{})
				s.answer(targets[0], func(ctx context.Context) (Answer, error) {
					<-stubborn
					return Answer{StatusCode: 200}, nil
				})
				c.Apply(inUse(g, targets...))
				synctest.Wait()
				s.answer(targets[0], silence)
				c.Apply(test.end)
				close(stubborn)
				synctest.Wait()
				if got, _ := c.Status(targets[0]); got != test.want {
					t.Errorf("status %s, want %s", got, test.want)
				}
			})
		})
	}
}

func TestNewQuestionIsAskedAtOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(*shape.HealthCheckConfig)
		want Probe
	}{
		{"path", withPath("/other?deep"), Probe{Address: netip.MustParseAddrPort("10.0.0.0:80"), Path: "/other?deep"}},
		{"port", func(hc *shape.HealthCheckConfig) { hc.Port = new(int32(8443)) }, Probe{Address: netip.MustParseAddrPort("10.0.0.0:8443"), Path: "/"}},
		{"protocol", func(hc *shape.HealthCheckConfig) { hc.Protocol = shape.TargetGroupProtocolHttps }, Probe{Address: netip.MustParseAddrPort("10.0.0.0:80"), Path: "/", HTTPS: true}},
		{"protocol version", func(hc *shape.HealthCheckConfig) { hc.ProtocolVersion = shape.HealthCheckProtocolVersionHttp2 }, Probe{Address: netip.MustParseAddrPort("10.0.0.0:80"), Path: "/", HTTP2: true}},
		{"matcher", func(hc *shape.HealthCheckConfig) { hc.Matcher = &shape.Matcher{HttpCode: new("204")} }, Probe{Address: netip.MustParseAddrPort("10.0.0.0:80"), Path: "/"}},
		{"interval", withInterval(5), Probe{Address: netip.MustParseAddrPort("10.0.0.0:80"), Path: "/"}},
		{"everything reset to defaults", func(hc *shape.HealthCheckConfig) {
			*hc = shape.HealthCheckConfig{Enabled: new(true), HealthCheckTimeoutSeconds: new(int32(1))}
		}, Probe{Address: netip.MustParseAddrPort("10.0.0.0:80"), Path: "/"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
				targets := targetsOf("tg-1", 1)
				c.Apply(inUse(groupWith("tg-1"), targets...))
				pass(time.Second)
				before := len(s.probes)
				c.Apply(inUse(groupWith("tg-1", test.edit), targets...))
				synctest.Wait()
				if got := len(s.probes) - before; got != 1 {
					t.Fatalf("%d probes at once", got)
				}
				if got := s.probes[before]; got != test.want {
					t.Errorf("probe %+v, want %+v", got, test.want)
				}
			})
		})
	}
}

func TestLoweredThresholdHoldsFromTheNextResult(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		targets := targetsOf("tg-1", 1)
		c.Apply(inUse(groupWith("tg-1", withThresholds(2, 10)), targets...))
		synctest.Wait()
		s.answer(targets[0], refuse)
		pass(3 * 30 * time.Second)
		c.Apply(inUse(groupWith("tg-1", withThresholds(2, 2)), targets...))
		synctest.Wait()
		wantHealthy(t, c, targets[0])
		pass(30 * time.Second)
		wantUnhealthy(t, c, targets[0])
	})
}

func TestMatcherThatCannotBeParsedFailsVisibly(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1", func(hc *shape.HealthCheckConfig) { hc.Matcher = &shape.Matcher{HttpCode: new("2-,")} }), targetsOf("tg-1", 1)
		c.Apply(inUse(g, targets...))
		pass(time.Minute)
		wantUnhealthy(t, c, targets[0])
		if got, want := c.Report(g.Key())[0].Last.Failure, "status code 200, expected 2-,"; got != want {
			t.Errorf("failure %q, want %q", got, want)
		}
	})
}

func TestCheckThatCannotBeMadeDoesNotCount(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 1)
		c.Apply(inUse(g, targets...))
		synctest.Wait()
		s.answer(targets[0], func(context.Context) (Answer, error) {
			return Answer{}, &UnmadeError{errors.New("too many open files")}
		})
		pass(time.Hour)
		wantHealthy(t, c, targets[0])
		report := c.Report(g.Key())[0]
		if got, want := report.Last.Failure, "the check could not be made: too many open files"; got != want {
			t.Errorf("failure %q, want %q", got, want)
		}
		if report.Failures != 0 {
			t.Errorf("%d failures counted", report.Failures)
		}
	})
}

// inventory says where the targets of a test are.
type inventory struct {
	at atomic.Pointer[netip.AddrPort]
}

func (i *inventory) resolve(*lattice.TargetGroup, *lattice.Target) (routing.Place, error) {
	if known := i.at.Load(); known != nil {
		return routing.Place{Address: *known}, nil
	}
	return routing.Place{}, errors.New("the inventory does not know it")
}

// move changes the inventory; an empty text takes the targets out of it.
func (i *inventory) move(c *Checker, to string) {
	i.at.Store(nil)
	if to != "" {
		i.at.Store(new(netip.MustParseAddrPort(to)))
	}
	c.InventoryChanged()
}

func TestTargetWithoutAKnownAddressIsUnhealthyAtOnce(t *testing.T) {
	typed := func(kind shape.TargetGroupType, edits ...func(*shape.HealthCheckConfig)) *lattice.TargetGroup {
		g := groupWith("tg-1", edits...)
		g.Type = kind
		return g
	}
	for _, test := range []struct {
		name       string
		group      *lattice.TargetGroup
		found      shape.TargetStatus // without any check
		wantReason string
	}{
		{"checked", typed(shape.TargetGroupTypeInstance), shape.TargetStatusInitial, "InitialHealthChecking"},
		{"checks disabled", typed(shape.TargetGroupTypeInstance, withoutChecks), shape.TargetStatusUnavailable, "HealthCheckDisabled"},
		{"load balancer", typed(shape.TargetGroupTypeAlb), shape.TargetStatusUnavailable, "HealthCheckNotSupported"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var inventory inventory
			var n told
			inBubble(t, Config{Resolve: inventory.resolve}, func(t *testing.T, c *Checker, s *script) {
				c.OnChange(n.onChange)
				target := &lattice.Target{Scope: scope, TargetGroupID: "tg-1", ID: "i-0123456789abcdef0", Port: 80}
				lost := func() {
					t.Helper()
					wantUnhealthy(t, c, target)
					report := c.Report(test.group.Key())[0]
					if report.Problem != "the inventory does not know it" || report.Address.IsValid() || report.Last != nil || !report.NextAt.IsZero() || !report.Since.Equal(time.Now()) {
						t.Errorf("the report of a target that the inventory has lost: %+v", report)
					}
				}
				s.answers[netip.MustParseAddrPort("10.1.2.3:80")] = slowly(status(200))
				c.Apply(inUse(test.group, target))
				lost()
				pass(time.Hour)
				if len(s.probes) > 0 {
					t.Errorf("%d probes of a target whose address nobody knows", len(s.probes))
				}
				for range 2 {
					n.take()
					inventory.move(c, "10.1.2.3:80")
					wantStatus(t, c, target, test.found, test.wantReason)
					if report := c.Report(test.group.Key())[0]; report.Problem != "" || report.Address != *inventory.at.Load() {
						t.Errorf("the report of a target that the inventory has found: %+v", report)
					}
					pass(time.Second)
					if test.found == shape.TargetStatusInitial {
						wantHealthy(t, c, target)
					}
					if len(n.take()) == 0 {
						t.Error("nobody is told that the target is available")
					}
					inventory.move(c, "")
					lost()
				}
				target = draining(target)
				c.Apply(inUse(test.group, target))
				wantStatus(t, c, target, shape.TargetStatusDraining, "DeregistrationInProgress")
			})
		})
	}
}

func TestTargetThatMovesIsCheckedThereAtOnceAndKeepsItsHealth(t *testing.T) {
	var inventory inventory
	inBubble(t, Config{Resolve: inventory.resolve}, func(t *testing.T, c *Checker, s *script) {
		g := groupWith("tg-1", withThresholds(2, 2))
		g.Type = shape.TargetGroupTypeInstance
		target := &lattice.Target{Scope: scope, TargetGroupID: "tg-1", ID: "i-0123456789abcdef0", Port: 80}
		s.answers[netip.MustParseAddrPort("10.1.2.3:80")] = after(3*time.Second, refuse)
		inventory.move(c, "10.1.2.2:80")
		c.Apply(inUse(g, target))
		synctest.Wait()
		wantHealthy(t, c, target)
		inventory.move(c, "10.1.2.3:80")
		inventory.move(c, "10.1.2.3:80")
		synctest.Wait()
		if last := s.probes[len(s.probes)-1].Address; len(s.probes) != 2 || last != *inventory.at.Load() {
			t.Errorf("%d probes, the last of %v", len(s.probes), last)
		}
		wantHealthy(t, c, target)
		inventory.move(c, "10.1.2.2:80")
		pass(4 * time.Second) // The answer that was under way is about another place.
		if report := c.Report(g.Key())[0]; report.Status != shape.TargetStatusHealthy || report.Failures > 0 || report.Successes != 2 {
			t.Errorf("the report counts a result from another address: %+v", report)
		}
	})
}

func TestReportTellsWhyATargetIsUnhealthy(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		began := time.Now()
		g, targets := groupWith("tg-1", withPath("/health")), targetsOf("tg-1", 3)
		targets[2] = draining(targets[2])
		s.answer(targets[1], after(time.Second, status(503)))
		if got := c.Report(g.Key()); got != nil {
			t.Errorf("report of an unknown group: %v", got)
		}
		c.Apply(inUse(g, targets[2], targets[1], targets[0]))
		pass(40 * time.Second)
		reports := c.Report(g.Key())
		if len(reports) != 3 || !slices.IsSortedFunc(reports, func(a, b TargetReport) int { return addressIn(a.Target).Compare(addressIn(b.Target)) }) {
			t.Fatalf("reports %+v", reports)
		}
		if healthy := reports[0]; healthy.Status != shape.TargetStatusHealthy || healthy.Successes != 2 || healthy.Failures != 0 || healthy.Last.Failure != "" || healthy.Last.Body != "" {
			t.Errorf("report of the healthy target: %+v, last result %+v", healthy, healthy.Last)
		}
		sick := reports[1]
		times := s.times(targets[1])
		want := Result{
			StartedAt: began.Add(times[1]), Duration: time.Second, URL: "http://10.0.0.1:80/health",
			StatusCode: 503, Failure: "status code 503, expected 200", Body: "body of 503",
		}
		if *sick.Last != want {
			t.Errorf("last result %+v, want %+v", *sick.Last, want)
		}
		if sick.Status != shape.TargetStatusUnhealthy || sick.ReasonCode != "HealthCheckFailed" || sick.Failures != 2 || sick.Successes != 0 ||
			sick.Address != netip.MustParseAddrPort("10.0.0.1:80") || !sick.NextAt.Equal(began.Add(times[1]+30*time.Second)) {
			t.Errorf("report of the unhealthy target: %+v", sick)
		}
		if gone := reports[2]; gone.Status != shape.TargetStatusDraining || gone.Last != nil || !gone.NextAt.IsZero() || gone.Address.IsValid() {
			t.Errorf("report of the draining target: %+v", gone)
		}
	})
}

func TestChangesOfAvailabilityAreReported(t *testing.T) {
	var n told
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		c.OnChange(n.onChange)
		g, targets := groupWith("tg-1", withThresholds(2, 2)), targetsOf("tg-1", 2)
		s.answer(targets[1], refuse)
		wantTold := func(what string, want bool) {
			t.Helper()
			synctest.Wait()
			if calls := n.take(); want != slices.Contains(calls, g.Key()) {
				t.Errorf("%s: told %v", what, calls)
			}
		}
		c.Apply(inUse(g, targets...))
		wantTold("first success", true)
		pass(time.Minute)
		wantTold("INITIAL to UNHEALTHY", false)
		s.answer(targets[1], status(200))
		pass(time.Minute)
		wantTold("UNHEALTHY to HEALTHY", true)
		s.answer(targets[0], refuse)
		pass(time.Minute)
		wantTold("HEALTHY to UNHEALTHY", true)
		pass(time.Hour)
		wantTold("nothing new", false)
		c.Apply(inUse(groupWith("tg-1", withoutChecks), targets...))
		wantTold("checks disabled", true)
		c.Apply(inUse(groupWith("tg-1", withoutChecks), targets[0]))
		wantTold("fewer targets", false)
		c.Apply(inUse(g, targets[0]))
		wantTold("checks enabled", true)
		c.Apply(notInUse(g, targets[0]))
		wantTold("out of use", false)
		c.Apply(inUse(groupWith("tg-1", withoutChecks), targets...))
		wantTold("in use without checks", true)
	})
}

func TestChangesThatComeTogetherAreReportedOnce(t *testing.T) {
	var n told
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		c.OnChange(func(key lattice.Key) { n.onChange(key); time.Sleep(time.Minute) })
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 50)
		for i, target := range targets {
			s.answer(target, after(time.Duration(i)*50*time.Millisecond, status(200)))
		}
		c.Apply(inUse(g, targets...))
		pass(time.Hour)
		if calls := n.take(); len(calls) != 2 {
			t.Errorf("told %d times, want once for the first and once for the rest", len(calls))
		}
	})
}

func TestOnChangeMayAskTheChecker(t *testing.T) {
	var c *Checker
	asked := make(chan bool, 1)
	g, targets := groupWith("tg-1"), targetsOf("tg-1", 1)
	onChange := func(key lattice.Key) {
		c.Apply(inUse(g, targets...))
		c.Report(key)
		c.Status(targets[0])
		asked <- c.Available(targets[0].Key())
	}
	inBubble(t, Config{}, func(t *testing.T, checker *Checker, s *script) {
		checker.OnChange(onChange)
		c = checker
		c.Apply(inUse(g, targets...))
		if !<-asked {
			t.Error("the target is not available when its change is told")
		}
	})
}

func TestCloseStopsProbesAndWaitsForThem(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 3)
		s.answer(targets[0], silence)
		s.answer(targets[1], func(ctx context.Context) (Answer, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // slow to stop.
			return Answer{}, ctx.Err()
		})
		c.Apply(inUse(g, targets...))
		synctest.Wait()
		c.Close()
		if s.inside != 0 {
			t.Errorf("%d probes outlive Close", s.inside)
		}
		probes := len(s.probes)
		c.Apply(inUse(groupWith("tg-2"), targetsOf("tg-2", 3)...))
		pass(time.Hour)
		if len(s.probes) != probes {
			t.Error("a closed checker probes")
		}
		wantInitial(t, c, targets[0])
		wantHealthy(t, c, targets[2])
	})
}

func TestCheckerProbesOverTheNetwork(t *testing.T) {
	server := serveHTTP(t, speakHTTP1, false, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	address := addressOf(server)
	target := &lattice.Target{Scope: scope, TargetGroupID: "tg-1", ID: address.Addr().String(), Port: int32(address.Port())}
	g := groupWith("tg-1", func(hc *shape.HealthCheckConfig) { hc.Matcher = &shape.Matcher{HttpCode: new("201-204")} })
	changed := make(chan lattice.Key)
	c := NewChecker(Config{Log: slog.New(slog.DiscardHandler)})
	c.OnChange(func(key lattice.Key) { changed <- key })
	defer c.Close()
	c.Apply(inUse(g, target))
	if key := <-changed; key != g.Key() {
		t.Errorf("told of %v", key)
	}
	wantHealthy(t, c, target)
}

func TestCheckerServesRoutingAsItsHealth(t *testing.T) {
	var _ routing.Health = (*Checker)(nil)
}
