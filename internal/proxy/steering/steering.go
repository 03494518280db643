// Package steering makes the kernel of Linux bring all connections to resources to one socket of each family, whatever their
// addresses and ports are: 65,535 ports of 1,000 addresses cost two sockets. The kernel runs a BPF program (sk_lookup) for each
// new connection in the network namespace. The program looks the address and the port up in a table that this package keeps. It
// leaves connections to other addresses alone, and refuses those to ports outside the ranges of a resource. The program and its
// table live as long as the process that has them.
package steering

import (
	"cmp"
	"errors"
	"math/bits"
	"slices"

	"trellis/internal/lattice"
)

// maxEntries bounds the table: the kernel takes at most 32 MB for it, and 64 bytes for a whole range of ports of one address.
const maxEntries = 1 << 18

// maxPrefixes bounds what one address may take of the table. A range of ports takes at most 30 prefixes.
const maxPrefixes = 1024

// errTooMany says that port ranges take too many entries of the table.
var errTooMany = errors.New("the port ranges are too many for the kernel's table: list fewer and wider ones")

// prefix is the range of ports that share their first bits with port.
type prefix struct {
	port uint16
	bits int
}

// prefixesOf splits ranges into prefixes, the shortest first. A range that begins with port 1 counts as if it began with 0,
// which no client uses, so that all ports are one prefix.
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
