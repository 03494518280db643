package proxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"trellis/internal/lattice"
)

// h2spec returns what the conformance suite says when it fails.
func h2spec(t *testing.T, arguments ...string) {
	t.Helper()
	arguments = append([]string{"tool", "h2spec", "--strict", "--timeout", "10"}, arguments...)
	output, err := exec.CommandContext(t.Context(), "go", arguments...).CombinedOutput()
	if err != nil {
		text := string(output)
		if at := strings.Index(text, "Failures:"); at >= 0 {
			text = text[at:]
		}
		t.Errorf("h2spec: %v\n%s", err, text)
	}
}

// conformanceWorld is a world whose service answers to localhost.
func conformanceWorld(t *testing.T) *world {
	w := newWorld(t)
	target := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		io.WriteString(out, "hello")
	}))
	t.Cleanup(target.Close)
	w.storefront(target.Listener.Addr().String())
	service := *w.records[lattice.ServiceKey(scope, "svc-1")].(*lattice.Service)
	service.CustomDomainName = "127.0.0.1"
	w.put(&service)
	return w
}

func TestHTTP2OnAnHTTPListenerConforms(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	w := conformanceWorld(t)
	_, port, _ := net.SplitHostPort(w.proxy.Addr(80).String())
	h2spec(t, "--host", "127.0.0.1", "--port", port, "--path", "/")
}
