package main

import (
	"testing"
	"time"
)

func TestFailedRequestsOfH2loadAreToldApart(t *testing.T) {
	// As h2load 1.52 prints it for nginx; 64 requests were in flight when the time was up.
	const out = `
finished in 1.01s, 1562.00 req/s, 257.09KB/s
requests: 1562 total, 1626 started, 1562 done, 1559 succeeded, 3 failed, 1 errored, 0 timeout
status codes: 1559 2xx, 0 3xx, 0 4xx, 2 5xx
`
	if _, err := parseH2load(out); err == nil {
		t.Error("three failures of 1,562 are accepted, want an error")
	}
	const few = `
finished in 3.00s, 4248.00 req/s, 257.09KB/s
requests: 12744 total, 12808 started, 12744 done, 12741 succeeded, 3 failed, 2 errored, 0 timeout
`
	want := load{requests: 12741, duration: 3 * time.Second, failed: failed{refused: 1, unanswered: 2}}
	if got, err := parseH2load(few); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseH2load("requests: none"); err == nil {
		t.Error("output without figures is accepted, want an error")
	}
}
