package downstream

import (
	"math"
	"testing"
	"time"

	"trellis/internal/proxy/socket"
	"trellis/test/trellistest"
)

// accepted returns an idle connection that has been accepted from a client.
func accepted(t *testing.T) *Conn {
	t.Helper()
	_, conn := trellistest.ConnectTCP(t)
	c := newConn(NewEnvironment(Config{}), socket.AcceptedTCP(conn), nil)
	c.endsAt = math.MaxInt64
	c.Enter(Idle, time.Hour.Milliseconds())
	return c
}

// parking returns a connection that the sweeper wants parked, and that has not noticed yet.
func parking(t *testing.T) *Conn {
	t.Helper()
	c := accepted(t)
	for range ParkTicks + 1 {
		c.Sweep(0, false)
	}
	if why := wordCause(c.watch.word.Load()); why != CausePark {
		t.Fatalf("the wait was ended by cause %d, want CausePark", why)
	}
	return c
}

func TestConnectionAboutToBeParkedIsIdle(t *testing.T) {
	c := parking(t)
	idle, ok := c.Idleness()
	if !ok || idle.Ticks != ParkTicks {
		t.Errorf("idle %v for %d ticks, want true and %d", ok, idle.Ticks, ParkTicks)
	}
	if !c.Parks() {
		t.Fatal("it is not parked")
	}
	if again, ok := c.Idleness(); !ok || again.Ticks != ParkTicks {
		t.Errorf("once it is parked: idle %v for %d ticks, want true and %d", ok, again.Ticks, ParkTicks)
	}
}

func TestConnectionAboutToBeParkedMakesRoom(t *testing.T) {
	c := parking(t)
	idle, _ := c.Idleness()
	if !c.Evict(idle) {
		t.Fatal("it was not evicted")
	}
	if c.Parks() {
		t.Error("it is parked, and waits for another request")
	}
	if !c.MakesRoom() || !c.IsLeaving() {
		t.Errorf("makes room: %v, is leaving: %v; want both", c.MakesRoom(), c.IsLeaving())
	}
}

func TestParkedConnectionMakesRoom(t *testing.T) {
	c := parking(t)
	before, _ := c.Idleness()
	c.Parks()
	if c.Evict(before) {
		t.Error("it was evicted by what was known before it was parked")
	}
	if now, _ := c.Idleness(); !c.Evict(now) || !c.IsLeaving() {
		t.Error("it was not evicted")
	}
}

// The sweeper may look for room at any moment. It must find that somebody is about to make it until the connection is gone.
func TestEvictedConnectionIsLeavingUntilItIsClosed(t *testing.T) {
	c := accepted(t)
	idle, _ := c.Idleness()
	if !c.Evict(idle) || !c.IsLeaving() {
		t.Fatal("it is not leaving once it has been evicted")
	}
	if c.Enter(Closing, LingerMillis); !c.IsLeaving() {
		t.Error("it is not leaving while its goroutine is about to close it")
	}
	if c.End(); !c.IsLeaving() {
		t.Error("it is not leaving when it is closed")
	}
}
