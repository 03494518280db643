// Command bench measures Trellis beside its peers in one run on one machine, and prints tables with ratios: the data
// plane beside nginx, HAProxy, Envoy and Caddy, the control plane beside moto. It starts everything it measures, on
// loopback addresses only, and stops it again. README.md says how to read the tables.
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
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	part     string
	rows     *regexp.Regexp
	proxies  []string
	rounds   int
	duration time.Duration
	trellis  string
}

// wants says whether a row of a part is to be measured.
func (o options) wants(part, row string) bool {
	return (o.part == "all" || o.part == part) && o.rows.MatchString(row)
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == sinkFlag {
		fmt.Fprintln(os.Stderr, serveSink(os.Args[2]))
		os.Exit(1)
	}
	o, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() (options, error) {
	var o options
	var rows, proxies string
	flag.StringVar(&o.part, "part", "all", "what to measure: data, control or all")
	flag.StringVar(&rows, "rows", "", "regular expression of the rows to measure; empty: all")
	flag.StringVar(&proxies, "proxies", strings.Join(allProxies, ","), "the proxies to measure")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; in each, every server is measured once")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "how long one measurement takes")
	flag.StringVar(&o.trellis, "trellis", "", "a built trellis; empty: build it from this tree")
	list := flag.Bool("list", false, "list the rows")
	flag.Parse()
	if *list {
		listRows()
		os.Exit(0)
	}
	var err error
	if o.rows, err = regexp.Compile(rows); err != nil {
		return o, fmt.Errorf("-rows: %w", err)
	}
	o.proxies = strings.Split(proxies, ",")
	for _, name := range o.proxies {
		if !slices.Contains(allProxies, name) {
			return o, fmt.Errorf("-proxies: %q is not one of %s", name, strings.Join(allProxies, ", "))
		}
	}
	if !slices.Contains([]string{"all", "data", "control"}, o.part) || o.rounds < 1 || o.duration < time.Second {
		return o, errors.New("-part is data, control or all; -rounds is at least 1; -duration is at least 1s")
	}
	if runtime.GOOS != "linux" {
		return o, errors.New("CPU time is read from /proc and processes are pinned with taskset: this needs Linux")
	}
	return o, nil
}

// benchmark is a row that is measured by itself.
type benchmark struct {
	part, name, title string
	run               func(ctx context.Context, o options, dir string) error
}

// benchmarks are measured after the rows in which proxies are compared.
func benchmarks() []benchmark {
	return []benchmark{
		{"data", "idle", "memory for idle client connections", benchIdle},
		{"data", "scale", "10,000 services and 100,000 target groups", benchScale},
		{"control", "creates", "CreateTargetGroup, beside moto", benchCreates},
		{"control", "pages", "Get and List with 100,000 target groups", benchPages},
		{"control", "starts", "start with 100,000 target groups and 500,000 targets", benchStarts},
	}
}

func listRows() {
	for _, r := range rows {
		fmt.Printf("data     %-14s %s\n", r.name, r.title)
	}
	for _, b := range benchmarks() {
		fmt.Printf("%-8s %-14s %s\n", b.part, b.name, b.title)
	}
}

func run(ctx context.Context, o options) error {
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
	printMachine()
	if err := benchRows(ctx, o, dir); err != nil {
		return err
	}
	for _, b := range benchmarks() {
		if !o.wants(b.part, b.name) {
			continue
		}
		if err := b.run(ctx, o, dir); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return nil
}

func build(ctx context.Context, to string) error {
	progress("building trellis")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", to, "trellis/cmd/trellis").CombinedOutput()
	if err != nil {
		return fmt.Errorf("building trellis: %w\n%s", err, out)
	}
	return nil
}
