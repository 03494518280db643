package internal_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// planes puts each folder below internal in exactly one list. ARCHITECTURE.md has the picture.
var planes = map[string][]string{
	"control plane": {
		"internal/api/...", "internal/audit", "internal/authorization", "internal/catalog", "internal/chaos",
		"internal/control", "internal/identity", "internal/misdirected", "internal/network", "internal/sts", "internal/tagging",
	},
	"data plane": {
		"internal/accesslog/...", "internal/caller", "internal/certificate", "internal/dns", "internal/function/...",
		"internal/health", "internal/outbound/...", "internal/proxy/...", "internal/routing",
	},
	"shared": {
		"internal/uuid", "internal/excerpt", "internal/awserror", "internal/inventory/...", "internal/lattice", "internal/nearest", "internal/policy/...", "internal/principal",
		"internal/ratelimit", "internal/shape", "internal/sigv4/...", "internal/summary", "internal/tally",
	},
	"operator's commands": {
		"internal/command/...", "internal/prompt", "internal/resolver", "internal/trust",
	},
	"root": {
		"internal/configuration", "internal/console", "internal/metrics", "internal/server",
		"internal/tracing",
	},
}

// mayReach holds which planes a plane may import, itself aside. Traffic must flow without the control plane, and what
// both use must know neither of them.
var mayReach = map[string][]string{
	"control plane": {"shared"},
	"data plane":    {"shared"},
	"shared":        {},
	// These commands ask a running node on its admin port, as any program may.
	"operator's commands": {"shared"},
	"root":                {"control plane", "data plane", "shared", "operator's commands"},
}

func planesOf(folder string) []string {
	var in []string
	for plane, patterns := range planes {
		if matchesAny(patterns, folder) {
			in = append(in, plane)
		}
	}
	return in
}

func TestEveryFolderBelongsToOnePlane(t *testing.T) {
	tree := readSourceTree(t)
	for folder := range tree.packages {
		if !strings.HasPrefix(folder, "internal/") {
			continue
		}
		if in := planesOf(folder); len(in) != 1 {
			t.Errorf("%s is in %d of the lists of planes_test.go, not in one: %v", folder, len(in), in)
		}
	}
	for plane, patterns := range planes {
		for _, pattern := range patterns {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(tree.packages)), func(folder string) bool { return matches(pattern, folder) }) {
				t.Errorf("the list of the %s names %s, and there is no such package", plane, pattern)
			}
		}
	}
}

func TestNoImportCrossesThePlanes(t *testing.T) {
	tree := readSourceTree(t)
	imports := make(map[string][]string, len(tree.packages))
	for folder, p := range tree.packages {
		imports[folder] = p.imports()
	}
	for _, crossing := range crossings(imports) {
		t.Error(crossing)
	}
}

// crossings returns the ways by which a package reaches a plane that it must not know, directly or through others.
func crossings(imports map[string][]string) []string {
	var found []string
	for _, folder := range slices.Sorted(maps.Keys(imports)) {
		from := planesOf(folder)
		if len(from) != 1 {
			continue
		}
		for _, way := range ways(imports, folder) {
			reached := way[len(way)-1]
			to := planesOf(reached)
			if len(to) == 1 && to[0] != from[0] && !slices.Contains(mayReach[from[0]], to[0]) {
				found = append(found, folder+" ("+from[0]+") reaches "+reached+" ("+to[0]+"): "+strings.Join(way, " -> "))
			}
		}
	}
	return found
}

// ways returns a shortest way from a package to each that it imports, directly or through others.
func ways(imports map[string][]string, from string) [][]string {
	found := [][]string{{from}}
	seen := map[string]bool{from: true}
	for next := 0; next < len(found); next++ {
		way := found[next]
		for _, imported := range imports[way[len(way)-1]] {
			if !seen[imported] {
				seen[imported] = true
				found = append(found, append(slices.Clone(way), imported))
			}
		}
	}
	return found[1:]
}

func TestAnImportThroughASharedPackageCrossesThePlanesToo(t *testing.T) {
	found := crossings(map[string][]string{
		"internal/control": {"internal/lattice"},
		"internal/lattice": {"internal/routing"},
		"internal/routing": {},
	})
	want := []string{
		"internal/control (control plane) reaches internal/routing (data plane): internal/control -> internal/lattice -> internal/routing",
		"internal/lattice (shared) reaches internal/routing (data plane): internal/lattice -> internal/routing",
	}
	if !slices.Equal(found, want) {
		t.Errorf("found %q, want %q", found, want)
	}
}
