package http2

// chunkBytes is how much memory a stream takes at once for what has come and has not been taken.
const chunkBytes = 8 << 10

type chunk struct {
	bytes      [chunkBytes]byte
	start, end int
}

// inbox is the part of a body that has come and has not been taken.
type inbox struct {
	chunks []*chunk
	length int
}

func (b *inbox) write(e *Endpoint, p []byte) {
	b.length += len(p)
	for len(p) > 0 {
		var last *chunk
		if n := len(b.chunks); n > 0 && b.chunks[n-1].end < chunkBytes {
			last = b.chunks[n-1]
		} else {
			last = e.chunks.Get().(*chunk)
			last.start, last.end = 0, 0
			b.chunks = append(b.chunks, last)
		}
		n := copy(last.bytes[last.end:], p)
		last.end += n
		p = p[n:]
	}
}

func (b *inbox) read(e *Endpoint, p []byte) (n int) {
	for len(p) > 0 && b.length > 0 {
		first := b.chunks[0]
		k := copy(p, first.bytes[first.start:first.end])
		first.start += k
		b.length -= k
		n += k
		p = p[k:]
		if first.start == first.end {
			e.chunks.Put(first)
			copy(b.chunks, b.chunks[1:])
			b.chunks[len(b.chunks)-1] = nil
			b.chunks = b.chunks[:len(b.chunks)-1]
		}
	}
	return n
}

// drop forgets everything. It returns how much that was.
func (b *inbox) drop(e *Endpoint) int {
	for _, c := range b.chunks {
		e.chunks.Put(c)
	}
	length := b.length
	*b = inbox{}
	return length
}
