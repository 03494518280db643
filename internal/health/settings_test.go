package health

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// becomes makes a target answer in one way, and checks that exactly so many answers in a row lead to the wanted status.
func becomes(t *testing.T, c *Checker, s *script, target *lattice.Target, answer func(context.Context) (Answer, error), want shape.TargetStatus, after int) {
	t.Helper()
	s.answer(target, answer)
	before, _ := c.Status(target)
	asked := len(s.times(target))
	for i := range after {
		if got, _ := c.Status(target); got != before {
			t.Fatalf("%s after %d of %d results", got, i, after)
		}
		for len(s.times(target)) == asked+i {
			pass(100 * time.Millisecond)
		}
	}
	if got, _ := c.Status(target); got != want {
		t.Fatalf("%s after %d results, want %s", got, after, want)
	}
}

func TestThresholdsHoldAtTheirBounds(t *testing.T) {
	for _, test := range []struct{ healthy, unhealthy int32 }{{2, 2}, {2, 10}, {10, 2}, {10, 10}} {
		inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
			g, targets := groupWith("tg-1", withInterval(5), withThresholds(test.healthy, test.unhealthy)), targetsOf("tg-1", 1)
			c.Apply(inUse(g, targets...))
			synctest.Wait()
			wantHealthy(t, c, targets[0]) // A new target needs only one success.
			for range 3 {
				becomes(t, c, s, targets[0], refuse, shape.TargetStatusUnhealthy, int(test.unhealthy))
				becomes(t, c, s, targets[0], status(200), shape.TargetStatusHealthy, int(test.healthy))
			}
		})
	}
}

func TestIntervalHoldsAtItsBounds(t *testing.T) {
	for _, seconds := range []int32{5, 300} {
		inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
			g, targets := groupWith("tg-1", withInterval(seconds)), targetsOf("tg-1", 1)
			c.Apply(inUse(g, targets...))
			pass(20 * time.Duration(seconds) * time.Second)
			wantBeat(t, s.times(targets[0]), time.Duration(seconds)*time.Second)
		})
	}
}

func TestTimeoutHoldsAtItsBounds(t *testing.T) {
	for _, seconds := range []int32{1, 120} {
		timeout := time.Duration(seconds) * time.Second
		for _, test := range []struct {
			delay time.Duration
			want  shape.TargetStatus
		}{
			{timeout - time.Nanosecond, shape.TargetStatusHealthy},
			{timeout + time.Nanosecond, shape.TargetStatusUnhealthy},
		} {
			inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
				g, targets := groupWith("tg-1", withInterval(300), withTimeout(seconds)), targetsOf("tg-1", 1)
				s.answer(targets[0], after(test.delay, status(200)))
				c.Apply(inUse(g, targets...))
				pass(timeout - 2*time.Nanosecond)
				wantInitial(t, c, targets[0])
				pass(4 * time.Nanosecond)
				if report := c.Report(g.Key())[0]; test.want == shape.TargetStatusUnhealthy {
					if want := fmt.Sprintf("timed out after %v", timeout); report.Last == nil || !strings.HasSuffix(report.Last.Failure, want) || report.Last.Duration != timeout {
						t.Errorf("last result %+v, want %q after %v", report.Last, want, timeout)
					}
				}
				pass(20 * time.Minute)
				if got, _ := c.Status(targets[0]); got != test.want {
					t.Errorf("%s with answers after %v, want %s", got, test.delay, test.want)
				}
			})
		}
	}
}

func TestProbeUsesThePortAndPathAtTheirBounds(t *testing.T) {
	long := "/" + strings.Repeat("a", 2047)
	for _, test := range []struct {
		name string
		edit func(*shape.HealthCheckConfig)
		port uint16
		path string
	}{
		{"lowest port", func(hc *shape.HealthCheckConfig) { hc.Port = new(int32(1)) }, 1, "/"},
		{"highest port", func(hc *shape.HealthCheckConfig) { hc.Port = new(int32(65535)) }, 65535, "/"},
		{"no port", func(hc *shape.HealthCheckConfig) { hc.Port = nil }, 80, "/"},
		{"shortest path", withPath("/"), 80, "/"},
		{"longest path", withPath(long), 80, long},
	} {
		inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
			c.Apply(inUse(groupWith("tg-1", test.edit), targetsOf("tg-1", 1)...))
			synctest.Wait()
			if len(s.probes) != 1 || s.probes[0].Address.Port() != test.port || s.probes[0].Path != test.path {
				t.Errorf("%s: probes %+v", test.name, s.probes)
			}
		})
	}
}

func TestMatcherHoldsAtItsBounds(t *testing.T) {
	for _, test := range []struct {
		codes         string
		passes, fails []int
	}{
		{"100", []int{100}, []int{101, 200, 599}},
		{"599", []int{599}, []int{100, 598}},
		{"200-499", []int{200, 499}, []int{199, 500}},
		{"200,202", []int{200, 202}, []int{201, 203}},
	} {
		for _, code := range append(test.passes, test.fails...) {
			inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
				g, targets := groupWith("tg-1", withThresholds(2, 2), func(hc *shape.HealthCheckConfig) {
					hc.Matcher = &shape.Matcher{HttpCode: new(test.codes)}
				}), targetsOf("tg-1", 1)
				s.answer(targets[0], status(code))
				c.Apply(inUse(g, targets...))
				pass(time.Minute)
				want := shape.TargetStatusUnhealthy
				for _, passing := range test.passes {
					if code == passing {
						want = shape.TargetStatusHealthy
					}
				}
				if got, _ := c.Status(targets[0]); got != want {
					t.Errorf("%s with %d for %q, want %s", got, code, test.codes, want)
				}
			})
		}
	}
}

