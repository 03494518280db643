package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"trellis/test/trellistest"
)

// listen returns a target that keeps its connections, and hands them to the test.
func listen(t *testing.T) (netip.AddrPort, <-chan net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 100)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	})
	t.Cleanup(func() {
		listener.Close()
		accepting.Wait()
		close(accepted)
		for conn := range accepted {
			conn.Close()
		}
	})
	return netip.MustParseAddrPort(listener.Addr().String()), accepted
}

func newPools(t *testing.T, change func(*Config)) *Pools {
	cfg := Config{DialTimeout: time.Minute, IdleTimeout: time.Minute, MaxIdle: 10, MaxConnections: 10}
	if change != nil {
		change(&cfg)
	}
	pools := NewPools(cfg)
	t.Cleanup(pools.Close)
	return pools
}

func dial(t *testing.T, pool *HTTP1Pool) *Conn {
	t.Helper()
	c, err := pool.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// closed reports whether the other side has closed the connection.
func closed(conn net.Conn) bool {
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := conn.Read(make([]byte, 1))
	return err == io.EOF
}

func TestTheConnectionUsedLastIsUsedNext(t *testing.T) {
	address, _ := listen(t)
	pool := newPools(t, nil).newHTTP1(way{address: address})
	first, second := dial(t, pool), dial(t, pool)
	first.Release()
	second.Release()
	if got := pool.Idle(); got != second || !got.Reused {
		t.Error("the connection released last is not the one that comes next")
	}
	if got := pool.Idle(); got != first {
		t.Error("the other one did not follow")
	}
	if pool.Idle() != nil {
		t.Error("a third one came")
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	address, accepted := listen(t)
	pool := newPools(t, func(cfg *Config) { cfg.MaxIdle = 1 }).newHTTP1(way{address: address})
	first, second := dial(t, pool), dial(t, pool)
	<-accepted
	other := <-accepted
	first.Release()
	second.Release()
	defer other.Close()
	if !closed(other) {
		t.Error("the second connection is still open")
	}
}

func TestSweepClosesWhatIsIdleForTooLong(t *testing.T) {
	address, accepted := listen(t)
	pools := newPools(t, nil)
	pool := pools.newHTTP1(way{address: address})
	start := time.Now()
	pools.Sweep(start)
	dial(t, pool).Release()
	other := <-accepted
	defer other.Close()
	pools.Sweep(start.Add(30 * time.Second))
	pools.Sweep(start.Add(50 * time.Second))
	if c := pool.Idle(); c == nil {
		t.Fatal("it was closed too early")
	} else {
		c.Release()
	}
	pools.Sweep(start.Add(60 * time.Second))
	pools.Sweep(start.Add(111 * time.Second))
	if !closed(other) || pool.Idle() != nil {
		t.Error("it is still open")
	}
	if len(pools.idling) != 0 {
		pools.Sweep(start.Add(112 * time.Second))
		if len(pools.idling) != 0 {
			t.Error("the pool is still swept")
		}
	}
}

func TestSweepClosesWhatTheTargetHasClosed(t *testing.T) {
	address, accepted := listen(t)
	pools := newPools(t, nil)
	pool := pools.newHTTP1(way{address: address})
	gone, stays := dial(t, pool), dial(t, pool)
	(<-accepted).Close()
	other := <-accepted
	defer other.Close()
	stays.Release()
	gone.Release()
	trellistest.Await(t, func() bool {
		pools.Sweep(time.Now())
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return len(pool.idle) == 1
	}, "one idle connection is left")
	if got := pool.Idle(); got != stays {
		t.Error("what is left is not the connection that is open")
	}
}

func TestExchangeThatWaitsGetsTheNextConnection(t *testing.T) {
	address, _ := listen(t)
	pool := newPools(t, func(cfg *Config) { cfg.MaxConnections = 1 }).newHTTP1(way{address: address})
	only := dial(t, pool)
	got := make(chan *Conn)
	go func() {
		c, err := pool.Dial(context.Background())
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	awaitWaiter(t, pool)
	only.Release()
	if c := <-got; c != only {
		t.Error("the waiting one did not get the connection")
	}
	// One that is closed makes room for a new one.
	go func() {
		c, err := pool.Dial(context.Background())
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	awaitWaiter(t, pool)
	only.Discard()
	c := <-got
	if c == only || c.Reused {
		t.Error("the waiting one did not get a new connection")
	}
	c.Discard()
	if pool.open != 0 {
		t.Errorf("%d connections are counted", pool.open)
	}
}

func awaitWaiter(t *testing.T, pool *HTTP1Pool) {
	t.Helper()
	trellistest.Await(t, func() bool {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return len(pool.waiting) > 0
	}, "somebody waits for a connection")
}

func TestWaitingEnds(t *testing.T) {
	address, _ := listen(t)
	pools := newPools(t, func(cfg *Config) { cfg.MaxConnections = 1 })
	pool := pools.newHTTP1(way{address: address})
	only := dial(t, pool)
	defer only.Discard()
	pools.cfg.DialTimeout = 50 * time.Millisecond // Only from here on: the first connection might need longer.
	if _, err := pool.Dial(context.Background()); !errors.Is(err, errBusy) {
		t.Errorf("got %v, want %v", err, errBusy)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := pool.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if len(pool.waiting) != 0 {
		t.Error("somebody still waits")
	}
}

func TestDialFailureIsADialError(t *testing.T) {
	address := trellistest.RefusingAddress(t).AddrPort()
	pool := newPools(t, nil).newHTTP1(way{address: address})
	for range 20 { // More than MaxConnections: failures are not counted.
		_, err := pool.Dial(context.Background())
		if dialError, ok := errors.AsType[*DialError](err); !ok || dialError.Address != address {
			t.Fatalf("got %v", err)
		}
	}
}

func TestClosedPoolStillServesExchangesThatChoseItBefore(t *testing.T) {
	address, accepted := listen(t)
	pool := newPools(t, nil).newHTTP1(way{address: address})
	idle, inUse := dial(t, pool), dial(t, pool)
	first, second := <-accepted, <-accepted
	idle.Release()
	pool.Close()
	if !closed(first) {
		t.Error("the idle connection is still open")
	}
	inUse.Release()
	if !closed(second) {
		t.Error("the connection in use is still open after its release")
	}
	late := dial(t, pool)
	third := <-accepted
	late.Release()
	if !closed(third) {
		t.Error("a late connection is kept")
	}
}

func TestExchangeSendsNothingOnAConnectionThatHasEnded(t *testing.T) {
	address, accepted := listen(t)
	pool := newPools(t, nil).newHTTP1(way{address: address})
	for _, unasked := range []string{"", "HTTP/1.1 200 OK\r\n\r\n"} {
		c := dial(t, pool)
		other := <-accepted
		c.Reused = true
		io.WriteString(other, unasked)
		if unasked == "" {
			other.(*net.TCPConn).CloseWrite()
		}
		trellistest.Await(t, c.stale, "what the target does shows")
		_, err := c.Exchange([]byte("request"), make([]byte, 100))
		if broken, ok := errors.AsType[*BrokenError](err); !ok || broken.Sent || broken.Received {
			t.Errorf("got %v", err)
		}
		c.Discard()
		if rest, _ := io.ReadAll(other); len(rest) > 0 {
			t.Errorf("the target got %q", rest)
		}
		other.Close()
	}
}

func TestExchangeReturnsWhatComesFirst(t *testing.T) {
	address, accepted := listen(t)
	pool := newPools(t, nil).newHTTP1(way{address: address})
	c := dial(t, pool)
	defer c.Discard()
	other := <-accepted
	defer other.Close()
	go func() {
		buffer := make([]byte, 100)
		for {
			n, err := other.Read(buffer)
			if err != nil {
				return
			}
			other.Write(buffer[:n])
		}
	}()
	buffer := make([]byte, 100)
	for range 3 {
		n, err := c.Exchange([]byte("request"), buffer)
		if err != nil || string(buffer[:n]) != "request" {
			t.Fatalf("got %q, %v", buffer[:n], err)
		}
		c.Reused = true
	}
	c.SetDeadline(time.Unix(1, 0))
	if _, err := c.Exchange([]byte("request"), buffer); err == nil {
		t.Error("a connection whose deadline has passed was used")
	}
}
