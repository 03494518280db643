package proxy

import (
	"context"
	"testing"
	"time"
)

func TestRetiringClosesIdleConnectionsWithTheResponseToTheirNextRequest(t *testing.T) {
	w := newWorld(t)
	w.service("svc-1", 80, respondWith(404))
	c := w.dial()
	if c.get("/").Close {
		t.Fatal("the connection does not stay open")
	}
	if len(w.proxy.Listeners()) != 1 {
		t.Errorf("the sockets are %v", w.proxy.Listeners())
	}
	retired := make(chan error, 1)
	go func() { retired <- w.proxy.Retire(context.Background(), time.Minute) }()
	for !w.proxy.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(4 * tick) // Sweeps, which must leave the connection alone.
	if got := c.get("/"); !got.Close || got.StatusCode != 404 {
		t.Errorf("the answer is %d, close: %v", got.StatusCode, got.Close)
	}
	c.atEnd()
	if err := <-retired; err != nil {
		t.Error(err)
	}
}

func TestRetiringClosesConnectionsThatStayIdle(t *testing.T) {
	w := newWorld(t)
	w.service("svc-1", 80, respondWith(404))
	c := w.dial()
	c.get("/")
	if err := w.proxy.Retire(context.Background(), tick); err != nil {
		t.Error(err)
	}
	c.atEnd()
}
