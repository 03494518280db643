package proxy

// bodyBufferBytes is how much of a body is moved at once.
const bodyBufferBytes = 64 << 10

// buffer is a pooled buffer for bodies, with room before and after what is read for the framing of a chunk.
type buffer struct{ bytes [bodyBufferBytes]byte }

func (p *Proxy) getBuffer() *buffer { return p.buffers.Get().(*buffer) }

func (p *Proxy) putBuffer(b *buffer) {
	mangle(b.bytes[:])
	p.buffers.Put(b)
}
