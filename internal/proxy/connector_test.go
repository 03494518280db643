package proxy

import (
	"strings"
	"testing"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// novel is a connector of an unknown kind.
type novel struct{}

func (novel) Close() {}

// connectBy replaces the connectors of targets from now on.
func (w *world) connectBy(connect func(*routing.Target) routing.Connector) {
	w.router = routing.NewRouter(routing.Config{Connect: connect})
	for _, record := range w.records {
		w.router.Apply([]lattice.Change{{New: record}})
	}
	w.proxy.SetPorts(w.router.Ports())
}

func TestTargetWithAnUnknownConnectorIsAnsweredFor(t *testing.T) {
	w := newWorld(t)
	w.storefront(refusing(t))
	w.connectBy(func(*routing.Target) routing.Connector { return novel{} })
	c := w.dial()
	for range 2 { // The connection goes on.
		if got := c.get("/"); got.StatusCode != 500 {
			t.Errorf("HTTP/1.1: %d", got.StatusCode)
		}
	}
	if got := fetch(t, w.http2Client(), "GET", "/", nil); got.StatusCode != 500 {
		t.Errorf("HTTP/2: %d", got.StatusCode)
	}
	for _, record := range w.accessLog(3) {
		if record.Failure != accesslog.InternalError || record.Problem == nil || !strings.Contains(record.Problem.Error(), "proxy.novel") {
			t.Errorf("record %q, %v", record.Failure, record.Problem)
		}
	}
}

// http2Carrier returns a carrier of HTTP/2 for a target of a group of HTTP/1.1.
func http2Carrier(w *world, target *routing.Target) routing.Connector {
	speaking := *target
	group := routing.TargetGroup{ProtocolVersion: shape.TargetGroupProtocolVersionHttp2}
	speaking.Group = &group
	return w.proxy.NewConnector(&speaking)
}

func TestConnectorOfHTTP2DoesNotServeHTTP1(t *testing.T) {
	w := newWorld(t)
	w.storefront(refusing(t))
	w.connectBy(func(target *routing.Target) routing.Connector { return http2Carrier(w, target) })
	if got := w.dial().get("/"); got.StatusCode != 500 {
		t.Errorf("got %d", got.StatusCode)
	}
	if record := w.accessLog(1)[0]; record.Failure != accesslog.InternalError || !strings.Contains(record.Problem.Error(), "*upstream.HTTP2Pool") {
		t.Errorf("record %q, %v", record.Failure, record.Problem)
	}
}

func TestPassthroughToAnUnknownConnectorIsEndedAndRecorded(t *testing.T) {
	w := newSecureWorld(t)
	w.passthrough(refusing(t))
	w.connectBy(func(*routing.Target) routing.Connector { return novel{} })
	c := w.dialPort(443)
	c.Conn.Write(recordHello(t, w.client(customHost)))
	if b, err := c.Reader.ReadByte(); err != nil || b != 21 {
		t.Errorf("byte %d, %v; want an alert", b, err)
	}
	if record := w.accessLog(1)[0]; record.Failure != accesslog.InternalError || !strings.Contains(record.Problem.Error(), "proxy.novel") {
		t.Errorf("record %q, %v", record.Failure, record.Problem)
	}
}
