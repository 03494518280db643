package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trellis/internal/api"
	"trellis/internal/api/apitest"
)

// anyAccount is an Authenticator that takes the account that the request names.
type anyAccount struct{}

func (anyAccount) Authenticate(r *http.Request, _ func() ([]byte, error)) (api.Caller, error) {
	return api.Caller{Account: r.Header.Get("X-Account")}, nil
}

func done(context.Context, string, api.Caller, any) error { return nil }

// list sends a request of an account and returns the response.
func list(h http.Handler, account string) *http.Response {
	r := httptest.NewRequest("GET", "/services", nil)
	r.Header.Set("X-Account", account)
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	return recorder.Result()
}

func TestAccountThatCallsTooOftenIsThrottledAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := api.NewHandler(api.Config{
			Operations: apitest.Operations(done), Authenticator: anyAccount{}, Limits: api.Limits{Rate: 0.5, Burst: 3},
		})
		for n := range 3 {
			if res := list(h, "1"); res.StatusCode != 200 {
				t.Fatalf("call %d of the burst is answered %d", n, res.StatusCode)
			}
		}
		res := list(h, "1")
		if res.StatusCode != 429 || res.Header.Get("x-amzn-ErrorType") != "ThrottlingException" || res.Header.Get("Retry-After") != "2" {
			t.Errorf("the next call is answered %d %s, Retry-After %q", res.StatusCode, res.Header.Get("x-amzn-ErrorType"), res.Header.Get("Retry-After"))
		}
		if res := list(h, "2"); res.StatusCode != 200 {
			t.Errorf("another account is answered %d", res.StatusCode)
		}
		time.Sleep(2 * time.Second)
		if res := list(h, "1"); res.StatusCode != 200 {
			t.Errorf("after the time that it was told to wait it is answered %d", res.StatusCode)
		}
		if res := list(h, "1"); res.StatusCode != 429 {
			t.Errorf("the call after it is answered %d", res.StatusCode)
		}
	})
}

func TestRefusedCallsDoNotDelayTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := api.NewHandler(api.Config{
			Operations: apitest.Operations(done), Authenticator: anyAccount{}, Limits: api.Limits{Rate: 1, Burst: 1},
		})
		list(h, "1")
		for range 100 {
			list(h, "1")
		}
		time.Sleep(time.Second)
		if res := list(h, "1"); res.StatusCode != 200 {
			t.Errorf("answered %d", res.StatusCode)
		}
	})
}

func TestLimitsHoldForManyAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := api.NewHandler(api.Config{
			Operations: apitest.Operations(done), Authenticator: anyAccount{}, Limits: api.Limits{Rate: 0.001, Burst: 1},
		})
		for n := range 5000 {
			if res := list(h, fmt.Sprint(n)); res.StatusCode != 200 {
				t.Fatalf("the first call of account %d is answered %d", n, res.StatusCode)
			}
		}
		if res := list(h, "4999"); res.StatusCode != 429 {
			t.Errorf("the second call is answered %d", res.StatusCode)
		}
	})
}

func TestConcurrencyLimitsOperationsAndTheNextOneWaitsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		h := api.NewHandler(api.Config{
			Operations: apitest.Operations(func(context.Context, string, api.Caller, any) error {
				most.Store(max(most.Load(), running.Add(1)))
				time.Sleep(3 * time.Second)
				running.Add(-1)
				return nil
			}),
			Authenticator: anyAccount{}, Limits: api.Limits{Concurrency: 2},
		})
		statuses := make(chan int, 10)
		send := func() { statuses <- list(h, "1").StatusCode }
		go send()
		go send()
		time.Sleep(time.Second)
		go send() // gives up after a second
		time.Sleep(1500 * time.Millisecond)
		go send() // gets the place that is free half a second later
		time.Sleep(time.Minute)
		counts := map[int]int{}
		for range 4 {
			counts[<-statuses]++
		}
		if counts[200] != 3 || counts[429] != 1 || most.Load() != 2 {
			t.Errorf("the responses are %v, want three times 200 and one 429; %d operations ran at once, want 2", counts, most.Load())
		}
	})
}

func TestOperationThatPanicsMakesRoomForTheNext(t *testing.T) {
	h := api.NewHandler(api.Config{
		Operations:    apitest.Operations(func(context.Context, string, api.Caller, any) error { panic("broken") }),
		Authenticator: anyAccount{}, Limits: api.Limits{Concurrency: 1},
	})
	for range 3 {
		if res := list(h, "1"); res.StatusCode != 500 {
			t.Fatalf("answered %d, want 500", res.StatusCode)
		}
	}
}
