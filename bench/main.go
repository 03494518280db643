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
	against  string // another Trellis; empty: none
	// The peers' programs.
	nginx, haproxy string
}

// wants reports whether a row of a part is to be measured.
func (o options) wants(part, row string) bool {
	return (o.part == "all" || o.part == part) && o.rows.MatchString(row)
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == sinkFlag {
		fmt.Fprintln(os.Stderr, serveSink(os.Args[2]))
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == connectFlag {
		if err := connectAgainAndAgain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
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
	flag.StringVar(&proxies, "proxies", strings.Join(defaultProxies, ","), "the proxies to measure")
	flag.IntVar(&o.rounds, "rounds", 11, "rounds; in each, every server is measured once")
	flag.DurationVar(&o.duration, "duration", time.Second, "how long one measurement takes, in whole seconds")
	flag.StringVar(&o.trellis, "trellis", "", "a built trellis; empty: build it from this tree")
	flag.StringVar(&o.against, "against", "", "another built trellis, which is measured beside the first as \"other\"")
	flag.StringVar(&o.nginx, "nginx", "", "the nginx that is measured; empty: the installed one")
	flag.StringVar(&o.haproxy, "haproxy", "", "the HAProxy that is measured; empty: the installed one")
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
		if !slices.Contains(defaultProxies, name) {
			return o, fmt.Errorf("-proxies: %q is not one of %s", name, strings.Join(defaultProxies, ", "))
		}
	}
	if o.against != "" {
		o.proxies = append(o.proxies, otherTrellis)
	}
	if !slices.Contains([]string{"all", "data", "control"}, o.part) || o.rounds < 1 || o.duration < time.Second || o.duration%time.Second != 0 {
		return o, errors.New("-part is data, control or all; -rounds is at least 1; -duration is a number of whole seconds")
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
		{"data", "logs", "requests that are logged into files, beside nginx and HAProxy", benchLogs},
		{"data", "services", "requests to 500 services in turn, beside nginx and HAProxy", benchServices},
		{"data", "auth", "requests that auth policies allow, anonymous and signed, beside a service of authType NONE", benchAuth},
		{"data", "dns", "answers of DNS, and what a storm of unknown names costs them", benchDNS},
		{"data", "scale", "10,000 services and 100,000 target groups", benchScale},
		{"data", "health", "health checks of 10,000 targets, beside HAProxy", benchHealth},
		{"data", "lambda", "warm invocations of a function, beside AWS's runtime interface emulator", benchLambda},
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

	for program, given := range map[string]*string{"nginx": &o.nginx, "haproxy": &o.haproxy} {
		if *given == "" {
			if err := ensureInstalled(ctx, program); err != nil {
				return err
			}
			*given = find(program)
		}
	}
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
