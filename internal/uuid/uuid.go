// Package uuid writes random UUIDs, which is what the ids of requests are in every API of AWS.
package uuid

import (
	"crypto/rand"
	"encoding/binary"
)

// Length is the length of a UUID as text.
const Length = len("01234567-0123-4012-8012-0123456789ab")

// New returns a UUID that nobody can guess.
func New() string {
	var random [16]byte
	rand.Read(random[:]) // It never fails: crypto/rand documents that.
	var id [Length]byte
	Put(&id, binary.BigEndian.Uint64(random[:8]), binary.BigEndian.Uint64(random[8:]))
	return string(id[:])
}

// Put writes the UUID of version 4 with the given random bits, except for six fixed ones (RFC 9562 5.4). It does not allocate.
func Put(id *[Length]byte, high, low uint64) {
	high = high&^0xf000 | 0x4000
	low = low&^(3<<62) | 2<<62
	at := 0
	for _, half := range [...]uint64{high, low} {
		for shift := 60; shift >= 0; shift -= 4 {
			if at == 8 || at == 13 || at == 18 || at == 23 {
				id[at] = '-'
				at++
			}
			id[at] = "0123456789abcdef"[half>>shift&0xf]
			at++
		}
	}
}
