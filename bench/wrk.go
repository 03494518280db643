package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// report makes wrk print its figures in full; its own table rounds them.
const report = `done = function(summary, latency, requests)
  local errors = summary.errors
  print(string.format("REPORT %d %d %d %d %d", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
`

// load is what wrk found out.
type load struct {
	requests int
	duration time.Duration
	p50, p99 time.Duration
}

// runWrk sends requests for a path over keep-alive connections, as fast as they are answered.
func runWrk(ctx context.Context, dir string, connections int, duration time.Duration, host string, port int, path string) (load, error) {
	script := filepath.Join(dir, "report.lua")
	if err := os.WriteFile(script, []byte(report), 0o600); err != nil {
		return load{}, err
	}
	out, err := exec.CommandContext(ctx, find("taskset"), "-c", coreOfLoad, find("wrk"),
		"-t", "1", "-c", strconv.Itoa(connections), "-d", strconv.Itoa(int(duration.Seconds())),
		"-s", script, "-H", "Host: "+host, "http://"+loopback(port)+path).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	_, figures, _ := strings.Cut(string(out), "REPORT ")
	var requests, microseconds, p50, p99, failed int
	if _, err := fmt.Sscan(figures, &requests, &microseconds, &p50, &p99, &failed); err != nil {
		return load{}, fmt.Errorf("wrk reported nothing that can be read: %w\n%s", err, out)
	}
	if failed > 0 || requests == 0 {
		return load{}, fmt.Errorf("%d of %d requests failed: what would be measured is not proxying\n%s", failed, requests, out)
	}
	return load{
		requests: requests,
		duration: time.Duration(microseconds) * time.Microsecond,
		p50:      time.Duration(p50) * time.Microsecond,
		p99:      time.Duration(p99) * time.Microsecond,
	}, nil
}
