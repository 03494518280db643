package stories_test

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"trellis/test/trellistest"
)

// scraped returns the values of a metric's series that are not zero, by the values of some labels. Of histograms these are the
// counts.
func scraped(t *testing.T, admin, name string, by ...string) map[string]float64 {
	t.Helper()
	response := must(http.Get(admin + "/metrics"))(t)
	defer response.Body.Close()
	values := trellistest.Samples(t, response.Body, name, by...)
	maps.DeleteFunc(values, func(_ string, n float64) bool { return n == 0 })
	return values
}

// TestMetricsCountWhatClientsOfAllKindsCount sends requests of all kinds, by HTTP/1.1, HTTP/2, gRPC, to functions, connections that are
// passed through, and ones to a resource, and compares what clients have seen with what is counted.
func TestMetricsCountWhatClientsOfAllKindsCount(t *testing.T) {
	factor := soakFactor(t)
	dir, l := t.TempDir(), newLogged(t)
	p := l.start(t, trellistest.Build(t), dir, "--access-logs", "none")
	l.build(t, client(t, p.API, filepath.Join(dir, "credentials")), func(string) {})
	l.sendMany(t, "counted", kindsOfRequests, func(kind kindOfRequest) int { return 2 * kind.share * factor })
	if t.Failed() {
		return
	}

	requests, failures, groups := map[string]float64{}, map[string]float64{}, map[string]float64{}
	invocations, forwarded := map[string]float64{}, 0.0
	for _, want := range l.expected {
		service, group := "web", "web"
		switch {
		case want.kind == "denied":
			service, group = "guarded", ""
		case strings.HasPrefix(want.kind, "of a function"):
			service, group = "order", "order"
			invocations[map[string]string{"-": "", "LambdaUnhandled": "handler", "LambdaInvalidResponse": ""}[want.reason]]++
		case want.kind == "fixed":
			group = ""
		case want.kind == "gRPC":
			group = "grpc"
		case want.kind == "no target":
			group = "none"
		case want.kind == "a target that refuses":
			group = "refused"
		}
		status := "4xx" // A client that has gone has not seen it.
		if want.status != 0 {
			status = fmt.Sprintf("%dxx", want.status/100)
		}
		requests[service+" "+status]++
		if want.reason != "-" {
			failures[service+" "+want.reason]++
		}
		if group != "" {
			groups[group]++
			forwarded++
		}
	}
	same := func(what string, want map[string]float64, name string, by ...string) {
		t.Helper()
		var got map[string]float64
		// An exchange is counted once its response has been sent.
		trellistest.Await(t, func() bool {
			got = scraped(t, p.Admin, name, by...)
			sum := 0.0
			for _, n := range got {
				sum += n
			}
			for _, n := range want {
				sum -= n
			}
			return sum >= 0
		}, "%s are counted", what)
		if !maps.Equal(got, want) {
			t.Errorf("%s counts %v, clients had %v", name, got, want)
		}
	}
	same("requests by service", requests, "trellis_service_requests_total", "service_name", "status")
	same("failures by service", failures, "trellis_service_failures_total", "service_name", "failure")
	same("requests by target group", groups, "trellis_target_group_requests_total", "target_group_name")
	same("durations by target group", groups, "trellis_target_group_request_duration_seconds", "target_group_name")
	same("durations", map[string]float64{"": float64(len(l.expected))}, "trellis_service_request_duration_seconds")
	same("passed connections of the service", map[string]float64{"sealed": float64(l.tunnels)}, "trellis_service_passed_connections_total", "service_name")
	same("passed connections to the target group", map[string]float64{"sealed": float64(l.tunnels)}, "trellis_target_group_passed_connections_total", "target_group_name")
	same("connections to the resource", map[string]float64{"database": float64(l.reached)}, "trellis_resource_connections_total", "resource_configuration_name")
	same("bytes of the resource", map[string]float64{"database": float64(l.reached * len(greeting))}, "trellis_resource_sent_bytes_total", "resource_configuration_name")
	same("invocations", invocations, "trellis_function_invocations_total", "error")
	trellistest.Await(t, func() bool {
		return len(scraped(t, p.Admin, "trellis_target_group_active_requests")) == 0 && len(scraped(t, p.Admin, "trellis_resource_active_connections")) == 0
	}, "nothing is active any more")
	for _, name := range []string{"trellis_resource_failures_total", "trellis_unrouted_requests_total", "trellis_unrouted_failures_total"} {
		if got := scraped(t, p.Admin, name, "failure"); len(got) > 0 {
			t.Errorf("%s counts %v", name, got)
		}
	}
	t.Logf("%d requests, %v of them forwarded, %d passed connections and %d to a resource are counted exactly", len(l.expected), forwarded, l.tunnels, l.reached)
}
