package server

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How far the heap may grow beyond what is live before it is collected, in percent, and at least how many bytes. For every
// byte that is allocated, collecting costs some 0.5 ns times what is live, divided by that room.
//
// While the program allocates much, the heap may grow a lot: the catalog's records are many small objects that stay, and
// with Go's default a fifth of the CPU for loading and writing records was spent on marking them again and again.
//
// While it allocates little, a tenth is enough: at a megabyte a second, collecting costs half a percent of a core. The rest
// goes back to the system: ten thousand TLS handshakes leave 440 MB of garbage, and may not come again for hours.
const (
	busyPercent = 400
	// Most of what a start reads soon becomes garbage. With 100,000 target groups and 500,000 targets, this takes 130 MB less
	// at the peak than busyPercent, and a fourteenth more CPU.
	startPercent = 150
	quietPercent = 10
	quietRoom    = 8 << 20
	quietBytes   = 1 << 20 // allocated in a tick
	quietTicks   = 2

	memoryTick = time.Second
)

// memory decides the settings of the garbage collector.
type memory struct {
	percent int
	quiet   int // ticks
	// notBefore bounds the cost of giving memory back if bursts repeat.
	notBefore time.Time
}

// governMemory adapts the garbage collector to the rate of allocation, until ctx ends. The environment variable GOGC
// overrides it.
func governMemory(ctx context.Context) error {
	if _, set := os.LookupEnv("GOGC"); set {
		return nil
	}
	debug.SetGCPercent(busyPercent)
	defer debug.SetGCPercent(busyPercent)
	ticker := time.NewTicker(memoryTick)
	defer ticker.Stop()
	m := memory{percent: busyPercent}
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(samples)
	for {
		before := samples[0].Value.Uint64()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		metrics.Read(samples)
		began := time.Now()
		changed, calmed := m.tick(began, samples[0].Value.Uint64()-before, samples[1].Value.Uint64()+samples[2].Value.Uint64())
		if changed {
			debug.SetGCPercent(m.percent) // This stops the world for some microseconds.
		}
		if calmed {
			// The runtime gives back what goes beyond the heap as it was at the end of the last collection, so it takes a
			// second one after that which has found the garbage, if there was any: thousands of connections take tens of
			// milliseconds to look through.
			heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
			metrics.Read(heap)
			full := heap[0].Value.Uint64()
			runtime.GC()
			if metrics.Read(heap); heap[0].Value.Uint64()+quietRoom < full {
				runtime.GC()
			}
			m.notBefore = time.Now().Add(100 * time.Since(began))
		}
	}
}

// tick measures how much has been allocated in a tick and how much is live. It reports whether the percentage has changed,
// and whether that is because it has become quiet.
func (m *memory) tick(now time.Time, allocated, live uint64) (changed, calmed bool) {
	before := m.percent
	if m.quiet++; allocated > quietBytes {
		m.quiet = 0
		m.percent = busyPercent
		return m.percent != before, false
	}
	if m.quiet < quietTicks || before == busyPercent && now.Before(m.notBefore) {
		return false, false
	}
	next := int(min(busyPercent, max(quietPercent, quietRoom*100/max(live, 1))))
	if next > before*9/10 && next < before*11/10 {
		return false, false
	}
	m.percent = next
	return true, before == busyPercent
}
