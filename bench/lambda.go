package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	benchFunction = "arn:aws:lambda:us-west-2:000000000000:function:fast"
	// emulator is AWS's runtime interface emulator, which serves one function to one caller at a time.
	emulator = "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@v0.0.0-20261030222936-bef5c4ba774d"
)

// invoker is a server that has a function answer requests.
type invoker struct {
	name    string
	process *process
	request func(context.Context) (*http.Request, error)
	rounds  []invocations
}

// invocations are those of one round, one after another.
type invocations struct {
	perSecond       float64
	p50, p99        time.Duration
	server, program time.Duration // CPU per invocation, of the server and of the function's processes
}

// benchLambda measures the warm invocation of a function that answers at once.
func benchLambda(ctx context.Context, o options, dir string) error {
	dir = filepath.Join(dir, "lambda")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	program := filepath.Join(dir, "fast")
	progress("lambda: building the function")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "trellis/test/functions/program").CombinedOutput(); err != nil {
		return fmt.Errorf("building the function: %w\n%s", err, out)
	}
	var invokers []*invoker
	add := func(i *invoker, err error) error {
		if err == nil {
			invokers = append(invokers, i)
		}
		return err
	}
	defer func() {
		for _, i := range invokers {
			i.process.stop()
		}
	}()
	if err := add(startInvokingTrellis(ctx, "trellis", o.trellis, dir, program)); err != nil {
		return err
	}
	if o.against != "" {
		if err := add(startInvokingTrellis(ctx, otherTrellis, o.against, dir, program)); err != nil {
			return err
		}
	}
	missing := add(startEmulator(ctx, dir, program))

	for _, i := range invokers {
		progress("lambda: warming up %s", i.name)
		if _, err := i.measure(ctx, time.Second); err != nil {
			return fmt.Errorf("%s: %w", i.name, err)
		}
	}
	for round := range o.rounds {
		progress("lambda: round %d of %d", round+1, o.rounds)
		for turn := range invokers {
			i := invokers[(round+turn)%len(invokers)]
			m, err := i.measure(ctx, o.duration)
			if err != nil {
				return fmt.Errorf("%s: %w", i.name, err)
			}
			i.rounds = append(i.rounds, m)
		}
	}
	fmt.Printf("\nlambda: a function in Go that answers at once, warm, one invocation after another; medians of %d rounds; goal: p50 at most 1 ms\n\n", o.rounds)
	fmt.Printf("| %-8s | %-8s | %-8s | %-8s | %-15s | %-19s |\n|----------|----------|----------|----------|-----------------|---------------------|\n",
		"server", "p50, ms", "p99, ms", "per s", "CPU, server, us", "CPU, function, us")
	for _, i := range invokers {
		duration := func(figure func(invocations) time.Duration) time.Duration { return medianOf(i.rounds, figure) }
		fmt.Printf("| %-8s | %8.3f | %8.3f | %8.0f | %15.1f | %19.1f |\n", i.name,
			microseconds(duration(func(m invocations) time.Duration { return m.p50 }))/1000, microseconds(duration(func(m invocations) time.Duration { return m.p99 }))/1000,
			medianOf(i.rounds, func(m invocations) float64 { return m.perSecond }),
			microseconds(duration(func(m invocations) time.Duration { return m.server })), microseconds(duration(func(m invocations) time.Duration { return m.program })))
	}
	if missing != nil {
		fmt.Printf("\nAWS's runtime interface emulator is not available: %v\n", missing)
	}
	fmt.Println()
	return nil
}

