package proxy

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

func TestPortsComeAndGo(t *testing.T) {
	w := newWorld(t)
	w.service("svc-1", 80, respondWith(404))
	w.service("svc-2", 8080, respondWith(500))
	first := w.proxy.Addr(80).String()
	for port, want := range map[int]int{80: 404, 8080: 500} {
		c := w.dialPort(port)
		c.send("GET / HTTP/1.1\r\nHost: svc-%d.lattice.test\r\n\r\n", 1+port/8080)
		if got := c.receive("GET"); got.StatusCode != want {
			t.Errorf("port %d: got %d", port, got.StatusCode)
		}
	}
	w.delete(lattice.ListenerKey(scope, "svc-2", "listener-svc-2"))
	if address := w.proxy.Addr(8080); address != nil {
		t.Errorf("port 8080 is still bound to %v", address)
	}
	if got := w.proxy.Addr(80).String(); got != first {
		t.Errorf("port 80 moved from %s to %s", first, got)
	}
}

func TestUnbindingAPortLetsItsExchangesFinish(t *testing.T) {
	w := newWorld(t)
	target, arrived, release := holding(t)
	w.storefront(target)
	idle, busy := w.dial(), w.dial()
	idle.get("/")
	busy.send("GET /slow HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	<-arrived
	w.delete(lattice.ListenerKey(scope, "svc-1", "listener-svc-1"))
	idle.atEnd()
	close(release)
	if got := busy.receive("GET"); got.body != "ok" || !got.Close {
		t.Errorf("got %q, close %v", got.body, got.Close)
	}
}

func TestPortThatCannotBeBoundIsAProblemAndTriedAgain(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	number := taken.Addr().(*net.TCPAddr).Port
	w := newWorld(t, func(cfg *Config) {
		cfg.BoundPort = func(port int) int {
			if port == 80 {
				return number
			}
			return 0
		}
	})
	w.service("svc-1", 80, respondWith(404))
	w.service("svc-2", 81, respondWith(500))
	problems := w.proxy.Problems()
	arn := w.records[lattice.ListenerKey(scope, "svc-1", "listener-svc-1")].(*lattice.Listener).ARN()
	if len(problems) != 1 || problems[0].Port != 80 || problems[0].Address != "127.0.0.1:"+strconv.Itoa(number) ||
		!slices.Equal(problems[0].Listeners, []string{arn}) || !errors.Is(problems[0].Err, syscall.EADDRINUSE) {
		t.Fatalf("problems %+v", problems)
	}
	c := w.dialPort(81)
	c.send("GET / HTTP/1.1\r\nHost: svc-2.lattice.test\r\n\r\n")
	if got := c.receive("GET"); got.StatusCode != 500 {
		t.Errorf("the other port answers %d", got.StatusCode)
	}
	taken.Close()
	trellistest.Await(t, func() bool { return len(w.proxy.Problems()) == 0 }, "the port is bound")
	if got := w.dialPort(80).get("/"); got.StatusCode != 404 {
		t.Errorf("got %d", got.StatusCode)
	}
}

// An operator who maps 80 to 8080 and then makes a listener on port 8080 should not look for another program.
func TestProblemNamesTheListenerPortThatHasThePort(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	number := free.Addr().(*net.TCPAddr).Port
	w := newWorld(t, func(cfg *Config) {
		cfg.BoundPort = func(int) int { return number }
		cfg.Listen = func(int, string) (net.Listener, error) { return free, nil }
	})
	w.service("svc-1", 80, respondWith(404))
	w.service("svc-2", 8080, respondWith(500))
	arn := w.records[lattice.ListenerKey(scope, "svc-2", "listener-svc-2")].(*lattice.Listener).ARN()
	want := fmt.Sprintf("listener port 8080 (%s) cannot be bound: 127.0.0.1:%d is already bound for listener port 80", arn, number)
	if problems := w.proxy.Problems(); len(problems) != 1 || problems[0].String() != want {
		t.Errorf("problems %q, want %q", problems, want)
	}
}

func TestProblemGoesWithItsPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	w := newWorld(t, func(cfg *Config) {
		cfg.BoundPort = func(int) int { return taken.Addr().(*net.TCPAddr).Port }
	})
	w.service("svc-1", 80, respondWith(404))
	if len(w.proxy.Problems()) != 1 {
		t.Fatal("no problem")
	}
	w.delete(lattice.ListenerKey(scope, "svc-1", "listener-svc-1"))
	if problems := w.proxy.Problems(); len(problems) != 0 {
		t.Errorf("problems %v", problems)
	}
}

func TestChangedRulesHoldForTheNextRequestOnOpenConnections(t *testing.T) {
	w := newWorld(t)
	w.service("svc-1", 80, respondWith(404))
	c := w.dial()
	if got := c.get("/"); got.StatusCode != 404 {
		t.Fatalf("got %d", got.StatusCode)
	}
	rule := *w.records[lattice.RuleKey(scope, "svc-1", "listener-svc-1", "rule-default")].(*lattice.Rule)
	rule.Action = respondWith(500)
	w.put(&rule)
	if got := c.get("/"); got.StatusCode != 500 {
		t.Errorf("got %d", got.StatusCode)
	}
}

func TestRulesSeeMethodPathAndHeaders(t *testing.T) {
	w := newWorld(t)
	first, _ := recording(t)
	w.storefront(first)
	w.put(&lattice.Rule{Base: w.base("rule-1"), ServiceID: "svc-1", ListenerID: "listener-svc-1", Priority: 1, Action: respondWith(404),
		Match: &shape.RuleMatch{HttpMatch: &shape.HttpMatch{
			Method:    new("POST"),
			PathMatch: &shape.PathMatch{Match: &shape.PathMatchType{Prefix: new("/api")}},
			HeaderMatches: []shape.HeaderMatch{{Name: new("X-Kind"),
				Match: &shape.HeaderMatchType{Exact: new("special")}}},
		}}})
	c := w.dial()
	for _, test := range []struct {
		method, path, kind string
		want               int
	}{
		{"POST", "/api/x", "special", 404},
		{"POST", "/api?x", "Special", 404},
		{"GET", "/api", "special", 200},
		{"POST", "/other?/api", "special", 200},
		{"POST", "/api", "ordinary", 200},
	} {
		c.send("%s %s HTTP/1.1\r\nHost: %s\r\nx-kind: %s\r\n\r\n", test.method, test.path, host, test.kind)
		if got := c.receive(test.method); got.StatusCode != test.want {
			t.Errorf("%s %s %s: got %d, want %d", test.method, test.path, test.kind, got.StatusCode, test.want)
		}
	}
}
