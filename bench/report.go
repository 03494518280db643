package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// progress writes what is being done to standard error: the tables go to standard output.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1e3 }

func microseconds(d time.Duration) float64 { return d.Seconds() * 1e6 }

// medianOf returns the median of a figure over the rounds.
func medianOf[R any, T cmp.Ordered](rounds []R, figure func(R) T) T {
	values := make([]T, len(rounds))
	for i, r := range rounds {
		values[i] = figure(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// printMachine prints what the figures depend on.
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
