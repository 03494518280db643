package http1

import (
	"encoding/binary"
	"math/bits"
)

// isToken marks the characters of a token (RFC 9110 5.6.2): of methods and header names.
var isToken = characters("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

// isHost marks the characters of a registered name or an IPv4 address (RFC 3986 3.2.2), without percent encoding.
var isHost = characters("-._~!$&'()*+,;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

func characters(list string) (set [256]bool) {
	for i := 0; i < len(list); i++ {
		set[list[i]] = true
	}
	return set
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// hexDigit returns the value of a hexadecimal digit.
func hexDigit(c byte) (value byte, ok bool) {
	switch {
	case isDigit(c):
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// textEnd returns where the text that starts at i ends: the index of the first control character other than a tab,
// or len(b). It looks at eight bytes at a time, since all of every header value passes through here.
func textEnd(b []byte, i int) int {
	const (
		ones   = 0x0101010101010101
		spaces = 0x20 * ones
		tops   = 0x80 * ones
		dels   = 0x7f * ones
	)
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		del := x ^ dels
		// A top bit is set where a byte is below 0x20 or is 0x7f; above the first such byte, borrows may set others.
		found := ((x-spaces)&^x | (del-ones)&^del) & tops
		if found == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(found) / 8
		if b[i] != '\t' {
			return i
		}
		i++
	}
	for i < len(b) && (b[i] >= 0x20 && b[i] != 0x7f || b[i] == '\t') {
		i++
	}
	return i
}
