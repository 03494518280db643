package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"trellis/internal/metrics"
	"trellis/test/trellistest"
)

// prometheus is a real one that scrapes a node.
type prometheus struct{ url string }

// programs returns where prometheus and promtool are.
func programs(t *testing.T) (server, tool string) {
	t.Helper()
	if testing.Short() {
		t.Skip("installs Debian's prometheus")
	}
	server, tool, _ = strings.Cut(trellistest.Install(t, "prometheus.sh"), "\n")
	return server, tool
}

// startPrometheus runs Prometheus with the configuration and the alerts of deploy/, except for the address of the node and for how
// often it looks.
func (r *running) startPrometheus(t *testing.T, program string) prometheus {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"prometheus.yml", "alerts.yml"} {
		content, err := os.ReadFile("../../deploy/prometheus/" + name)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.NewReplacer("127.0.0.1:7601", r.server.adminListener.Addr().String(), "_interval: 15s", "_interval: 1s").Replace(string(content))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := fmt.Sprintf("127.0.0.1:%d", trellistest.FreePort(t))
	log := &trellistest.Text{}
	command := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
		command.Process.Kill()
		command.Wait()
	})
	p := prometheus{"http://" + address}
	trellistest.Await(t, func() bool {
		response, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == 200
	}, "Prometheus is ready")
	return p
}

// get returns the data of an answer of Prometheus's API.
func (p prometheus) get(t *testing.T, path string, into any) {
	t.Helper()
	response, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := struct {
		Error string
		Data  any
	}{Data: into}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Error != "" {
		t.Fatalf("%s: %v, %s", path, err, body)
	}
}

// query returns the values of a query's result.
func (p prometheus) query(t *testing.T, query string) (values []string) {
	t.Helper()
	var data struct {
		Result []struct{ Value [2]any }
	}
	p.get(t, "/api/v1/query?query="+url.QueryEscape(query), &data)
	for _, result := range data.Result {
		values = append(values, result.Value[1].(string))
	}
	return values
}

var trellisMetric = regexp.MustCompile(`\btrellis_\w+`)

// checkNames reports metrics in a query that do not exist.
func checkNames(t *testing.T, query string) {
	t.Helper()
	known := map[string]bool{}
	for _, d := range metrics.Definitions() {
		known[d.Name] = true
	}
	for _, name := range trellisMetric.FindAllString(query, -1) {
		if !known[name] && !known[strings.TrimSuffix(name, "_bucket")] {
			t.Errorf("%s is no metric: %s", name, query)
		}
	}
}

// dashboardQueries returns the queries of the dashboard, with a value for each variable.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	content, err := os.ReadFile("../../deploy/grafana/trellis.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels     []struct{ Targets []struct{ Expr string } }
		Templating struct {
			List []struct{ Definition string }
		}
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	replacer := strings.NewReplacer("$__rate_interval", "1m", "$service", ".*", "$target_group", ".*", "$instance", ".*")
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, replacer.Replace(target.Expr))
		}
	}
	labelValues := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)
	for _, variable := range dashboard.Templating.List {
		if variable.Definition == "" { // The data source.
			continue
		}
		parts := labelValues.FindStringSubmatch(variable.Definition)
		if parts == nil {
			t.Fatalf("the variable is %q", variable.Definition)
		}
		queries = append(queries, fmt.Sprintf("group by (%s) (%s)", parts[2], parts[1]))
	}
	return queries
}

// withoutTraffic are parts of queries that have no result in the test, since nothing of the kind happens in it.
var withoutTraffic = regexp.MustCompile(`function|failures_total|code!=`)

func TestDashboardAndAlertsAskPrometheusForWhatThereIs(t *testing.T) {
	program, tool := programs(t)
	addresses := trellistest.ResourceRange()
	node := start(t, "dev", "--port-map", "80=0", "--resource-range", addresses.String(),
		"--otlp-endpoint", trellistest.StartCollector(t).URL)
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer target.Close()
	host, _, _ := node.forwardingService(t, "works", target.Listener.Addr().String())
	port := greeter(t)
	resourceInNetwork(t, node.client(anybody()), "vpc-0123456789abcdef1", port)
	prometheus := node.startPrometheus(t, program)
	requests := 0
	send := func() {
		node.ask(t, host, "/")
		node.ask(t, "nobody.example", "/")
		if got, err := greetFrom("127.0.0.1", addresses.Addr().Next().String(), port); got != "hello" {
			t.Fatalf("the resource sends %q, %v", got, err)
		}
		requests++
	}
	send()
	// Rates need two scrapes between which something has happened.
	trellistest.Await(t, func() bool {
		send()
		values := prometheus.query(t, "rate(trellis_service_requests_total{status=\"2xx\"}[1m]) > 0")
		return len(values) == 1
	}, "Prometheus has a rate")

	for _, query := range dashboardQueries(t) {
		checkNames(t, query)
		if values := prometheus.query(t, query); len(values) == 0 && !withoutTraffic.MatchString(query) {
			t.Errorf("there is no result of %s", query)
		}
	}
	trellistest.Await(t, func() bool {
		values := prometheus.query(t, "sum(trellis_service_requests_total) == sum(trellis_target_group_requests_total)")
		return len(values) == 1 && values[0] == fmt.Sprint(requests)
	}, "Prometheus has all requests that were sent")

	type rule struct{ Name, Query, Health, LastError string }
	var rules []rule
	trellistest.Await(t, func() bool {
		var data struct {
			Groups []struct{ Rules []rule }
		}
		prometheus.get(t, "/api/v1/rules", &data)
		rules = nil
		for _, group := range data.Groups {
			rules = append(rules, group.Rules...)
		}
		for _, r := range rules {
			if r.Health == "unknown" {
				return false
			}
		}
		return len(rules) > 0
	}, "all rules are evaluated")
	for _, r := range rules {
		checkNames(t, r.Query)
		if r.Health != "ok" {
			t.Errorf("%s: %s", r.Name, r.LastError)
		}
	}
	for _, check := range []struct {
		args  []string
		input []byte
	}{
		{[]string{"check", "rules", "../../deploy/prometheus/alerts.yml"}, nil},
		{[]string{"check", "config", "../../deploy/prometheus/prometheus.yml"}, nil},
		{[]string{"check", "metrics"}, node.scrape(t)},
	} {
		command := exec.Command(tool, check.args...)
		command.Stdin = bytes.NewReader(check.input)
		out, err := command.CombinedOutput()
		if err != nil || check.input != nil && len(out) > 0 {
			t.Errorf("promtool %s: %v\n%s", strings.Join(check.args, " "), err, out)
		}
	}
}