// Every setting goes from one bound to the other and back while targets are healthy, unhealthy, and about to change.
func TestEverySettingCanChangeWithoutLosingHealth(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []func(*shape.HealthCheckConfig)
	}{
		{"interval", []func(*shape.HealthCheckConfig){withInterval(300), withInterval(5)}},
		{"timeout", []func(*shape.HealthCheckConfig){withTimeout(120), withTimeout(1)}},
		{"healthy threshold", []func(*shape.HealthCheckConfig){withThresholds(10, 8), withThresholds(9, 8)}},
		{"unhealthy threshold", []func(*shape.HealthCheckConfig){withThresholds(9, 10), withThresholds(9, 9)}},
		{"path", []func(*shape.HealthCheckConfig){withPath("/" + strings.Repeat("a", 2047)), withPath("/")}},
		{"port", []func(*shape.HealthCheckConfig){
			func(hc *shape.HealthCheckConfig) { hc.Port = new(int32(80)) }, func(hc *shape.HealthCheckConfig) { hc.Port = nil },
		}},
		{"matcher", []func(*shape.HealthCheckConfig){
			func(hc *shape.HealthCheckConfig) { hc.Matcher = &shape.Matcher{HttpCode: new("200-204")} },
			func(hc *shape.HealthCheckConfig) { hc.Matcher = &shape.Matcher{HttpCode: new("200")} },
		}},
		{"protocol", []func(*shape.HealthCheckConfig){
			func(hc *shape.HealthCheckConfig) { hc.Protocol = shape.TargetGroupProtocolHttps },
			func(hc *shape.HealthCheckConfig) { hc.Protocol = shape.TargetGroupProtocolHttp },
		}},
		{"protocol version", []func(*shape.HealthCheckConfig){
			func(hc *shape.HealthCheckConfig) { hc.ProtocolVersion = shape.HealthCheckProtocolVersionHttp2 },
			func(hc *shape.HealthCheckConfig) { hc.ProtocolVersion = shape.HealthCheckProtocolVersionHttp1 },
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
				targets := targetsOf("tg-1", 2)
				base := withThresholds(9, 8)
				// A check takes some time, so that none ends between a change and the report after it.
				s.answer(targets[0], slowly(status(200)))
				s.answer(targets[1], slowly(refuse))
				c.Apply(inUse(groupWith("tg-1", base), targets...))
				pass(8 * 30 * time.Second)
				wantHealthy(t, c, targets[0])
				wantUnhealthy(t, c, targets[1])
				since := c.Report(groupWith("tg-1").Key())[0].Since
				for i, value := range append(test.values, test.values...) {
					before := c.Report(groupWith("tg-1").Key())
					c.Apply(inUse(groupWith("tg-1", base, value), targets...))
					after := c.Report(groupWith("tg-1").Key())
					for j := range targets {
						if after[j].Status != before[j].Status || after[j].Successes != before[j].Successes || after[j].Failures != before[j].Failures || after[j].Last == nil {
							t.Errorf("value %d: target %d was %+v, is %+v", i, j, before[j], after[j])
						}
					}
					pass(time.Second)
					wantHealthy(t, c, targets[0])
					wantUnhealthy(t, c, targets[1])
				}
				if now := c.Report(groupWith("tg-1").Key())[0].Since; !now.Equal(since) {
					t.Errorf("healthy since %v, was since %v", now, since)
				}
			})
		})
	}
}

func TestChecksCanBeDisabledAndEnabledWhileRunning(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1"), targetsOf("tg-1", 1)
		c.Apply(inUse(g, targets...))
		synctest.Wait()
		wantHealthy(t, c, targets[0])
		c.Apply(inUse(groupWith("tg-1", withoutChecks), targets...))
		wantStatus(t, c, targets[0], shape.TargetStatusUnavailable, "HealthCheckDisabled")
		asked := len(s.probes)
		pass(time.Hour)
		if len(s.probes) != asked {
			t.Errorf("%d probes while disabled", len(s.probes)-asked)
		}
		s.answer(targets[0], after(time.Second, status(200)))
		c.Apply(inUse(g, targets...))
		wantInitial(t, c, targets[0])
		pass(time.Second)
		wantHealthy(t, c, targets[0])
	})
}

func TestReportSaysSinceWhenATargetHasItsStatus(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, c *Checker, s *script) {
		g, targets := groupWith("tg-1", withThresholds(2, 3)), targetsOf("tg-1", 1)
		s.answer(targets[0], after(time.Second, status(200)))
		began := time.Now()
		c.Apply(inUse(g, targets...))
		wantSince := func(what string, want time.Time) {
			t.Helper()
			if report := c.Report(g.Key())[0]; !report.Since.Equal(want) {
				t.Errorf("%s: %s since %v, want %v", what, report.Status, report.Since, want)
			}
		}
		wantSince("new", began)
		pass(time.Second)
		healthy := time.Now()
		wantSince("after the first success", healthy)
		pass(10 * time.Minute)
		wantSince("later", healthy)
		s.answer(targets[0], refuse)
		becomes(t, c, s, targets[0], refuse, shape.TargetStatusUnhealthy, 3)
		times := s.times(targets[0])
		wantSince("after the third failure", began.Add(times[len(times)-1]))
		c.Apply(inUse(g, draining(targets[0])))
		wantSince("draining", time.Time{})
	})
}
