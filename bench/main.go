// Command bench measures Trellis beside nginx and HAProxy, and its control plane by itself, in one run on one machine,
// and prints tables with ratios. It starts everything it measures, on loopback addresses only, and stops it again.
// README.md says how to read the tables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	part        string
	rounds      int
	duration    time.Duration
	connections int
	trellis     string
}

func main() {
	var o options
	flag.StringVar(&o.part, "part", "all", "what to measure: data, control or all")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; in each, every proxy is measured once")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "how long one measurement takes")
	flag.IntVar(&o.connections, "connections", 64, "client connections of the data plane's measurements")
	flag.StringVar(&o.trellis, "trellis", "", "a built trellis; empty: build it from this tree")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if runtime.GOOS != "linux" {
		return errors.New("CPU time is read from /proc and processes are pinned with taskset: this needs Linux")
	}
	if o.part != "data" && o.part != "control" && o.part != "all" || o.rounds < 1 || o.duration < time.Second || o.connections < 1 {
		return errors.New("-part is data, control or all; -rounds and -connections are at least 1; -duration is at least 1s")
	}
	dir, err := os.MkdirTemp("", "trellis-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	if o.trellis == "" {
		o.trellis = filepath.Join(dir, "trellis")
		if err := build(ctx, o.trellis); err != nil {
			return err
		}
	}
	if o.part != "control" {
		if err := benchDataPlane(ctx, o, dir); err != nil {
			return fmt.Errorf("data plane: %w", err)
		}
	}
	if o.part != "data" {
		if err := benchControlPlane(ctx, o, dir); err != nil {
			return fmt.Errorf("control plane: %w", err)
		}
	}
	return nil
}

func build(ctx context.Context, to string) error {
	fmt.Println("building trellis")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", to, "trellis/cmd/trellis").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building trellis: %w\n%s", err, out)
	}
	return nil
}
