package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// benchStarts measures how long `trellis serve` takes from its start until API and data plane serve, with many records
// in its data directory, and how much memory it has then.
func benchStarts(ctx context.Context, o options, dir string) error {
	data, err := fillOnce(ctx, dir)
	if err != nil {
		return err
	}
	var times []time.Duration
	var memory int64
	for round := range o.rounds {
		progress("round %d of %d: start with %d target groups and %d targets", round+1, o.rounds, fullGroups, fullGroups*targetsPerGroup)
		ports, err := freePorts(2)
		if err != nil {
			return err
		}
		began := time.Now()
		p, api, err := startTrellis(ctx, "", nil, o.trellis, data, ports[0], ports[1])
		if err != nil {
			return err
		}
		times = append(times, time.Since(began))
		memory, err = p.memory()
		api.close()
		p.stop()
		if err != nil {
			return err
		}
	}
	slices.Sort(times)
	fmt.Printf("\nStart of trellis serve with %d target groups and %d targets: ready after %.2f s (median of %d; %.2f to %.2f; goal: 5), %d MB of memory\n\n",
		fullGroups, fullGroups*targetsPerGroup, times[len(times)/2].Seconds(), len(times), times[0].Seconds(), times[len(times)-1].Seconds(), memory>>20)
	return nil
}
