package proxy

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"trellis/test/trellistest"
)

// The client reads nothing until the proxy waits for it, with a response that is whole.
func TestTimeUntilAResponseComesHasNoWaitForItsClient(t *testing.T) {
	w := newWorld(t)
	w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 8192\r\n\r\n"+strings.Repeat("x", 8192)))
	c := w.dial()
	const requests = 2000
	go c.send(strings.Repeat("GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n", requests))
	// The state of a connection is Writing before it has to wait, too.
	trellistest.Await(t, func() bool {
		stacks := make([]byte, 1<<20)
		for goroutine := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(goroutine, "[IO wait") && strings.Contains(goroutine, "downstream.(*Conn).WriteRest(") {
				return true
			}
		}
		return false
	}, "the proxy waits for the client")
	blocked := time.Now()
	for range requests {
		if got := c.receive("GET"); got.StatusCode != 200 {
			t.Fatalf("got %d", got.StatusCode)
		}
	}
	waited := 0
	for _, r := range w.accessLog(requests) {
		if r.Start.After(blocked) || r.Start.Add(r.Duration).Before(blocked) {
			continue
		}
		waited++
		if came := r.Start.Add(r.ToTarget + r.FromTarget); came.After(blocked) || r.FromTarget <= 0 {
			t.Errorf("a response came %v after its request had gone, %v after the proxy began to wait for the client", r.FromTarget, came.Sub(blocked))
		}
	}
	if waited != 1 {
		t.Errorf("%d responses waited for the client, want 1", waited)
	}
}
