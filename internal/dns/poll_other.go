//go:build !unix

package dns

// hasMore always returns false: queries are answered in the order in which they are read.
func (p *packetPort) hasMore() bool { return false }
