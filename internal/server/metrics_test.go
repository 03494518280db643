package server

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"trellis/internal/metrics"
	"trellis/test/trellistest"
)

// scrape returns what Prometheus gets from the node.
func (r *running) scrape(t *testing.T) []byte {
	t.Helper()
	response, err := http.Get("http://" + r.server.adminListener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("GET /metrics: %s, %v", response.Status, err)
	}
	return body
}

// series returns the values of a metric's series, by the labels that are asked for. Histograms have their counts.
func (r *running) series(t *testing.T, name string, by ...string) map[string]float64 {
	t.Helper()
	return trellistest.Samples(t, bytes.NewReader(r.scrape(t)), name, by...)
}

// forwardingService makes a service whose listener forwards what comes to a target group, and returns its host and the ids.
func (r *running) forwardingService(t *testing.T, name, address string) (host, service, group string) {
	t.Helper()
	ctx, api := t.Context(), r.client(anybody())
	target, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	made, err := api.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{Name: new(name), Type: types.TargetGroupTypeIp, Config: &types.TargetGroupConfig{
		Port: new(int32(number)), Protocol: types.TargetGroupProtocolHttp, VpcIdentifier: new("vpc-0123456789abcdef0"),
		HealthCheck: &types.HealthCheckConfig{Enabled: new(false)}}})
	must(err)
	_, err = api.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: made.Id, Targets: []types.Target{{Id: &target}}})
	must(err)
	network, err := api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: new(name + "-network")})
	must(err)
	s, err := api.CreateService(ctx, &vpclattice.CreateServiceInput{Name: new(name)})
	must(err)
	_, err = api.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{ServiceIdentifier: s.Id, ServiceNetworkIdentifier: network.Id})
	must(err)
	_, err = api.CreateListener(ctx, &vpclattice.CreateListenerInput{ServiceIdentifier: s.Id, Name: new("http"), Protocol: types.ListenerProtocolHttp,
		DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: made.Id}}}}})
	must(err)
	return *s.DnsEntry.DomainName, *s.Id, *made.Id
}

func TestMetricsCountExactlyWhatClientsCount(t *testing.T) {
	node := start(t, "dev", "--port-map", "80=0")
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		w.WriteHeader(status)
	}))
	defer target.Close()
	works, worksID, worksGroup := node.forwardingService(t, "works", target.Listener.Addr().String())
	broken, brokenID, brokenGroup := node.forwardingService(t, "broken", fmt.Sprintf("127.0.0.1:%d", trellistest.FreePort(t)))
	at := "http://" + node.server.proxy.Addr(80).String()

	const clients, requests = 8, 200
	var mu sync.Mutex
	got := map[string]float64{} // by service and class of status
	var load sync.WaitGroup
	for client := range clients {
		load.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for i := range requests {
				kind := [...]struct{ service, host, path string }{
					{worksID, works, "/200"}, {worksID, works, "/204"}, {worksID, works, "/302"}, {worksID, works, "/404"}, {worksID, works, "/500"},
					{brokenID, broken, "/"}, {"", "nobody.example", "/"},
				}[(client+i)%7]
				request, err := http.NewRequest(http.MethodGet, at+kind.path, nil)
				if err != nil {
					t.Error(err)
					return
				}
				request.Host = kind.host
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
				mu.Lock()
				got[fmt.Sprintf("%s %dxx", kind.service, response.StatusCode/100)]++
				mu.Unlock()
			}
		})
	}
	load.Wait()

	// An exchange is counted once its response has been sent.
	counted := map[string]float64{}
	trellistest.Await(t, func() bool {
		counted = node.series(t, "trellis_service_requests_total", "service", "status")
		for status, n := range node.series(t, "trellis_unrouted_requests_total", "status") {
			counted[" "+status] = n
		}
		maps.DeleteFunc(counted, func(_ string, n float64) bool { return n == 0 })
		return maps.Equal(counted, got)
	}, "the counts are those of the clients")
	byGroup := node.series(t, "trellis_target_group_requests_total", "target_group")
	if all := got[worksID+" 2xx"] + got[worksID+" 3xx"] + got[worksID+" 4xx"] + got[worksID+" 5xx"]; byGroup[worksGroup] != all || byGroup[brokenGroup] != got[brokenID+" 5xx"] {
		t.Errorf("by target group there are %v, clients had %v", byGroup, got)
	}
	durations := node.series(t, "trellis_target_group_request_duration_seconds", "target_group")
	if !maps.Equal(durations, byGroup) {
		t.Errorf("there are %v durations of %v requests", durations, byGroup)
	}
	if failures := node.series(t, "trellis_service_failures_total", "service", "failure"); failures[brokenID+" TargetConnectionError"] != got[brokenID+" 5xx"] || len(failures) != 1 {
		t.Errorf("the failures are %v", failures)
	}
	if errors := node.series(t, "trellis_target_group_connection_errors_total", "target_group"); errors[brokenGroup] < got[brokenID+" 5xx"] {
		t.Errorf("the failed connections are %v", errors)
	}
	for group, n := range node.series(t, "trellis_target_group_active_requests", "target_group") {
		if n != 0 {
			t.Errorf("%v requests to %s are active", n, group)
		}
	}
}

