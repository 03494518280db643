//go:build !unix

package dns

// hasMore always returns false: what has been read is answered before more is read.
func (p *packetPort) hasMore() bool { return false }
