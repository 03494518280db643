package proxy

import (
	"net/http"
	"strings"
	"testing"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// TestWhatNeedsAuthorizationIsDenied: auth policies are not evaluated yet, and nothing may pass that would need one.
func TestWhatNeedsAuthorizationIsDenied(t *testing.T) {
	w := newWorld(t)
	w.service("svc-1", 80, &shape.RuleAction{FixedResponse: &shape.FixedResponseAction{StatusCode: new(int32(500))}})
	ask := func() (int, string) {
		t.Helper()
		request, err := http.NewRequest("GET", "http://"+w.proxy.Addr(80).String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "svc-1.lattice.test"
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text := make([]byte, 100)
		n, _ := response.Body.Read(text)
		return response.StatusCode, string(text[:n])
	}
	setService := func(authType shape.AuthType) {
		service := *w.records[lattice.ServiceKey(scope, "svc-1")].(*lattice.Service)
		service.AuthType = authType
		w.put(&service)
	}
	setNetwork := func(authType shape.AuthType) {
		network := *w.records[lattice.ServiceNetworkKey(scope, "sn-1")].(*lattice.ServiceNetwork)
		network.AuthType = authType
		w.put(&network)
	}
	for _, step := range []struct {
		name   string
		change func()
		want   int
	}{
		{"neither", func() {}, 500},
		{"the service", func() { setService(shape.AuthTypeAwsIam) }, 403},
		{"the service no longer", func() { setService(shape.AuthTypeNone) }, 500},
		{"the service network", func() { setNetwork(shape.AuthTypeAwsIam) }, 403},
		{"the service network no longer", func() { setNetwork(shape.AuthTypeNone) }, 500},
	} {
		step.change()
		status, text := ask()
		if status != step.want || status == 403 && !strings.HasPrefix(text, "AccessDeniedException: ") {
			t.Errorf("%s: %d %q, want %d", step.name, status, text, step.want)
		}
	}
	var denied int
	for _, record := range w.accessLog(5) {
		if record.Failure == accesslog.ClientAccessDenied {
			denied++
		}
	}
	if denied != 2 {
		t.Errorf("the access log has %d denied requests, want 2", denied)
	}
}
