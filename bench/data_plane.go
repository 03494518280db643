package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// workload is a kind of request.
type workload struct {
	title string
	path  string
	bytes int
}

var workloads = []workload{
	{fmt.Sprintf("HTTP/1.1 keep-alive, answers of %d bytes", smallBytes), "/small", smallBytes},
	{fmt.Sprintf("HTTP/1.1 keep-alive, answers of %d KB", largeBytes>>10), "/large", largeBytes},
}

// measurement is one run of the load through one proxy.
type measurement struct {
	cpuPerRequest time.Duration
	perSecond     float64
	p50, p99      time.Duration
	busy          float64 // share of the core that the proxy used
}

func benchDataPlane(ctx context.Context, o options, dir string) error {
	if err := ensureInstalled(ctx, "nginx", "haproxy", "wrk", "taskset"); err != nil {
		return err
	}
	if runtime.NumCPU() < 2 {
		return fmt.Errorf("this needs two cores, one for the proxy and one for the load")
	}
	ports, err := freePorts(7)
	if err != nil {
		return err
	}
	s := setting{Dir: filepath.Join(dir, "backend"), Backends: ports[:2]}
	if os.Geteuid() == 0 {
		me, err := user.Current()
		if err != nil {
			return err
		}
		s.User = me.Username
	}
	backend, err := startBackend(ctx, s)
	if err != nil {
		return err
	}
	defer backend.stop()

	trellis, host, err := startTrellisProxy(ctx, o.trellis, filepath.Join(dir, "trellis-proxy"), ports[2], ports[3], ports[4], s.Backends)
	if err != nil {
		return err
	}
	defer trellis.process.stop()
	s.Host = host

	s.Dir, s.Port = filepath.Join(dir, "nginx"), ports[5]
	nginx, err := startNginx(ctx, s)
	if err != nil {
		return err
	}
	defer nginx.process.stop()
	s.Dir, s.Port = filepath.Join(dir, "haproxy"), ports[6]
	haproxy, err := startHAProxy(ctx, s)
	if err != nil {
		return err
	}
	defer haproxy.process.stop()

	proxies := []*proxy{nginx, haproxy, trellis}
	printMachine()
	for _, w := range workloads {
		for _, p := range proxies {
			if err := checkAnswer(ctx, p, host, w); err != nil {
				return err
			}
		}
		results := make(map[string][]measurement)
		for round := range o.rounds {
			// One after another and again, so that whatever slows the machine for a while slows them all.
			for _, p := range proxies {
				fmt.Printf("round %d of %d: %s, %s\n", round+1, o.rounds, p.name, w.title)
				m, err := measure(ctx, o, dir, p, host, w)
				if err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				results[p.name] = append(results[p.name], m)
			}
		}
		printProxies(w, o, proxies, results)
	}
	return nil
}

// checkAnswer makes sure that a proxy passes the backend's answer on, before anything is measured.
func checkAnswer(ctx context.Context, p *proxy, host string, w workload) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(p.port)+w.path, nil)
	if err != nil {
		return err
	}
	request.Host = host
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s: reading the answer: %w", p.name, err)
	}
	if response.StatusCode != http.StatusOK || len(body) != w.bytes {
		return fmt.Errorf("%s answers %s with %d bytes", p.name, response.Status, len(body))
	}
	return nil
}

func measure(ctx context.Context, o options, dir string, p *proxy, host string, w workload) (measurement, error) {
	// Connections to the backend are made, and memory is grown, before the clock runs.
	if _, err := runWrk(ctx, dir, o.connections, time.Second, host, p.port, w.path); err != nil {
		return measurement{}, err
	}
	before, err := p.process.cpu()
	if err != nil {
		return measurement{}, err
	}
	l, err := runWrk(ctx, dir, o.connections, o.duration, host, p.port, w.path)
	if err != nil {
		return measurement{}, err
	}
	after, err := p.process.cpu()
	if err != nil {
		return measurement{}, err
	}
	used := after - before
	if used < l.duration/100 {
		return measurement{}, fmt.Errorf("%v of CPU for %d requests: the kernel does not tell the time of all its processes", used, l.requests)
	}
	return measurement{
		cpuPerRequest: used / time.Duration(l.requests),
		perSecond:     float64(l.requests) / l.duration.Seconds(),
		p50:           l.p50,
		p99:           l.p99,
		busy:          used.Seconds() / l.duration.Seconds(),
	}, nil
}

// median returns the middle of a figure over the rounds.
func median[T int64 | float64 | time.Duration](measurements []measurement, figure func(measurement) T) T {
	values := make([]T, len(measurements))
	for i, m := range measurements {
		values[i] = figure(m)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func printProxies(w workload, o options, proxies []*proxy, results map[string][]measurement) {
	medians := make(map[string]measurement)
	for name, measurements := range results {
		medians[name] = measurement{
			cpuPerRequest: median(measurements, func(m measurement) time.Duration { return m.cpuPerRequest }),
			perSecond:     median(measurements, func(m measurement) float64 { return m.perSecond }),
			p50:           median(measurements, func(m measurement) time.Duration { return m.p50 }),
			p99:           median(measurements, func(m measurement) time.Duration { return m.p99 }),
			busy:          median(measurements, func(m measurement) float64 { return m.busy }),
		}
	}
	bestCPU := min(medians["nginx"].cpuPerRequest, medians["HAProxy"].cpuPerRequest)
	bestRate := max(medians["nginx"].perSecond, medians["HAProxy"].perSecond)

	fmt.Printf("\n%s, %d connections\nmedians of %d rounds of %v; ratios are to the better of nginx and HAProxy\n\n",
		w.title, o.connections, o.rounds, o.duration)
	fmt.Printf("| %-8s | %11s | %5s | %10s | %5s | %9s | %9s | %9s |\n", "proxy", "CPU/request", "ratio", "requests/s", "ratio", "p50", "p99", "core busy")
	fmt.Printf("|----------|-------------|-------|------------|-------|-----------|-----------|-----------|\n")
	for _, p := range proxies {
		m := medians[p.name]
		fmt.Printf("| %-8s | %8.2f us | %5.2f | %10.0f | %5.2f | %6.2f ms | %6.2f ms | %7.0f %% |\n",
			p.name, float64(m.cpuPerRequest)/1e3, float64(m.cpuPerRequest)/float64(bestCPU),
			m.perSecond, m.perSecond/bestRate, m.p50.Seconds()*1e3, m.p99.Seconds()*1e3, m.busy*100)
	}
	fmt.Println()
}

// printMachine says what the figures depend on.
func printMachine() {
	model := "unknown CPU"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	fmt.Printf("machine: %d cores of %s, %s\n", runtime.NumCPU(), model, runtime.Version())
	if siblings, err := os.ReadFile("/sys/devices/system/cpu/cpu" + coreOfProxy + "/topology/thread_siblings_list"); err == nil {
		if list := strings.TrimSpace(string(siblings)); list != coreOfProxy {
			fmt.Printf("note: CPUs %s are threads of one core, so the load slows the proxies; compare within this run only\n", list)
		}
	}
	if average, err := os.ReadFile("/proc/loadavg"); err == nil {
		one, _, _ := strings.Cut(string(average), " ")
		fmt.Printf("load of the machine before: %s (should be near 0)\n", one)
	}
}
