package inventory

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"trellis/test/trellistest"
)

// answers holds what a source answers, and when it was asked.
type answers struct {
	mu    sync.Mutex // mu guards the fields below.
	facts *Facts
	err   error
	asked []time.Time
}

func (a *answers) read(context.Context) (*Facts, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, time.Now())
	return a.facts, a.err
}

func (a *answers) say(facts *Facts, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.facts, a.err = facts, err
}

func (a *answers) source(service string) Source {
	return Source{Service: service, Region: "us-west-2", Read: a.read}
}

func openWith(t *testing.T, text string, log *trellistest.Text, sources ...Source) *Inventory {
	t.Helper()
	cfg := Config{Sources: sources, Log: slog.New(slog.NewTextHandler(log, nil))}
	if text != "" {
		cfg.Path = t.TempDir() + "/inventory.yaml"
		if err := os.WriteFile(cfg.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// instancesAt are the facts of one instance.
func instancesAt(address string) *Facts {
	return &Facts{ListsInstances: true, Instances: []Instance{{ID: "i-11111111", Address: netip.MustParseAddr(address), VPC: "vpc-11111111", State: StateRunning}}}
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestTheFileOverridesWhatASourceSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log trellistest.Text
		first := &answers{facts: &Facts{
			VPCs: []VPC{
				{ID: "vpc-11111111", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
				{ID: "vpc-22222222", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("10.0.0.0/16")}, DefaultSecurityGroup: "sg-22222222"},
			},
			SecurityGroups: []SecurityGroup{{ID: "sg-22222222"}},
			Instances: []Instance{
				{ID: "i-11111111", Address: netip.MustParseAddr("10.9.9.9"), VPC: "vpc-22222222", State: "stopped", SecurityGroups: []string{"sg-22222222"}},
				{ID: "i-22222222", Address: netip.MustParseAddr("10.2.0.2"), VPC: "vpc-22222222", State: StateRunning, SecurityGroups: []string{"sg-22222222"}},
				{ID: "i-33333333", VPC: "vpc-22222222", State: "terminated", SecurityGroups: []string{"sg-22222222"}},
			},
			ListsInstances: true,
		}}
		second := &answers{facts: &Facts{ListsLoadBalancers: true, Functions: []Function{{ARN: "arn:aws:lambda:us-west-2:123456789012:function:orders", IsElsewhere: true}}}}
		i := openWith(t, "vpcs: [{id: vpc-11111111, cidrs: [10.0.0.0/16]}]\ninstances: [{id: i-11111111, address: 10.0.0.1, vpc: vpc-11111111}]\n", &log, first.source("ec2"), second.source("lambda"))
		defer i.Close()
		s := i.Current()
		if instance, _ := s.Instance("i-11111111"); instance.Address != netip.MustParseAddr("10.0.0.1") || instance.State != StateRunning {
			t.Errorf("the file's instance is %+v", instance)
		}
		if instance, ok := s.Instance("i-22222222"); !ok || instance.Address != netip.MustParseAddr("10.2.0.2") {
			t.Errorf("the source's instance is %+v, %t", instance, ok)
		}
		if got, want := s.Members("sg-22222222"), []netip.Addr{netip.MustParseAddr("10.2.0.2")}; !slices.Equal(got, want) {
			t.Errorf("the members of the group are %v, want %v", got, want)
		}
		for address, want := range map[string]string{"10.0.0.1": "vpc-11111111", "10.2.0.1": "vpc-22222222", "10.1.0.1": ""} {
			if got, _ := s.VPCOf(netip.MustParseAddr(address)); got != want {
				t.Errorf("%s is in %q, want %q", address, got, want)
			}
		}
		if f, ok := s.Function("arn:aws:lambda:us-west-2:123456789012:function:orders:live"); !ok || !f.IsElsewhere {
			t.Errorf("the function is %+v, %t", f, ok)
		}
		if n := strings.Count(log.String(), "10.0.0.0/16 of vpc-22222222 overlaps with 10.0.0.0/16 of vpc-11111111"); n != 1 {
			t.Errorf("the log tells of the overlapping networks %d times, want once", n)
		}
		if !s.listsInstances || !s.listsLoadBalancers {
			t.Error("the sources list instances and load balancers, but unknown ones could be registered")
		}
	})
}

func TestSourcesAreAskedGentlyAndWhatTheyKnewStaysInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log trellistest.Text
		ec2 := &answers{facts: instancesAt("10.0.0.1")}
		i := openWith(t, "", &log, ec2.source("ec2"))
		defer i.Close()
		changes := 0
		i.OnChange(func(*Snapshot) { changes++ })
		address := func() string {
			instance, _ := i.Current().Instance("i-11111111")
			return instance.Address.String()
		}
		if got := address(); got != "10.0.0.1" {
			t.Errorf("at the start the instance is at %s", got)
		}
		pass(10 * time.Minute)
		if n := len(ec2.asked); n < 8 || n > 15 || changes != 0 {
			t.Errorf("asked %d times in ten minutes, %d changes", n, changes)
		}
		ec2.say(instancesAt("10.0.0.2"), nil)
		pass(2 * time.Minute)
		if got := address(); got != "10.0.0.2" || changes != 1 {
			t.Errorf("the instance that has moved is at %s, %d changes", got, changes)
		}

		began, before := time.Now(), len(ec2.asked)
		ec2.say(nil, errors.New("RequestLimitExceeded: too many"))
		pass(24 * time.Hour)
		if got := address(); got != "10.0.0.2" || changes != 1 {
			t.Errorf("while EC2 fails the instance is at %s, %d changes", got, changes)
		}
		if n := len(ec2.asked) - before; n < 90 || n > 110 {
			t.Errorf("asked %d times in a day of failures, want about 100", n)
		}
		if longest := ec2.asked[len(ec2.asked)-1].Sub(ec2.asked[len(ec2.asked)-2]); longest != maxRefreshInterval {
			t.Errorf("the last two failed readings are %v apart, want %v", longest, maxRefreshInterval)
		}
		report := i.Sources()[0]
		if report.Service != "ec2" || report.Region != "us-west-2" || report.Problem != "RequestLimitExceeded: too many" || report.ReadAt.After(began) || report.AgeSeconds < 24*60*60 {
			t.Errorf("the report of a source that fails: %+v", report)
		}
		if n := strings.Count(log.String(), "too many"); n != 1 {
			t.Errorf("the log tells what is wrong %d times, want once", n)
		}

		ec2.say(instancesAt("10.0.0.3"), nil)
		if err := i.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := address(); got != "10.0.0.3" || strings.Count(log.String(), "AWS can be asked again") != 1 || i.Sources()[0].Problem != "" || i.Sources()[0].AgeSeconds != 0 {
			t.Errorf("after a reload the instance is at %s: %+v", got, i.Sources()[0])
		}
	})
}

func TestASourceThatFailsOrHangsDoesNotKeepTheNodeFromStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log trellistest.Text
		hanging := Source{Service: "elbv2", Region: "us-west-2", Read: func(ctx context.Context) (*Facts, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}}
		began := time.Now()
		i := openWith(t, "", &log, (&answers{err: errors.New("no credentials")}).source("ec2"), hanging)
		defer i.Close()
		if took := time.Since(began); took != firstReadTimeout {
			t.Errorf("the start took %v, want %v", took, firstReadTimeout)
		}
		if i.Current().listsInstances {
			t.Error("a source that has said nothing lists instances")
		}
		pass(readTimeout)
		for _, report := range i.Sources() {
			if report.Problem == "" || !report.ReadAt.IsZero() {
				t.Errorf("the report of a source that was never read: %+v", report)
			}
		}
	})
}
