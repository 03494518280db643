// Package buffer lends the memory through which bodies pass. With the build tag invariants, memory is overwritten when it
// is given back, so that tests notice if it is still used.
package buffer

import "sync"

// Bytes is how much of a body is moved at once.
const Bytes = 64 << 10

// Buffer is lent memory. It has room for Bytes, of which its user may leave some free at either end for the framing of a
// chunk.
type Buffer struct{ Bytes [Bytes]byte }

// Pool lends buffers. The zero value is ready to use.
type Pool struct{ pool sync.Pool }

// Get returns a buffer with undefined content.
func (p *Pool) Get() *Buffer {
	if b, ok := p.pool.Get().(*Buffer); ok {
		return b
	}
	return new(Buffer)
}

// Put takes a buffer back.
func (p *Pool) Put(b *Buffer) {
	Mangle(b.Bytes[:])
	p.pool.Put(b)
}