// startInvokingTrellis starts a Trellis that runs the function, behind a service.
func startInvokingTrellis(ctx context.Context, name, trellis, dir, program string) (*invoker, error) {
	dir = filepath.Join(dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	inventory := filepath.Join(dir, "inventory.yaml")
	if err := os.WriteFile(inventory, fmt.Appendf(nil, "functions:\n  - arn: %s\n    command: [%s]\n    watch: []\n", benchFunction, program), 0o600); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	p, api, err := startTrellis(ctx, coreOfProxy, nil, trellis, filepath.Join(dir, "data"), ports[0], ports[1],
		"--inventory", inventory, "--port-map", fmt.Sprintf("%d=%d", portHTTP, ports[2]))
	if err != nil {
		return nil, err
	}
	defer api.close()
	host, err := (&builder{api: api}).buildFunction(ctx)
	if err != nil {
		p.stop()
		return nil, err
	}
	return &invoker{name: name, process: p, request: func(ctx context.Context) (*http.Request, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(ports[2])+"/fast", nil)
		if err == nil {
			r.Host = host
		}
		return r, err
	}}, nil
}

// buildFunction creates a service in front of the function, and returns its name.
func (b *builder) buildFunction(ctx context.Context) (host string, err error) {
	if b.network, err = b.create(ctx, "/servicenetworks", object{"name": "bench"}); err != nil {
		return "", err
	}
	if b.service, err = b.createService(ctx, object{"name": "bench"}); err != nil {
		return "", err
	}
	if b.group, err = b.create(ctx, "/targetgroups", object{"name": "bench", "type": "LAMBDA"}); err != nil {
		return "", err
	}
	target := object{"targets": []object{{"id": benchFunction}}}
	if err := b.api.call(ctx, http.MethodPost, "/targetgroups/"+b.group.ID+"/registertargets", target, nil); err != nil {
		return "", err
	}
	_, err = b.createListener(ctx, b.service, "HTTP", portHTTP, b.group)
	return b.service.DNSEntry.DomainName, err
}

// startEmulator installs AWS's emulator, which takes Go's module proxy, and starts it with the function.
func startEmulator(ctx context.Context, dir, program string) (*invoker, error) {
	progress("lambda: building %s", emulator)
	install := exec.CommandContext(ctx, "go", "install", emulator)
	install.Dir = dir // The emulator must not be built within this module.
	install.Env = append(os.Environ(), "GOBIN="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building it: %w\n%s", err, out)
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	p, err := start(coreOfProxy, nil, filepath.Join(dir, "aws-lambda-rie"), "--log-level", "error",
		"--runtime-interface-emulator-address", loopback(ports[0]), "--runtime-api-address", loopback(ports[1]), program)
	if err != nil {
		return nil, err
	}
	if err := p.awaitPort(ctx, ports[0]); err != nil {
		p.stop()
		return nil, err
	}
	return &invoker{name: "aws-rie", process: p, request: func(ctx context.Context) (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodPost, "http://"+loopback(ports[0])+"/2015-03-31/functions/function/invocations", strings.NewReader(`{"path":"/fast"}`))
	}}, nil
}

// measure sends requests, each as soon as the last is answered.
func (i *invoker) measure(ctx context.Context, duration time.Duration) (m invocations, err error) {
	own, all, err := i.cpu()
	if err != nil {
		return m, err
	}
	var latencies []time.Duration
	began := time.Now()
	for time.Since(began) < duration {
		sent := time.Now()
		if err := i.invoke(ctx); err != nil {
			return m, err
		}
		latencies = append(latencies, time.Since(sent))
	}
	n := time.Duration(len(latencies))
	m.perSecond = float64(n) / time.Since(began).Seconds()
	ownAfter, allAfter, err := i.cpu()
	slices.Sort(latencies)
	m.p50, m.p99 = latencies[n/2], latencies[n*99/100]
	m.server = (ownAfter - own) / n
	m.program = (allAfter - all - (ownAfter - own)) / n
	return m, err
}

func (i *invoker) cpu() (own, all time.Duration, err error) {
	if own, err = i.process.ownCPU(); err == nil {
		all, err = i.process.cpu()
	}
	return own, all, err
}

func (i *invoker) invoke(ctx context.Context) error {
	r, err := i.request(ctx)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, i.process.output)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !strings.Contains(string(body), "ok")) {
		err = fmt.Errorf("it is answered %s: %s\n%s", response.Status, body, i.process.output)
	}
	return err
}
