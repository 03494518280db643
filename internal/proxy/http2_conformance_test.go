package proxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"trellis/internal/lattice"
)

// buildH2spec returns the path of the conformance suite's program. "go tool" would take longer to find it than it takes to run.
var buildH2spec = sync.OnceValues(func() (string, error) {
	path, err := exec.Command("go", "tool", "-n", "h2spec").Output()
	return strings.TrimSpace(string(path)), err
})

// h2spec runs the conformance suite, and shows its output if it fails.
func h2spec(t *testing.T, arguments ...string) {
	t.Helper()
	program, err := buildH2spec()
	if err != nil {
		t.Fatalf("go tool -n h2spec: %v", err)
	}
	// The timeout is for a response that does not come.
	arguments = append([]string{"--strict", "--timeout", "60"}, arguments...)
	output, err := exec.CommandContext(t.Context(), program, arguments...).CombinedOutput()
	if err != nil {
		text := string(output)
		if at := strings.Index(text, "Failures:"); at >= 0 {
			text = text[at:]
		}
		t.Errorf("h2spec: %v\n%s", err, text)
	}
}

// greeter is a target with a short answer.
func greeter(t *testing.T) string {
	target := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		io.WriteString(out, "hello")
	}))
	t.Cleanup(target.Close)
	return target.Listener.Addr().String()
}

// answerTo lets svc-1 answer to another name.
func (w *world) answerTo(name string) {
	service := *w.records[lattice.ServiceKey(scope, "svc-1")].(*lattice.Service)
	service.CustomDomainName = name
	w.put(&service)
}

func TestHTTP2OnAnHTTPListenerConforms(t *testing.T) {
	w := newWorld(t)
	w.storefront(greeter(t))
	w.answerTo("localhost")
	h2spec(t, "--host", "localhost", "--port", port(w, 80), "--path", "/")
}

func TestHTTP2OnAnHTTPSListenerConforms(t *testing.T) {
	w := newSecureWorld(t)
	w.https(greeter(t))
	w.answerTo("localhost")
	h2spec(t, "--tls", "--insecure", "--host", "localhost", "--port", port(w.world, 443), "--path", "/")
}

func port(w *world, listenerPort int) string {
	_, number, _ := net.SplitHostPort(w.proxy.Addr(listenerPort).String())
	return number
}
