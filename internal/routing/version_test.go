package routing

import (
	"strings"
	"testing"

	"trellis/internal/shape"
)

func TestTargetGroupsCarryWhatTheirVersionAllows(t *testing.T) {
	const http1, http2, grpc = shape.TargetGroupProtocolVersionHttp1, shape.TargetGroupProtocolVersionHttp2, shape.TargetGroupProtocolVersionGrpc
	for _, test := range []struct {
		method, contentType string
		to                  shape.TargetGroupProtocolVersion
		by1, by2            bool
		needs               string
	}{
		{"GET", "", http1, true, true, ""},
		{"GET", "", http2, false, true, "HTTP/2"},
		{"GET", "", grpc, false, false, "HTTP/2 and the method POST"},
		{"POST", "text/plain", http1, true, true, ""},
		{"POST", "text/plain", http2, false, true, "HTTP/2"},
		{"POST", "text/plain", grpc, false, true, "HTTP/2"},
		{"POST", "application/grpc", http1, true, false, "HTTP/1.1"},
		{"POST", "application/grpc", http2, false, true, "HTTP/2"},
		{"POST", "application/grpc", grpc, false, true, "HTTP/2"},
		{"POST", "Application/GRPC+proto", http1, true, false, "HTTP/1.1"},
		{"POST", "application/grpc;x=y", http1, true, false, "HTTP/1.1"},
		{"POST", "application/grpc-web", http1, true, true, ""},
		{"GET", "application/grpc", http1, true, true, ""},
	} {
		g := &TargetGroup{ProtocolVersion: test.to}
		request := &Request{Method: []byte(test.method), Headers: lines{{"content-type", test.contentType}}}
		needs, met := g.needs(request)
		if by1, by2 := g.Carries(HTTP1, request), g.Carries(HTTP2, request); by1 != test.by1 || by2 != test.by2 || needs != test.needs || met != (by1 || by2) {
			t.Errorf("%s of %q to %s: %v by HTTP/1.1, %v by HTTP/2, needs %q", test.method, test.contentType, test.to, by1, by2, needs)
		}
	}
	if !(&TargetGroup{Protocol: shape.TargetGroupProtocolTcp}).Carries(HTTP1, nil) {
		t.Error("a passthrough listener has no request to ask about")
	}
}

func TestExplainSaysWhatATargetGroupNeeds(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1")
	calls := w.targetGroup("tg-2")
	config := *calls.Config
	config.ProtocolVersion = shape.TargetGroupProtocolVersionGrpc
	calls.Config = &config
	w.put(calls, w.rule("svc-1", "listener-1", "rule-1", 1, pathPrefix("/calls"), forwardTo("tg-2")))
	got := w.Explain(80, "svc-1.lattice.test", &Arrival{Request: get("/calls")})
	if !strings.HasSuffix(got.Problem, "tg-2 needs HTTP/2 and the method POST") || got.TargetGroups[0].Needs != "HTTP/2 and the method POST" {
		t.Errorf("GET: problem %q, needs %q", got.Problem, got.TargetGroups[0].Needs)
	}
	request := get("/calls")
	request.Method = []byte("POST")
	got = w.Explain(80, "svc-1.lattice.test", &Arrival{Request: request})
	if !strings.HasSuffix(got.Problem, "tg-2 has no target that requests can be sent to") || got.TargetGroups[0].Needs != "HTTP/2" {
		t.Errorf("POST: problem %q, needs %q", got.Problem, got.TargetGroups[0].Needs)
	}
}
