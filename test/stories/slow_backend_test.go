package stories_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// slowBackend is a target that answers hello. A request for /slow closes arrived, and is answered once answer has been
// called.
func slowBackend(t *testing.T) (address string, arrived <-chan struct{}, answer func()) {
	t.Helper()
	came, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(came)
			<-release
		}
		fmt.Fprint(w, "hello")
	}))
	answer = sync.OnceFunc(func() { close(release) })
	t.Cleanup(func() {
		answer()
		server.Close()
	})
	return server.Listener.Addr().String(), came, answer
}
