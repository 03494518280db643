package proxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/proxy/exchange"
	"trellis/internal/shape"
)

// closeCircle registers the proxy's own listener as the only target of svc-1.
func closeCircle(w *world) {
	w.storefront()
	w.put(w.targets("tg-1", w.proxy.Addr(80).String()))
}

func TestRequestThatLoopsIsAnswered508(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Explain = true })
	closeCircle(w)
	response := w.dial().get("/")
	if response.StatusCode != 508 || response.body != "Loop Detected" {
		t.Errorf("answered %d %q, want 508", response.StatusCode, response.body)
	}
	if problem := response.Header.Get("x-trellis-problem"); !strings.Contains(problem, "passed through Trellis 16 times") {
		t.Errorf("x-trellis-problem is %q", problem)
	}
	records := w.accessLog(exchange.MaxHops + 1)
	passes := len(records)
	if failed := failedOf(records); passes != exchange.MaxHops+1 || len(failed) != 1 || failed[0].Failure != accesslog.TargetConnectionError || failed[0].Problem != exchange.Loop.Problem {
		t.Errorf("%d passes are recorded, of which failed %+v", passes, failed)
	}
}

// failedOf returns the exchanges that failed. Those around them have passed a response on.
func failedOf(records []accesslog.Record) []accesslog.Record {
	return slices.DeleteFunc(records, func(r accesslog.Record) bool { return r.Failure == "" })
}

func TestRequestThatLoopsThroughAnotherNodeIsDetected(t *testing.T) {
	one, other := newWorld(t), newWorld(t)
	one.storefront()
	other.storefront(one.proxy.Addr(80).String())
	one.put(one.targets("tg-1", other.proxy.Addr(80).String()))
	if response := one.dial().get("/"); response.StatusCode != 508 {
		t.Errorf("answered %d, want 508", response.StatusCode)
	}
	one.accessLog(exchange.MaxHops/2 + 1)
	other.accessLog(exchange.MaxHops / 2)
}

func TestHTTP2RequestThatLoopsIsDetected(t *testing.T) {
	for _, version := range []shape.TargetGroupProtocolVersion{shape.TargetGroupProtocolVersionHttp1, shape.TargetGroupProtocolVersionHttp2} {
		t.Run(string(version), func(t *testing.T) {
			w := newWorld(t)
			w.storefront()
			w.setVersion("tg-1", version)
			w.put(w.targets("tg-1", w.proxy.Addr(80).String()))
			var protocols http.Protocols
			protocols.SetUnencryptedHTTP2(true)
			client := http.Client{Transport: &http.Transport{Protocols: &protocols}}
			defer client.CloseIdleConnections()
			request, err := http.NewRequest("GET", "http://"+w.proxy.Addr(80).String()+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = host
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if body, _ := io.ReadAll(response.Body); response.StatusCode != 508 || string(body) != "Loop Detected" {
				t.Errorf("answered %d %q, want 508", response.StatusCode, body)
			}
		})
	}
}

func TestOneServiceMayCallAnotherThroughItsListener(t *testing.T) {
	address, requests := recording(t)
	w := newWorld(t)
	w.storefront()
	w.targetGroup("tg-2", shape.TargetGroupProtocolHttp, address)
	w.put(
		&lattice.Service{Base: w.base("svc-2"), DomainName: "other.lattice.test", IdleTimeoutSeconds: 60},
		&lattice.ServiceNetworkServiceAssociation{Base: w.base("snsa-2"), ServiceID: "svc-2", ServiceNetworkID: "sn-1"},
		&lattice.Listener{Base: w.base("listener-2"), ServiceID: "svc-2", Protocol: shape.ListenerProtocolHttp, Port: 81, DefaultRuleID: "rule-default"},
		&lattice.Rule{Base: w.base("rule-default"), ServiceID: "svc-2", ListenerID: "listener-2", IsDefault: true,
			Priority: lattice.DefaultRulePriority, Action: forwardTo("tg-2"), TargetGroupIDs: []string{"tg-2"}},
	)
	w.put(w.targets("tg-1", backend(t, func(conn net.Conn, r *bufio.Reader) {
		for request := readRequest(r); request != nil; request = readRequest(r) {
			// The caller of the other service passes the headers on, as programs that trace requests do.
			c := w.dialPort(81)
			c.send("GET / HTTP/1.1\r\nHost: other.lattice.test\r\nCDN-Loop: %s\r\n\r\n", strings.Join(request.Header.Values("CDN-Loop"), ", "))
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"+c.receive("GET").body)
		}
	})))
	if response := w.dial().get("/", "CDN-Loop: elsewhere; id=1"); response.StatusCode != 200 {
		t.Errorf("answered %d", response.StatusCode)
	}
	if got := next(t, requests).Header.Values("CDN-Loop"); strings.Join(got, ", ") != "elsewhere; id=1, trellis, trellis" {
		t.Errorf("the target got CDN-Loop %q", got)
	}
}

func TestEachPassThroughTrellisCounts(t *testing.T) {
	w := newWorld(t)
	w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	for lines, status := range map[string]int{
		"CDN-Loop: trellis": 200,
		"CDN-Loop: " + strings.Repeat("trellis, ", 14) + "trellis":                                              200,
		"CDN-Loop: " + strings.Repeat("trellis, ", 15) + "TRELLIS; of=us":                                       508,
		"CDN-Loop: " + strings.Repeat("trellis, ", 7) + "trellis\r\ncdn-loop: " + strings.Repeat("trellis,", 8): 508,
		"CDN-Loop: " + strings.Repeat("other, trellis2, x;trellis, ", 30):                                       200,
	} {
		if response := w.dial().get("/", lines); response.StatusCode != status {
			t.Errorf("%s: answered %d, want %d", lines, response.StatusCode, status)
		}
	}
}

func TestPassedThroughConnectionThatLoopsIsDetected(t *testing.T) {
	w := newSecureWorld(t)
	w.passthrough()
	w.put(w.targets("tg-1", w.proxy.Addr(443).String()))
	conn := tls.Client(w.dialPort(443).Conn, w.client(customHost))
	if err := conn.Handshake(); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("the handshake gives %v, want the alert internal_error", err)
	}
	conn.Close()
	records := w.accessLog(exchange.MaxHops + 1)
	passes := len(records)
	if failed := failedOf(records); passes != exchange.MaxHops+1 || len(failed) != 1 || failed[0].Failure != accesslog.TargetConnectionError || failed[0].Problem != exchange.Loop.Problem {
		t.Errorf("%d passes are recorded, of which failed %+v", passes, failed)
	}
}

func TestManyClientsArePassedThroughAtOnce(t *testing.T) {
	w := newSecureWorld(t)
	w.passthrough(secureBackend(t, w.site(customHost), echoTLS))
	for range 3 * exchange.MaxHops {
		if _, err := w.tls(w.client(customHost)); err != nil {
			t.Fatal(err)
		}
	}
}
