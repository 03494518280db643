package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"trellis/test/trellistest"
)

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// awaitNap returns when the only connection has come to a nap.
func (w *world) awaitNap() {
	w.t.Helper()
	waiting := regexp.MustCompile(`rawConn\)\.Read\(.*\n.*\n.*\(\*connection\)\.nap\(`)
	stacks := make([]byte, 1<<20)
	trellistest.Await(w.t, func() bool { return waiting.Match(stacks[:runtime.Stack(stacks, true)]) }, "a connection takes a nap")
}

// disturb makes connections take a nap whenever they are idle, if only for a moment, until the test is over.
func (w *world) disturb(ctx context.Context) {
	p := w.proxy
	for ctx.Err() == nil {
		p.sendToNap()
		time.Sleep(100 * time.Microsecond) // Sleeps: how often it disturbs.
	}
}

// sendToNap does at once what the sweeper does when connections have been idle for a while.
func (p *Proxy) sendToNap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.connections {
		if word := c.watch.word.Load(); wordPhase(word) == phaseIdle && wordCause(word) == causeNone {
			c.watch.end(c, word, causeNap)
		}
	}
}

func TestConnectionServesAfterANap(t *testing.T) {
	w := newWorld(t)
	w.storefront(answering(t, okAnswer))
	c := w.dial()
	for range 2 {
		if got := c.get("/"); got.body != "ok" {
			t.Fatalf("got %d %q", got.StatusCode, got.body)
		}
		w.awaitNap()
	}
	if got := c.get("/"); got.body != "ok" {
		t.Fatalf("got %d %q", got.StatusCode, got.body)
	}
}

func TestConnectionThatTakesANapIsClosedInTime(t *testing.T) {
	w := newWorld(t)
	w.storefront(answering(t, okAnswer))
	w.setIdleTimeout(4)
	c := w.dial()
	c.get("/")
	w.proxy.sendToNap()
	w.awaitNap()
	c.atEnd()
}

func TestConnectionThatTakesANapEndsWithTheProxy(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, okAnswer))
	c := w.dialTLS(host)
	c.get("/")
	w.proxy.sendToNap()
	w.awaitNap()
	if err := w.proxy.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	c.atEnd()
}

func TestNapsAtAnyMomentDisturbNothing(t *testing.T) {
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

// The fields that this relies on may be others in another version of Go.
func TestBuffersOfTLSAreGivenBack(t *testing.T) {
	if len(tlsBuffers) != 2 {
		t.Fatalf("%d of the buffers of tls.Conn have been found", len(tlsBuffers))
	}
	w := newSecureWorld(t)
	near, far := net.Pipe()
	server, client := tls.Server(near, w.site(host)), tls.Client(far, w.client(host))
	defer near.Close()
	defer far.Close()
	long := strings.Repeat("l", 10_000)
	sent := make(chan error, 1)
	go func() {
		for range 2 {
			if _, err := io.WriteString(client, long); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range 2 {
		read := make([]byte, len(long))
		if _, err := io.ReadFull(server, read); err != nil || string(read) != long {
			t.Fatalf("%d bytes, %v", len(read), err)
		}
		dropBuffers(server)
		for _, name := range []string{"rawInput", "hand"} {
			field, _ := reflect.TypeFor[tls.Conn]().FieldByName(name)
			if b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(server), field.Offset)); b.Cap() != 0 {
				t.Errorf("%s has %d bytes", name, b.Cap())
			}
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
