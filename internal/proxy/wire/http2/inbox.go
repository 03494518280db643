package http2

// chunkBytes is the size of the pieces of memory in which a stream holds what has come and has not been taken.
const chunkBytes = 8 << 10

type chunk struct {
	bytes      [chunkBytes]byte
	start, end int
}

// inbox is the part of a body that has come and has not been taken. It may keep what has been taken, so that it can be
// taken again.
type inbox struct {
	chunks []*chunk
	length int
	next   int // the chunk that is read next; those before it are kept
	keeps  bool
	kept   int // how much has been taken and is kept
}

func (b *inbox) write(e *Endpoint, p []byte) {
	b.length += len(p)
	for len(p) > 0 {
		var last *chunk
		if n := len(b.chunks); n > 0 && b.chunks[n-1].end < chunkBytes {
			last = b.chunks[n-1]
		} else {
			last = e.getChunk()
			b.chunks = append(b.chunks, last)
		}
		n := copy(last.bytes[last.end:], p)
		last.end += n
		p = p[n:]
	}
}

func (b *inbox) read(e *Endpoint, p []byte) (n int) {
	for len(p) > 0 && b.length > 0 {
		c := b.chunks[b.next]
		k := copy(p, c.bytes[c.start:c.end])
		c.start += k
		b.length -= k
		n += k
		p = p[k:]
		switch {
		case c.start < c.end:
		case !b.keeps:
			b.free(e, 1)
		case c.end == chunkBytes:
			b.next++
		}
	}
	if b.keeps {
		b.kept += n
	}
	return n
}

// take moves whole chunks into the part, as many as it has room for. If the bytes must be kept, it copies up to limit bytes
// instead.
func (b *inbox) take(e *Endpoint, part *Part, limit int) {
	if !b.keeps {
		n := min(len(b.chunks), partChunks)
		for _, c := range b.chunks[:n] {
			part.add(c)
		}
		b.length -= part.length
		b.remove(n)
		return
	}
	for part.count < partChunks && b.length > 0 && part.length < limit {
		c := e.getChunk()
		c.end = b.read(e, c.bytes[:min(chunkBytes, limit-part.length)])
		part.add(c)
	}
}

// free gives the first n chunks back.
func (b *inbox) free(e *Endpoint, n int) {
	for _, c := range b.chunks[:n] {
		e.putChunk(c)
	}
	b.remove(n)
}

func (b *inbox) remove(n int) {
	rest := copy(b.chunks, b.chunks[n:])
	clear(b.chunks[rest:])
	b.chunks = b.chunks[:rest]
}

// keep keeps all that is taken from now on. Nothing must have been taken before.
func (b *inbox) keep() { b.keeps = true }

// forget ends keeping, and drops what was kept.
func (b *inbox) forget(e *Endpoint) {
	if b.next < len(b.chunks) && b.chunks[b.next].start == b.chunks[b.next].end {
		b.next++
	}
	b.free(e, b.next)
	b.keeps, b.next, b.kept = false, 0, 0
}

// rewind puts back what has been kept. It returns how much that was.
func (b *inbox) rewind() (n int) {
	for i := 0; i <= b.next && i < len(b.chunks); i++ {
		b.chunks[i].start = 0
	}
	n = b.kept
	b.length += n
	b.next, b.kept = 0, 0
	return n
}

// drop forgets everything. It returns how much had not been taken.
func (b *inbox) drop(e *Endpoint) int {
	length := b.length
	b.free(e, len(b.chunks))
	*b = inbox{}
	return length
}
