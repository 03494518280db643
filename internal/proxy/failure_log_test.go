package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"trellis/internal/shape"
)

func TestLogTellsWhyAnExchangeFailed(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.AccessLog = nil })
	address := refusing(t)
	w.storefront(address)
	for range 3 {
		if got := w.dial().get("/a?secret"); got.StatusCode != 500 {
			t.Fatalf("got %d", got.StatusCode)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.proxy.Shutdown(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, part := range []string{"level=WARN", "failure=TargetConnectionError", "connection refused", "status=500", "path=/a ", "service=svc-1",
		"targetGroup=tg-1", "target=" + address, "source=127.0.0.1:", "requestId="} {
		if !strings.Contains(w.log.String(), part) {
			t.Errorf("%s is not in the log:\n%s", part, w.log.String())
		}
	}
}

func TestExplainHeadersSayWhyARequestFailed(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Explain = true })
	w.targetGroup("tg-refusing", shape.TargetGroupProtocolHttp, refusing(t))
	w.targetGroup("tg-malformed", shape.TargetGroupProtocolHttp, backend(t, func(conn net.Conn, r *bufio.Reader) {
		readRequest(r)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody")
	}))
	w.targetGroup("tg-empty", shape.TargetGroupProtocolHttp)
	for _, id := range []string{"refusing", "malformed", "empty"} {
		w.service("svc-"+id, 80, forwardTo("tg-"+id), "tg-"+id)
	}
	for _, test := range []struct {
		host             string
		failure, problem string
	}{
		{"svc-refusing.lattice.test", "TargetConnectionError", "connection refused"},
		{"svc-malformed.lattice.test", "TargetProtocolError", "more than one Content-Length header"},
		{"svc-empty.lattice.test", "TargetConnectionError", "the target group has no target"},
		{"elsewhere.test", "", "no service answers to this host on this port"},
	} {
		c := w.dial()
		c.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", test.host)
		byHTTP1 := c.receive("GET").Header
		request, _ := newRequest("GET", "")
		request.Host = test.host
		byHTTP2 := do(t, w.http2Client(), request).Header
		for version, header := range map[string]interface{ Get(string) string }{"HTTP/1.1": byHTTP1, "HTTP/2": byHTTP2} {
			failure, problem := header.Get("x-trellis-failure"), header.Get("x-trellis-problem")
			if failure != test.failure || !strings.Contains(problem, test.problem) || (problem == "") != (test.problem == "") {
				t.Errorf("%s by %s: failure %q, problem %q", test.host, version, failure, problem)
			}
		}
	}
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
	if got := c.receive("GET").Header; got.Get("x-trellis-failure") != "ClientProtocolError" || got.Get("x-trellis-problem") != "more than one Host header" {
		t.Errorf("malformed request: %v", got)
	}
}
