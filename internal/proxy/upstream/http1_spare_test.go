package upstream

import (
	"net"
	"net/netip"
	"testing"

	"trellis/test/trellistest"
)

func withSpare(spare int) func(*Config) {
	return func(cfg *Config) { cfg.Spare = spare }
}

// counts returns how many connections are idle and open once no more are being made.
func (p *HTTP1Pool) counts(t *testing.T) (idle, open int) {
	t.Helper()
	trellistest.Await(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		idle, open = len(p.idle), p.open
		return !p.warming
	}, "no spare connections are being made")
	return idle, open
}

func TestFirstUseMakesSpareConnectionsReady(t *testing.T) {
	address, accepted := listen(t)
	pool := newPools(t, withSpare(3)).newHTTP1(way{address: address})
	c := dial(t, pool)
	if idle, open := pool.counts(t); idle != 0 || open != 1 {
		t.Fatalf("before the first exchange is over, %d are idle of %d", idle, open)
	}
	c.Release()
	if idle, open := pool.counts(t); idle != 3 || open != 3 {
		t.Fatalf("%d are idle of %d", idle, open)
	}
	for range 3 {
		c := pool.Idle()
		if c == nil || !c.Reused {
			t.Fatalf("got %v", c)
		}
		defer c.Discard()
		(<-accepted).Close()
	}
	if pool.Idle() != nil {
		t.Error("there is a fourth")
	}
}

func TestLaterUseMakesNoSpareConnections(t *testing.T) {
	address, _ := listen(t)
	pool := newPools(t, withSpare(2)).newHTTP1(way{address: address})
	dial(t, pool).Release()
	pool.counts(t)
	first, second := pool.Idle(), pool.Idle()
	first.Release()
	second.Discard()
	if idle, open := pool.counts(t); idle != 1 || open != 1 {
		t.Errorf("%d are idle of %d", idle, open)
	}
}

func TestTargetThatKeepsNoConnectionsGetsNoSpareOnes(t *testing.T) {
	address, _ := listen(t)
	pool := newPools(t, withSpare(2)).newHTTP1(way{address: address})
	dial(t, pool).Discard()
	if idle, open := pool.counts(t); idle != 0 || open != 0 {
		t.Errorf("%d are idle of %d", idle, open)
	}
}

func TestSpareConnectionsStayWithinTheBounds(t *testing.T) {
	address, _ := listen(t)
	for _, test := range []struct {
		name       string
		change     func(*Config)
		idle, open int
	}{
		{"of all", func(cfg *Config) { cfg.MaxConnections = 3 }, 2, 3},
		{"of idle ones", func(cfg *Config) { cfg.MaxIdle = 2 }, 2, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool := newPools(t, func(cfg *Config) {
				cfg.Spare = 9
				test.change(cfg)
			}).newHTTP1(way{address: address})
			inUse := dial(t, pool)
			defer inUse.Discard()
			dial(t, pool).Release()
			if idle, open := pool.counts(t); idle != test.idle || open != test.open {
				t.Errorf("%d are idle of %d", idle, open)
			}
		})
	}
}

func TestTargetThatFailsIsLeftAlone(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pool := newPools(t, withSpare(5)).newHTTP1(way{address: netip.MustParseAddrPort(listener.Addr().String())})
	c := dial(t, pool)
	listener.Close()
	c.Release()
	if idle, open := pool.counts(t); idle != 1 || open != 1 {
		t.Errorf("%d are idle of %d", idle, open)
	}
}

func TestClosingWaitsForSpareConnectionsThatAreBeingMade(t *testing.T) {
	address, accepted := listen(t) // It never answers the handshake.
	pools := newPools(t, withSpare(2))
	pool := pools.newHTTP1(way{address: address, tls: true})
	pool.mu.Lock()
	pool.warming = true
	pool.mu.Unlock()
	pools.inBackground(pool.makeSpare)
	other := <-accepted
	defer other.Close()
	pools.Close()
	if idle, open := pool.counts(t); idle != 0 || open != 0 {
		t.Errorf("%d are idle of %d", idle, open)
	}
	pool.warm()
	if idle, open := pool.counts(t); idle != 0 || open != 0 {
		t.Errorf("after the end, %d are idle of %d", idle, open)
	}
}

func TestSpareConnectionOfATargetThatIsGoneIsClosed(t *testing.T) {
	address, accepted := listen(t)
	pool := newPools(t, withSpare(2)).newHTTP1(way{address: address})
	pool.Close()
	pool.mu.Lock()
	pool.open++
	pool.mu.Unlock()
	c, err := pool.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pool.put(c)
	other := <-accepted
	defer other.Close()
	if !closed(other) {
		t.Error("the connection is still open")
	}
}
