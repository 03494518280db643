package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// begun is what one start took.
type begun struct {
	time, cpu  time.Duration
	peak, rest float64 // memory in MB: the peak until it was ready, and what it has then
}

// benchStarts measures what `trellis serve` takes from its start until API and data plane serve, with many records in its
// data directory.
func benchStarts(ctx context.Context, o options, dir string) error {
	data, err := fillOnce(ctx, dir)
	if err != nil {
		return err
	}
	names, programs := []string{"trellis"}, []string{o.trellis}
	if o.against != "" {
		names, programs = append(names, otherTrellis), append(programs, o.against)
	}
	starts := make([][]begun, len(programs))
	for round := range o.rounds {
		for turn := range programs {
			i := (round + turn) % len(programs)
			progress("round %d of %d: start of %s with %d target groups and %d targets", round+1, o.rounds, names[i], fullGroups, fullGroups*targetsPerGroup)
			one, err := startOnce(ctx, programs[i], data)
			if err != nil {
				return fmt.Errorf("%s: %w", names[i], err)
			}
			starts[i] = append(starts[i], one)
		}
	}
	size, err := sizeOf(data)
	if err != nil {
		return err
	}
	fmt.Printf("\nStart of trellis serve with %d target groups and %d targets, %d MB of files; %d rounds: median (quartiles)\n\n",
		fullGroups, fullGroups*targetsPerGroup, size>>20, o.rounds)
	fmt.Printf("| %-8s | %-18s | %-18s | %-18s | %-18s |\n|----------|--------------------|--------------------|--------------------|--------------------|\n",
		"server", "ready after, s", "CPU, s", "peak memory, MB", "memory, MB")
	for i, name := range names {
		fmt.Printf("| %-8s | %-18s | %-18s | %-18s | %-18s |\n", name,
			spreadOf(figures(starts[i], func(b begun) float64 { return b.time.Seconds() })),
			spreadOf(figures(starts[i], func(b begun) float64 { return b.cpu.Seconds() })),
			spreadOf(figures(starts[i], func(b begun) float64 { return b.peak })),
			spreadOf(figures(starts[i], func(b begun) float64 { return b.rest })))
	}
	fmt.Print("\ngoals: ready after 2 s, 500 MB of memory at most\n\n")
	return nil
}

func figures[R any](rounds []R, figure func(R) float64) []float64 {
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = figure(r)
	}
	return values
}

func startOnce(ctx context.Context, program, data string) (begun, error) {
	ports, err := freePorts(2)
	if err != nil {
		return begun{}, err
	}
	began := time.Now()
	p, api, err := startTrellis(ctx, "", nil, program, data, ports[0], ports[1])
	if err != nil {
		return begun{}, err
	}
	defer p.stop()
	defer api.close()
	one := begun{time: time.Since(began), cpu: p.lifetimeCPU()}
	peak, err := p.peakMemory()
	if err != nil {
		return begun{}, err
	}
	now, err := p.memory()
	one.peak, one.rest = float64(peak)/(1<<20), float64(now)/(1<<20)
	return one, err
}

// sizeOf returns how many bytes the files of a directory have.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil // etcd tidies up.
		}
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
