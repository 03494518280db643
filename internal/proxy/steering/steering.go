// Package steering has the kernel of Linux bring all connections to resources to one socket of each family, whatever their
// addresses and ports are: 65,535 ports of 1,000 addresses cost two sockets. A program of BPF (sk_lookup) is asked
// for each new connection of the network namespace that no connected socket has, and looks the address and the port up in a
// table that this package keeps. Connections to other addresses go on as without it; those to ports outside the ranges of a
// resource are refused by the kernel. The program and its table live as long as the process that has them.
package steering

import (
	"cmp"
	"errors"
	"math/bits"
	"slices"

	"trellis/internal/lattice"
)

// maxEntries bounds the table: the kernel takes at most 32 MB for it, and for a whole range of ports of one address 64 bytes.
const maxEntries = 1 << 18

// maxPrefixes bounds what one address may take of the table. A range of ports takes at most 30 prefixes.
const maxPrefixes = 1024

// errTooMany says that port ranges take too much of the table.
var errTooMany = errors.New("the port ranges are too many for the kernel's table: list fewer and wider ones")

// prefix is the ports whose first bits are those of port.
type prefix struct {
	port uint16
	bits int
}

// prefixesOf returns the prefixes that ranges consist of, the shortest first. A range that begins with port 1 is taken to begin
// with 0, at which nobody connects, since all ports are one prefix then.
func prefixesOf(ranges []lattice.PortRange) []prefix {
	var prefixes []prefix
	for _, r := range ranges {
		from, end := uint32(r.From), uint32(r.To)+1
		if from == 1 {
			from = 0
		}
		for from < end {
			// The largest block of ports that begins here, and does not go beyond the end.
			size := bits.TrailingZeros32(from | 1<<16)
			for from+1<<size > end {
				size--
			}
			prefixes = append(prefixes, prefix{uint16(from), 16 - size})
			from += 1 << size
		}
	}
	slices.SortStableFunc(prefixes, func(a, b prefix) int { return cmp.Compare(a.bits, b.bits) })
	return prefixes
}
