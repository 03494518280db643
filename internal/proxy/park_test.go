package proxy

import (
	"context"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"trellis/internal/proxy/downstream"
	"trellis/test/trellistest"
)

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// awaitParked returns when the only connection is parked.
func (w *world) awaitParked() {
	w.t.Helper()
	waiting := regexp.MustCompile(`rawConn\)\.Read\(.*\n.*\n.*\(\*Conn\)\.Park\(`)
	stacks := make([]byte, 1<<20)
	trellistest.Await(w.t, func() bool { return waiting.Match(stacks[:runtime.Stack(stacks, true)]) }, "a connection is parked")
}

// disturb parks connections whenever they are idle, if only for a moment, until the test is over.
func (w *world) disturb(ctx context.Context) {
	p := w.proxy
	for ctx.Err() == nil {
		p.park()
		time.Sleep(100 * time.Microsecond) // Sleeps: how often it disturbs.
	}
}

// park parks the connections that are idle at once, as the sweeper does when they have been idle for a while.
func (p *Proxy) park() {
	for range downstream.ParkTicks + 1 {
		p.sweepConnections()
	}
}

func TestParkedConnectionServes(t *testing.T) {
	w := newWorld(t)
	w.storefront(answering(t, okAnswer))
	c := w.dial()
	for range 2 {
		if got := c.get("/"); got.body != "ok" {
			t.Fatalf("got %d %q", got.StatusCode, got.body)
		}
		w.awaitParked()
	}
	if got := c.get("/"); got.body != "ok" {
		t.Fatalf("got %d %q", got.StatusCode, got.body)
	}
}

func TestParkedConnectionIsClosedInTime(t *testing.T) {
	w := newWorld(t)
	w.storefront(answering(t, okAnswer))
	w.setIdleTimeout(4)
	c := w.dial()
	c.get("/")
	w.proxy.park()
	w.awaitParked()
	c.atEnd()
}

func TestParkedConnectionEndsWithTheProxy(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, okAnswer))
	c := w.dialTLS(host)
	c.get("/")
	w.proxy.park()
	w.awaitParked()
	if err := w.proxy.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	c.atEnd()
}

func TestParkingAtAnyMomentDisturbsNothing(t *testing.T) {
	body := strings.Repeat("b", 100_000)
	for _, test := range []struct {
		name string
		dial func(w *secureWorld) *client
	}{
		{"plain", func(w *secureWorld) *client { return w.dialPort(443) }},
		{"TLS", func(w *secureWorld) *client { return w.dialTLS(host).client }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newSecureWorld(t)
			if address := answering(t, okAnswer); test.name == "TLS" {
				w.https(address)
			} else {
				w.targetGroup("tg-1", "HTTP", address)
				w.listen("svc-1", "HTTP", 443, "tg-1")
			}
			ctx, end := context.WithCancel(context.Background())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				w.disturb(ctx)
			}()
			defer func() {
				end()
				<-ended
			}()
			c := test.dial(w)
			for i := range 150 {
				if i%10 == 0 {
					c.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", host, len(body), body)
				} else {
					c.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
				}
				if got := c.receive("GET"); got.body != "ok" {
					t.Fatalf("answer %d: %d %q", i, got.StatusCode, got.body)
				}
			}
		})
	}
}
