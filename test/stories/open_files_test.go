package stories_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// flood opens idle connections to an address, and returns what closes them.
func flood(t *testing.T, address string, n int) (end func()) {
	t.Helper()
	connections := make([]net.Conn, 0, n)
	end = func() {
		for _, c := range connections {
			c.Close()
		}
		connections = nil
	}
	t.Cleanup(end)
	for range n {
		c, err := net.DialTimeout("tcp", address, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		connections = append(connections, c)
	}
	return end
}

// usage is what /readyz reports about connections.
type usage struct{ Open, Limit, Closed int }

func usageOf(t *testing.T, p *trellistest.Process) map[string]usage {
	t.Helper()
	response, err := (&http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}).Get(p.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Connections map[string]usage }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Connections
}

func TestIdleConnectionsBeyondTheOpenFilesDoNotKeepOthersOut(t *testing.T) {
	t.Parallel()
	const files = 256
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer backend.Close()
	dir := t.TempDir()
	dataPort := trellistest.FreePort(t)
	data := fmt.Sprintf("127.0.0.1:%d", dataPort)
	program := trellistest.LimitFiles(t, trellistest.Build(t), files)
	p := trellistest.Start(t, program, "serve", "--data-dir", dir, "--port-map", fmt.Sprintf("80=%d", dataPort))
	c := client(t, p.API, filepath.Join(dir, "credentials"))
	n := buildNetwork(t, c, backend.Listener.Addr().String())
	expectAnswer(t, n.host, dataPort)

	api, admin := strings.TrimPrefix(p.API, "http://"), strings.TrimPrefix(p.Admin, "http://")
	floods := []struct {
		port, address string
		connections   int
	}{{"data", data, 2000}, {"api", api, 500}, {"admin", admin, 500}}
	var ends []func()
	for i, f := range floods {
		ends = append(ends, flood(t, f.address, f.connections))
		for j := range 5 {
			expectAnswer(t, n.host, dataPort)
			// A new client, and so a new connection.
			fresh := client(t, p.API, filepath.Join(dir, "credentials"))
			must(fresh.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{
				Name: aws.String(fmt.Sprintf("group-%d-%d", i, j)), Type: types.TargetGroupTypeLambda,
			}))(t)
			usageOf(t, p)
		}
	}
	full := usageOf(t, p)
	for _, f := range floods {
		if u := full[f.port]; u.Limit == 0 || u.Open > u.Limit+1 || u.Closed < f.connections-files {
			t.Errorf("%s: %+v", f.port, u)
		}
	}
	if got := must(c.GetTargetGroup(t.Context(), &vpclattice.GetTargetGroupInput{TargetGroupIdentifier: &n.targetGroup}))(t); got.Status != types.TargetGroupStatusActive {
		t.Errorf("the target group is %s", got.Status)
	}
	for _, said := range []string{"as many connections of clients as there may be", "as many connections as there may be"} {
		if !strings.Contains(p.Log(), said) {
			t.Errorf("the log does not say that there are %s", said)
		}
	}

	for _, end := range ends {
		end()
	}
	trellistest.Await(t, func() bool {
		u := usageOf(t, p)
		return u["data"].Open == 0 && u["api"].Open < 16 && u["admin"].Open < 8
	}, "nothing is left of the floods")
	expectAnswer(t, n.host, dataPort)
	must(c.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}))(t)
}

func TestServeSaysWhenThereAreTooFewFiles(t *testing.T) {
	t.Parallel()
	program := trellistest.Build(t)
	for _, tc := range []struct {
		files int
		args  []string
		want  string
	}{
		{100, nil, "needs 128 at least"},
		{1024, []string{"--max-connections", "10000"}, "--max-connections 10000: the process may have 1024 files open"},
	} {
		out := failsToStart(t, trellistest.LimitFiles(t, program, tc.files), append([]string{"serve", "--data-dir", t.TempDir()}, tc.args...)...)
		if !strings.Contains(out, tc.want) {
			t.Errorf("with %d files it says\n%s\nwant %q", tc.files, out, tc.want)
		}
	}
}