func TestSeriesOfWhatIsDeletedGoAway(t *testing.T) {
	node := start(t, "dev", "--port-map", "80=0")
	target := httptest.NewServer(http.NotFoundHandler())
	defer target.Close()
	host, service, group := node.forwardingService(t, "short", target.Listener.Addr().String())
	node.ask(t, host, "/")
	trellistest.Await(t, func() bool { return node.series(t, "trellis_service_requests_total", "service")[service] == 1 }, "the request is counted")
	ctx, api := t.Context(), node.client(anybody())
	associations, err := api.ListServiceNetworkServiceAssociations(ctx, &vpclattice.ListServiceNetworkServiceAssociationsInput{ServiceIdentifier: &service})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range associations.Items {
		if _, err := api.DeleteServiceNetworkServiceAssociation(ctx, &vpclattice.DeleteServiceNetworkServiceAssociationInput{ServiceNetworkServiceAssociationIdentifier: a.Id}); err != nil {
			t.Fatal(err)
		}
	}
	if node.series(t, "trellis_service_requests_total", "service")[service] != 1 {
		t.Error("what was counted is gone, though the service is there")
	}
	if _, err := api.DeleteService(ctx, &vpclattice.DeleteServiceInput{ServiceIdentifier: &service}); err != nil {
		t.Fatal(err)
	}
	trellistest.Await(t, func() bool {
		_, err := api.DeregisterTargets(ctx, &vpclattice.DeregisterTargetsInput{TargetGroupIdentifier: &group, Targets: []types.Target{{Id: new("127.0.0.1")}}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = api.DeleteTargetGroup(ctx, &vpclattice.DeleteTargetGroupInput{TargetGroupIdentifier: &group})
		return err == nil
	}, "the target group is deleted")
	if scraped := string(node.scrape(t)); strings.Contains(scraped, service) || strings.Contains(scraped, group) {
		t.Errorf("there are series of %s or %s", service, group)
	}
}

// Whatever is scraped is on the page of the metrics (internal/metrics checks that), and is as Prometheus wants metrics to be.
func TestMetricsAreDefinedAndWellFormed(t *testing.T) {
	node := start(t, "dev", "--port-map", "80=0")
	node.serviceOnPort80(t)
	node.ask(t, "nobody.example", "/")
	node.theService(t)
	scraped := node.scrape(t)
	problems, err := promlint.New(bytes.NewReader(scraped)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "trellis_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
	defined := map[string]bool{}
	for _, d := range metrics.Definitions() {
		defined[d.Name] = true
	}
	for line := range strings.Lines(string(scraped)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[1] == "TYPE" && strings.HasPrefix(fields[2], "trellis_") && !defined[fields[2]] {
			t.Errorf("%s is not among metrics.Definitions", fields[2])
		}
	}
	if calls := node.series(t, "trellis_api_requests_total", "operation", "code"); calls["CreateService "] == 0 {
		t.Errorf("the calls of the API are %v", slices.Sorted(maps.Keys(calls)))
	}
}
