package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// The checked targets: each group has all addresses with all ports. One address would not be enough, since a check that has
// ended holds its port for a minute.
const (
	checkedGroups  = 10
	checkedHosts   = 100
	checkedPorts   = 10
	checkedTargets = checkedGroups * checkedHosts * checkedPorts
	checkInterval  = 5 * time.Second
)

// checkSetting is the configuration of the targets and their checkers.
type checkSetting struct {
	Dir     string
	Hosts   []string
	Ports   []int
	Groups  []int
	Status  int // the port where nginx reports what the targets have accepted
	Clients int // a port for clients, though there are none
	Seconds int
}

var checkedConfig = template.Must(template.New("checked.conf").Parse(`
daemon off;
pid {{.Dir}}/checked.pid;
error_log stderr crit;
worker_processes 1;
events { worker_connections 16000; }
http {
  access_log off;
  client_body_temp_path {{.Dir}}/body; proxy_temp_path {{.Dir}}/proxy; fastcgi_temp_path {{.Dir}}/fastcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi; scgi_temp_path {{.Dir}}/scgi;
  server {
    {{range $host := .Hosts}}{{range $.Ports}}listen {{$host}}:{{.}};
    {{end}}{{end}}location / { return 200 "ok"; }
  }
  server {
    listen 127.0.0.1:{{.Status}};
    location / { stub_status; }
  }
}
`))

var checkingConfig = template.Must(template.New("checking.cfg").Parse(`
global
  maxconn 1000
  no strict-limits
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout check 5s
{{range $group, $_ := .Groups}}backend targets{{$group}}
  option httpchk GET /
  http-check expect status 200
  {{range $i, $host := $.Hosts}}{{range $.Ports}}server target{{$i}}-{{.}} {{$host}}:{{.}} check inter {{$.Seconds}}s
  {{end}}{{end}}
{{end}}
frontend clients
  bind 127.0.0.1:{{.Clients}}
  default_backend targets0
`))

// checker is a server that checks targets of its own.
type checker struct {
	name    string
	start   func(context.Context, checkSetting) (*process, error)
	process *process
	status  int
	rounds  []measurement
	memory  float64 // the highest at the end of a round, in MB
}

// benchHealth compares what health checks cost. All checkers run at the same time, on one core; a round lasts an interval.
func benchHealth(ctx context.Context, o options, dir string) error {
	checkers := []*checker{
		{name: "haproxy", start: func(ctx context.Context, s checkSetting) (*process, error) {
			config, err := writeConfigIn(s.Dir, checkingConfig, s)
			if err != nil {
				return nil, err
			}
			return start(coreOfProxy, nil, o.haproxy, "-db", "-f", config)
		}},
		{name: "trellis", start: func(ctx context.Context, s checkSetting) (*process, error) { return startChecking(ctx, o.trellis, s) }},
	}
	if o.against != "" {
		checkers = append(checkers, &checker{name: otherTrellis, start: func(ctx context.Context, s checkSetting) (*process, error) {
			return startChecking(ctx, o.against, s)
		}})
	}
	for i, c := range checkers {
		ports, err := freePorts(checkedPorts + 2)
		if err != nil {
			return err
		}
		c.status = ports[0]
		s := checkSetting{
			Dir: filepath.Join(dir, "health", c.name), Status: ports[0], Clients: ports[1], Ports: ports[2:],
			Seconds: int(checkInterval / time.Second), Groups: make([]int, checkedGroups),
		}
		for host := range checkedHosts {
			s.Hosts = append(s.Hosts, fmt.Sprintf("127.%d.0.%d", i+1, host+1))
		}
		config, err := writeConfigIn(s.Dir, checkedConfig, s)
		if err != nil {
			return err
		}
		targets, err := start(coreOfLoad, nil, o.nginx, "-c", config)
		if err != nil {
			return err
		}
		defer targets.stop()
		if err := targets.awaitPort(ctx, c.status); err != nil {
			return err
		}
		if c.process, err = c.start(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		defer c.process.stop()
	}

	progress("health: waiting for the checks to spread")
	if err := pause(ctx, 4*checkInterval); err != nil {
		return err
	}
	for round := range o.rounds {
		progress("health: round %d of %d", round+1, o.rounds)
		var ends []func() error
		for _, c := range checkers {
			end, err := c.measure(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			ends = append(ends, end)
		}
		if err := pause(ctx, checkInterval); err != nil {
			return err
		}
		for i, end := range ends {
			if err := end(); err != nil {
				return fmt.Errorf("%s: %w", checkers[i].name, err)
			}
		}
	}

	fmt.Printf("\nhealth: checks of %d targets every %v, by all servers at once on one core; medians of %d rounds; goals: ratio at most 1, 100 MB\n\n", checkedTargets, checkInterval, o.rounds)
	fmt.Printf("| %-8s | %-11s | %-22s | %-8s | %-10s |\n|----------|-------------|------------------------|----------|------------|\n", "server", "CPU/check", "ratio to haproxy", "checks/s", "memory, MB")
	for _, c := range checkers {
		fmt.Printf("| %-8s | %8.2f us | %-22s | %8.0f | %10.0f |\n", c.name, microseconds(cpuMedian(c.rounds)), ratios(c.rounds, checkers[0].rounds),
			medianOf(c.rounds, func(m measurement) float64 { return m.perSecond }), c.memory)
	}
	fmt.Println()
	return nil
}

// measure begins a round, which the function that it returns ends.
func (c *checker) measure(ctx context.Context) (end func() error, err error) {
	began := time.Now()
	accepted, err := acceptedBy(ctx, c.status)
	if err != nil {
		return nil, err
	}
	cpu, err := c.process.cpu()
	return func() error {
		after, err := acceptedBy(ctx, c.status)
		if err != nil {
			return err
		}
		cpuAfter, err := c.process.cpu()
		if err != nil {
			return err
		}
		checks := after - accepted
		if checks < checkedTargets/10 {
			return fmt.Errorf("only %d checks of %d targets in a round\n%s", checks, checkedTargets, c.process.output)
		}
		c.rounds = append(c.rounds, measurement{
			cpuPerRequest: (cpuAfter - cpu) / time.Duration(checks), perSecond: float64(checks) / time.Since(began).Seconds(),
		})
		resident, err := c.process.memory()
		c.memory = max(c.memory, float64(resident)/(1<<20))
		return err
	}, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startChecking starts a Trellis that checks the targets, since a service uses them.
func startChecking(ctx context.Context, program string, s checkSetting) (*process, error) {
	data := filepath.Join(s.Dir, "data")
	if err := fill(ctx, data, filling{targetGroups: checkedGroups, services: 1, hosts: s.Hosts, ports: s.Ports, checkSeconds: s.Seconds}); err != nil {
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	p, api, err := startTrellis(ctx, coreOfProxy, []string{"GOMAXPROCS=1"}, program, data, ports[0], ports[1],
		"--port-map", fmt.Sprintf("%d=%d", portHTTP, s.Clients))
	if err != nil {
		return nil, err
	}
	api.close()
	return p, nil
}

// acceptedBy returns how many connections an nginx has accepted.
func acceptedBy(ctx context.Context, port int) (int64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(port)+"/", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "requests\n")
	var accepted int64
	if _, err := fmt.Sscan(rest, &accepted); err != nil {
		return 0, fmt.Errorf("reading nginx's status %q: %w", text, err)
	}
	return accepted, nil
}
