package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// wrkScript sends the requests to the proxy, whatever their URL's host, and makes wrk print its figures in full; its
// own table rounds them.
const wrkScript = `wrk.resolve = function() wrk.addrs = wrk.lookup("%s", "%s") end
local upload = %d
if upload > 0 then
  wrk.method = "POST"
  wrk.body = string.rep("u", upload)
end
local hosts = {%s}
if #hosts > 0 then
  local requests = {}
  function init()
    for i, host in ipairs(hosts) do requests[i] = wrk.format(nil, nil, { Host = host }) end
  end
  local n = 0
  function request()
    n = n %% #requests + 1
    return requests[n]
  end
end
done = function(summary, latency, requests)
  local errors = summary.errors
  print(string.format("REPORT %%d %%d %%d %%d %%d %%d %%d %%d %%d", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
`

// lines returns the row's additional header lines.
func (r row) lines() ([]string, error) {
	if r.headers == nil {
		return nil, nil
	}
	return r.headers()
}

// load is the result of wrk or h2load.
type load struct {
	requests int
	duration time.Duration
	p50, p99 time.Duration // 0: not known
	failed
}

// failed counts the requests that are not measured because they failed.
type failed struct {
	refused    int // answered with a status other than 2xx or 3xx
	unanswered int // without a whole response
}

// runWrk sends a row's requests as fast as they are answered: to one host, or to several in turn.
func runWrk(ctx context.Context, dir string, duration time.Duration, host string, hosts []string, address string, r row) (load, error) {
	var quoted []string
	for _, h := range hosts {
		quoted = append(quoted, strconv.Quote(h))
	}
	ip, port, err := net.SplitHostPort(address)
	if err != nil {
		return load{}, err
	}
	script := filepath.Join(dir, "wrk.lua")
	if err := os.WriteFile(script, fmt.Appendf(nil, wrkScript, ip, port, r.uploadBytes, strings.Join(quoted, ",")), 0o600); err != nil {
		return load{}, err
	}
	scheme := "http"
	if r.secure() {
		scheme = "https"
	}
	args := []string{
		"-c", coreOfLoad, find("wrk"), "-t", "1", "-c", strconv.Itoa(r.connections), "-d", strconv.Itoa(int(duration.Seconds())), "-s", script,
	}
	if r.connects {
		args = append(args, "-H", "Connection: close") // wrk makes another connection then.
	}
	headers, err := r.lines()
	if err != nil {
		return load{}, err
	}
	for _, line := range headers {
		args = append(args, "-H", line)
	}
	out, err := exec.CommandContext(ctx, find("taskset"), append(args, scheme+"://"+host+r.path)...).CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	_, figures, _ := strings.Cut(string(out), "REPORT ")
	var requests, us, p50, p99 int
	var unconnected, unread, unwritten, refused, late int
	if _, err := fmt.Sscan(figures, &requests, &us, &p50, &p99, &unconnected, &unread, &unwritten, &refused, &late); err != nil {
		return load{}, fmt.Errorf("wrk's report cannot be read: %w\n%s", err, out)
	}
	if requests == 0 || unconnected+unread+unwritten+refused > 0 {
		return load{}, fmt.Errorf("some of %d requests failed, so this would not measure proxying: %d not connected, %d not read, %d not written, %d refused, %d late\n%s",
			requests, unconnected, unread, unwritten, refused, late, out)
	}
	return load{
		requests: requests,
		duration: time.Duration(us) * time.Microsecond,
		p50:      time.Duration(p50) * time.Microsecond,
		p99:      time.Duration(p99) * time.Microsecond,
	}, nil
}
