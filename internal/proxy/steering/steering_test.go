package steering

import (
	"math/rand/v2"
	"slices"
	"testing"

	"trellis/internal/lattice"
)

// covers reports whether a port is in one of the prefixes.
func covers(prefixes []prefix, port int) bool {
	return slices.ContainsFunc(prefixes, func(p prefix) bool { return port>>(16-p.bits) == int(p.port)>>(16-p.bits) })
}

func TestPrefixesAreThePortsOfTheRanges(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	cases := [][]lattice.PortRange{
		nil, {{From: 1, To: 65535}}, {{From: 1, To: 1}}, {{From: 65535, To: 65535}}, {{From: 2, To: 65534}}, {{From: 1, To: 32767}, {From: 40000, To: 65535}},
	}
	for range 50 {
		from := 1 + random.IntN(60000)
		cases = append(cases, []lattice.PortRange{{From: from, To: from + random.IntN(65536-from)}})
	}
	for _, ranges := range cases {
		prefixes := prefixesOf(ranges)
		if len(prefixes) > 30*len(ranges) {
			t.Errorf("%v is %d prefixes", ranges, len(prefixes))
		}
		for port := 1; port <= 65535; port++ {
			want := slices.ContainsFunc(ranges, func(r lattice.PortRange) bool { return r.From <= port && port <= r.To })
			if covers(prefixes, port) != want {
				t.Fatalf("prefixes of %v cover port %d: %v", ranges, port, !want)
			}
		}
	}
	if all := prefixesOf([]lattice.PortRange{{From: 1, To: 65535}}); len(all) != 1 {
		t.Errorf("all ports are the prefixes %v", all)
	}
}
