package main

import (
	"testing"
	"time"
)

func TestARatioIsTakenWithinARound(t *testing.T) {
	cpu := func(times ...time.Duration) (rounds []measurement) {
		for _, t := range times {
			rounds = append(rounds, measurement{cpuPerRequest: t})
		}
		return rounds
	}
	// The machine halves its speed after two rounds: both take twice as long from then on.
	of, to := cpu(10, 10, 20, 20, 20), cpu(10, 10, 20, 20, 20)
	if got := ratios(of, to); got != (spread{1, 1, 1}) {
		t.Errorf("alike in every round: %v, want 1.00", got)
	}
	if got := ratios(cpu(10, 11, 24, 26, 28), cpu(10, 10, 20, 20, 20)); got.String() != "1.20 (1.10-1.30)" {
		t.Errorf("ratios from 1.0 to 1.4: %v, want 1.20 (1.10-1.30)", got)
	}
	if got := ratios(cpu(15), cpu(10, 1)); got.String() != "1.50" {
		t.Errorf("one round: %v, want 1.50", got)
	}
	if got := ratios(nil, to); got.String() != "-" {
		t.Errorf("no round: %v, want -", got)
	}
}
