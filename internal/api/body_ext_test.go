package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"trellis/internal/api"
	"trellis/internal/api/apitest"
)

// slowBody is a body of which a part comes at once, and the rest never.
type slowBody struct {
	now     *strings.Reader
	waiting func()
	over    chan struct{}
}

func (b *slowBody) Read(p []byte) (int, error) {
	if n, err := b.now.Read(p); err == nil {
		return n, nil
	}
	b.waiting()
	<-b.over
	return 0, io.ErrUnexpectedEOF
}

func (b *slowBody) Close() error { return nil }

// slowly sends n requests with bodies of which only a part comes. It returns once each has been answered or waits for the
// rest, with how many were answered 429. end breaks the bodies off.
func slowly(t *testing.T, h http.Handler, n, declared, sent int) (throttled int, end func()) {
	t.Helper()
	over := make(chan struct{})
	stopped := make(chan int, 2*n)
	var ended sync.WaitGroup
	for range n {
		var once sync.Once
		r := httptest.NewRequest("POST", "/services", &slowBody{
			strings.NewReader(strings.Repeat(" ", sent)), func() { once.Do(func() { stopped <- 0 }) }, over})
		r.ContentLength = int64(declared)
		ended.Go(func() {
			recorder := httptest.NewRecorder()
			h.ServeHTTP(recorder, r)
			once.Do(func() { stopped <- recorder.Code })
		})
	}
	for range n {
		switch code := <-stopped; code {
		case 0:
		case http.StatusTooManyRequests:
			throttled++
		default:
			t.Errorf("answered %d", code)
		}
	}
	return throttled, sync.OnceFunc(func() {
		close(over)
		ended.Wait()
	})
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestDeclaredBodiesHoldNoMemoryBeforeTheyArrive(t *testing.T) {
	const requests = 500
	before := heap()
	_, end := slowly(t, answering(nil), requests, 1<<20, 1)
	defer end()
	if held := int64(heap()-before) / requests; held > 32<<10 {
		t.Errorf("each request holds %d bytes, want at most 32 KB", held)
	}
}

func TestLargeBodiesAreBoundedInTotal(t *testing.T) {
	h := api.NewHandler(api.Config{
		Operations:     apitest.Operations(func(context.Context, string, api.Caller, any) error { return nil }),
		Authenticator:  anybody{},
		TotalBodyBytes: 4 << 20,
	})
	post := func(size int) int {
		body := `{"name":"abc"}`
		return send(t, h, post("/services", body+strings.Repeat(" ", size-len(body)))).StatusCode
	}
	before := heap()
	throttled, end := slowly(t, h, 100, 1<<20, 900<<10)
	defer end()
	if throttled == 0 || throttled == 100 {
		t.Errorf("%d of 100 are throttled", throttled)
	}
	if held := int64(heap() - before); held > 12<<20 {
		t.Errorf("the requests hold %d bytes, want at most 12 MB", held)
	}
	if got := post(900 << 10); got != http.StatusTooManyRequests {
		t.Errorf("another large one is answered %d", got)
	}
	if got := post(16<<10 - 1); got >= 300 {
		t.Errorf("a small one is answered %d", got)
	}
	end()
	for range 10 { // More than fit at once: each gives its memory back.
		if got := post(900 << 10); got >= 300 {
			t.Errorf("once the others have ended, a large one is answered %d", got)
		}
	}
}

func TestBodyOfARequestRefusedByItsHeadIsNotRead(t *testing.T) {
	for name, tc := range map[string]struct {
		method, target string
		err            error
		length         int64
		status         int
	}{
		"unknown operation": {"POST", "/nothing", nil, 10, 404},
		"unsigned":          {"POST", "/services", &api.AuthenticationError{Code: "MissingAuthenticationToken"}, 10, 403},
		"too large":         {"POST", "/services", nil, 1<<20 + 1, 400},
	} {
		t.Run(name, func(t *testing.T) {
			h := api.NewHandler(api.Config{
				Operations:    apitest.Operations(func(context.Context, string, api.Caller, any) error { return nil }),
				Authenticator: head{tc.err},
			})
			over := make(chan struct{})
			close(over)
			r := httptest.NewRequest(tc.method, tc.target, &slowBody{strings.NewReader(""), func() { t.Error("the body is read") }, over})
			r.ContentLength = tc.length
			recorder := httptest.NewRecorder()
			h.ServeHTTP(recorder, r)
			if recorder.Code != tc.status {
				t.Errorf("answered %d", recorder.Code)
			}
		})
	}
}

// head is an Authenticator that does not look at bodies.
type head struct{ err error }

func (h head) Authenticate(*http.Request, func() ([]byte, error)) (api.Caller, error) {
	return api.Caller{Account: "123456789012", Region: "us-west-2"}, h.err
}
