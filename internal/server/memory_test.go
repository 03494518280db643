package server

import (
	"testing"
	"time"
)

func TestTheHeapMayGrowFarOnlyWhileTheProgramAllocatesMuch(t *testing.T) {
	const mb = 1 << 20
	now := time.Now()
	m := memory{percent: busyPercent}
	for _, step := range []struct {
		name            string
		allocated, live uint64
		percent         int
		changed, calmed bool
	}{
		{"busy", 50 * mb, 80 * mb, busyPercent, false, false},
		{"quiet for one tick", mb / 2, 80 * mb, busyPercent, false, false},
		{"quiet for two", mb / 2, 80 * mb, quietPercent, true, true},
		{"still quiet", mb / 2, 80 * mb, quietPercent, false, false},
		{"less is live", mb / 2, 32 * mb, 25, true, false},
		{"hardly less", mb / 2, 31 * mb, 25, false, false},
		{"next to nothing is live", mb / 2, mb, busyPercent, true, false},
		{"much is live again", mb / 2, 800 * mb, quietPercent, true, true},
		{"busy again", 2 * mb, 800 * mb, busyPercent, true, false},
	} {
		changed, calmed := m.tick(now, step.allocated, step.live)
		if m.percent != step.percent || changed != step.changed || calmed != step.calmed {
			t.Errorf("%s: %d %%, changed: %t, calmed: %t; want %d %%, %t, %t",
				step.name, m.percent, changed, calmed, step.percent, step.changed, step.calmed)
		}
	}
}

func TestMemoryIsNotGivenBackAgainAtOnce(t *testing.T) {
	now := time.Now()
	m := memory{percent: busyPercent, notBefore: now.Add(time.Minute)}
	for range 10 {
		if changed, _ := m.tick(now, 0, 100<<20); changed {
			t.Fatal("the collector is set for quiet times too soon")
		}
	}
	if _, calmed := m.tick(now.Add(2*time.Minute), 0, 100<<20); !calmed {
		t.Error("the collector is not set for quiet times when it is time")
	}
}
