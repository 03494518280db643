package proxy

import (
	"context"
	"net"
	"testing"
	"time"

	"trellis/internal/proxy/downstream"
	"trellis/test/trellistest"
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
	address := w.proxy.Addr(80).String()
	retired, stopped := make(chan error, 1), make(chan struct{})
	go func() { retired <- w.proxy.Retire(context.Background(), time.Minute, func() { close(stopped) }) }()
	<-stopped
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("the proxy says that it accepts no more connections, and does")
	}
	before := w.proxy.env.Clock.Now()
	// Sweeps must leave the connection alone.
	trellistest.Await(t, func() bool { return w.proxy.env.Clock.Now() >= before+4*downstream.Tick.Milliseconds() }, "four sweeps")
	if got := c.get("/"); !got.Close || got.StatusCode != 404 {
		t.Errorf("the response is %d, close: %v", got.StatusCode, got.Close)
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
	if err := w.proxy.Retire(context.Background(), downstream.Tick, func() {}); err != nil {
		t.Error(err)
	}
	c.atEnd()
}
