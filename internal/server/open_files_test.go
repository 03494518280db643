package server

import (
	"strings"
	"testing"

	"trellis/internal/configuration"
)

func share(t *testing.T, limit int, change func(*Config)) (files, error) {
	t.Helper()
	cfg := Config{Configuration: configuration.Configuration{Common: configuration.Common{APIConcurrency: 256}}}
	if change != nil {
		change(&cfg)
	}
	return shareFiles(limit, cfg)
}

func TestEveryPartGetsEnoughOfTheOpenFiles(t *testing.T) {
	for _, limit := range []int{128, 200, 256, 1000, 1024, 20000, 524288, 1 << 20, 1 << 30} {
		f, err := share(t, limit, nil)
		if err != nil {
			t.Fatal(err)
		}
		used := f.data.Clients + f.data.Targets + f.data.ResourceSockets + 2*f.data.Pipes + f.api + f.admin + f.probes
		if left := f.limit - used; f.limit > limit || left < 32 || left > 1024 {
			t.Errorf("of %d files %d are left for the process itself: %+v", limit, left, f)
		}
		if f.data.Clients < limit/8 && limit <= maxFiles || f.data.Targets < f.data.Clients || f.admin < 4 || f.api < 8 || f.probes < 8 {
			t.Errorf("of %d files too few are for some: %+v", limit, f)
		}
	}
}

func TestMaxConnectionsMustFitIntoTheOpenFiles(t *testing.T) {
	f, err := share(t, 20000, func(cfg *Config) { cfg.MaxConnections, cfg.MaxConnectionsPerSource = 9000, 7 })
	if err != nil || f.data.Clients != 9000 || f.data.PerSource != 7 || f.data.Targets < 4000 {
		t.Errorf("the shares are %+v, %v; want 9000 clients, 7 of a source", f, err)
	}
	_, err = share(t, 20000, func(cfg *Config) { cfg.MaxConnections = 19000 })
	if err == nil || !strings.Contains(err.Error(), "--max-connections 19000: the process may have 20000 files open") {
		t.Errorf("19,000 of 20,000: %v", err)
	}
	if _, err := share(t, 100, nil); err == nil || !strings.Contains(err.Error(), "needs 128 at least") {
		t.Errorf("100 files: %v", err)
	}
}

func TestMoreAPICallsAtOnceMayHaveMoreConnections(t *testing.T) {
	f, _ := share(t, 1<<20, func(cfg *Config) { cfg.APIConcurrency = 2000 })
	if f.api != 4000 {
		t.Errorf("the shares are %+v, want 4000 connections to the API", f)
	}
}
