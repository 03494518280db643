package http2

// partChunks bounds how much is taken at once. A peer with small windows, or many at once, makes it less.
const partChunks = 8

// Part is a part of a body on its way from one stream to another. It stays in the memory into which it was read, so that it
// needs no other memory while it waits.
type Part struct {
	endpoint *Endpoint
	chunks   [partChunks]*chunk
	first    int // the first of chunks that has not been released
	count    int
	flat     []byte // more bytes, in memory that the caller keeps
	length   int
}

// PartOf returns a part of bytes that the caller keeps.
func PartOf(data []byte) Part { return Part{flat: data, length: len(data)} }

// Len returns how many bytes of the part have not been sent.
func (p *Part) Len() int { return p.length }

func (p *Part) add(c *chunk) {
	p.chunks[p.count] = c
	p.count++
	p.length += c.end - c.start
}

// appendTo moves the first n bytes to the end of dst.
func (p *Part) appendTo(dst []byte, n int) []byte {
	p.length -= n
	for n > 0 && p.first < p.count {
		c := p.chunks[p.first]
		k := min(n, c.end-c.start)
		dst = append(dst, c.bytes[c.start:c.start+k]...)
		c.start += k
		n -= k
		if c.start == c.end {
			p.release(p.first)
			p.first++
		}
	}
	dst = append(dst, p.flat[:n]...)
	p.flat = p.flat[n:]
	return dst
}

func (p *Part) release(i int) {
	p.endpoint.putChunk(p.chunks[i])
	p.chunks[i] = nil
}

// Release gives back what has not been sent. The part can be used again.
func (p *Part) Release() {
	for i := p.first; i < p.count; i++ {
		p.release(i)
	}
	*p = Part{}
}
