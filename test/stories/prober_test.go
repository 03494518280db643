package stories_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// The prober's load: so many requests a second, over so many connections.
const (
	probeRate        = 1000
	probeConnections = 16
	maxProbeFailures = 5 // of a connection
)

// Prober is a separate process that makes requests to a service whose only target it is.
type Prober struct{}

// Open starts the target and reports its port.
func (p *Prober) Open(_ struct{}, port *int32) error {
	debug.SetGCPercent(2000) // its own pauses must not show
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b := new(backend).listensOn(listener.Addr())
	*port = b.port
	go http.Serve(listener, b) // Until the process ends.
	return nil
}

// ProbeArgs says which requests to make.
type ProbeArgs struct {
	Host     string
	Port     int
	Duration time.Duration
}

// Probed is the result.
type Probed struct {
	Requests      int
	P50, P99, Max time.Duration
	Failures      []string
}

// Probe makes requests at a steady rate, whether or not earlier ones have been answered. A request that is late because of
// an earlier one on the same connection counts from when it should have been sent, so that a pause shows as what it is to
// those who come during it.
func (p *Prober) Probe(args ProbeArgs, reply *Probed) error {
	const period = time.Second * probeConnections / probeRate
	var mu sync.Mutex // mu guards the variables below.
	var times []time.Duration
	var running sync.WaitGroup
	began := time.Now()
	for i := range probeConnections {
		running.Go(func() {
			c := &keptClient{host: args.Host, dial: dialTCP(local(args.Port))}
			defer c.close()
			var mine []time.Duration
			var failures []string
			due := began.Add(period * time.Duration(i) / probeConnections)
			for ; due.Before(began.Add(args.Duration)) && len(failures) < maxProbeFailures; due = due.Add(period) {
				sent := due
				if wait := time.Until(due); wait > 0 {
					time.Sleep(wait)  // Sleeps: the pace of the probes.
					sent = time.Now() // if it is later than due, the proxy is not
				}
				if err := c.get("/", greeting); err != nil {
					failures = append(failures, fmt.Sprintf("after %s: %v", time.Since(sent), err))
					c.close()
				}
				mine = append(mine, time.Since(sent))
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, mine...)
			reply.Failures = append(reply.Failures, failures...)
		})
	}
	running.Wait()
	if len(times) == 0 {
		return errors.New("no request was made")
	}
	slices.Sort(times)
	reply.Requests = len(times)
	reply.P50, reply.P99, reply.Max = times[len(times)/2], times[len(times)*99/100], times[len(times)-1]
	return nil
}
