package http1

const (
	maxChunkDigits     = 16
	maxExtensionsBytes = 16 << 10 // limits for one body
	maxTrailersBytes   = 8 << 10
	maxTrailerFields   = 50
)

// Chunked follows a body in the transfer coding chunked (RFC 9112 7.1) as its bytes pass by. It checks the framing,
// drops chunk extensions and sets the trailers aside.
type Chunked struct {
	state      chunkState
	digits     int
	remaining  int64 // the value of the size line while it is read, then the rest of the chunk's data
	extensions int   // how many bytes it has seen
	trailers   []byte
	fields     Head // the trailers, once they are complete
}

type chunkState uint8

const (
	inSize chunkState = iota
	inExtension
	afterSizeCR
	inData
	afterData
	afterDataCR
	atTrailers
	afterLastCR
	inTrailers
	atEnd
)

// Reset starts a new body.
func (c *Chunked) Reset() {
	*c = Chunked{trailers: c.trailers[:0], fields: Head{Fields: c.fields.Fields[:0]}}
}

// Done reports whether the body has ended, trailers included.
func (c *Chunked) Done() bool { return c.state == atEnd }

// Take takes up the next bytes of the body and moves what must be passed on to the front of p. With framing that is everything
// except chunk extensions and trailers (when there are trailers, the final empty line belongs to them; see AppendTrailers);
// without framing it is the data alone. It returns how many bytes are kept in this way, and how many bytes of p belong to the
// body.
func (c *Chunked) Take(p []byte, framing bool) (kept, taken int, err error) {
	i, w := 0, 0
	for i < len(p) && c.state != atEnd {
		if c.state == inData {
			n := int(min(c.remaining, int64(len(p)-i)))
			if w != i {
				copy(p[w:], p[i:i+n])
			}
			w += n
			i += n
			if c.remaining -= int64(n); c.remaining == 0 {
				c.state = afterData
			}
			continue
		}
		b := p[i]
		i++
		keep := framing
		switch c.state {
		case inSize:
			if err := c.sizeByte(b); err != nil {
				return w, i, err
			}
			keep = keep && c.state != inExtension
		case inExtension:
			switch {
			case b == '\r':
				c.state = afterSizeCR
			case b < ' ' && b != '\t' || b == 0x7f:
				return w, i, BadChunk
			default:
				keep = false
				if c.extensions++; c.extensions > maxExtensionsBytes {
					return w, i, ChunkExtensionsTooLong
				}
			}
		case afterSizeCR:
			if b != '\n' {
				return w, i, BadChunk
			}
			if c.state = inData; c.remaining == 0 {
				c.state = atTrailers
			}
		case afterData:
			if b != '\r' {
				return w, i, BadChunk
			}
			c.state = afterDataCR
		case afterDataCR:
			if b != '\n' {
				return w, i, BadChunk
			}
			c.state, c.digits, c.remaining = inSize, 0, 0
		case atTrailers:
			if b == '\r' {
				c.state = afterLastCR
				break
			}
			keep = false
			c.state, c.trailers = inTrailers, c.trailers[:0]
			if err := c.trailerByte(b); err != nil {
				return w, i, err
			}
		case afterLastCR:
			if b != '\n' {
				return w, i, BadChunk
			}
			c.state = atEnd
		case inTrailers:
			keep = false
			if err := c.trailerByte(b); err != nil {
				return w, i, err
			}
		}
		if keep {
			p[w] = b
			w++
		}
	}
	return w, i, nil
}

func (c *Chunked) sizeByte(b byte) error {
	value, ok := hexDigit(b)
	switch {
	case ok:
		c.digits++
		if c.digits > maxChunkDigits || c.remaining>>58 != 0 {
			return BadChunk
		}
		c.remaining = c.remaining<<4 | int64(value)
	case c.digits == 0:
		return BadChunk
	case b == '\r':
		c.state = afterSizeCR
	case b == ';':
		c.state = inExtension
	default:
		return BadChunk
	}
	return nil
}

func (c *Chunked) trailerByte(b byte) error {
	if len(c.trailers) == maxTrailersBytes {
		return TrailersTooLong
	}
	c.trailers = append(c.trailers, b)
	n := len(c.trailers)
	if b == '\n' && (n < 2 || c.trailers[n-2] != '\r') {
		return BadLineEnd // At once: a sender that ends lines like that waits for a response.
	}
	if b != '\n' || n < 4 || string(c.trailers[n-4:]) != "\r\n\r\n" {
		return nil
	}
	c.fields.reset(maxTrailerFields)
	if end, err := c.fields.parseFields(c.trailers); err != nil {
		return err
	} else if end != n {
		return BadFieldName
	}
	c.fields.Bytes = c.trailers
	c.state = atEnd
	return nil
}

// HasTrailers reports whether the body that has ended has trailers.
func (c *Chunked) HasTrailers() bool { return c.state == atEnd && len(c.trailers) > 0 }

// AppendTrailers appends the trailers and the final empty line. Fields that say something about framing, routing or
// the connection, or that only the proxy may set, are left out (RFC 9110 6.5.1; A-199).
func (c *Chunked) AppendTrailers(dst []byte) []byte {
	for i := range c.fields.Fields {
		if f := &c.fields.Fields[i]; f.Name == Other {
			dst = append(dst, c.trailers[f.Start:f.End]...)
		}
	}
	return append(dst, '\r', '\n')
}
