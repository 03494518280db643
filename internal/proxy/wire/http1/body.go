package http1

// Framing says how the end of a body is found.
type Framing uint8

// The framings.
const (
	NoBody     Framing = iota
	ByLength           // Content-Length
	ByChunks           // Transfer-Encoding: chunked
	UntilClose         // the end of the connection: responses only
)

// Body follows a message's body as its bytes pass by.
type Body struct {
	Framing   Framing
	remaining int64
	Chunks    Chunked
	ended     bool
}

// StartRequest starts the body of a request.
func (b *Body) StartRequest(head *Head) {
	switch {
	case head.Chunked:
		b.start(ByChunks, 0)
	case head.ContentLength > 0:
		b.start(ByLength, head.ContentLength)
	default:
		b.start(NoBody, 0)
	}
}

// StartResponse starts the body of a response (RFC 9112 6.3).
func (b *Body) StartResponse(response *Response, toHead bool) {
	switch {
	case response.Bodyless(toHead) || response.ContentLength == 0:
		b.start(NoBody, 0)
	case response.Chunked:
		b.start(ByChunks, 0)
	case response.ContentLength > 0:
		b.start(ByLength, response.ContentLength)
	default:
		b.start(UntilClose, 0)
	}
}

func (b *Body) start(framing Framing, length int64) {
	b.Framing, b.remaining, b.ended = framing, length, framing == NoBody
	if framing == ByChunks {
		b.Chunks.Reset()
	}
}

// Done reports whether all of the body has been taken.
func (b *Body) Done() bool { return b.ended }

// Remaining returns how many bytes of a body by length are yet to come.
func (b *Body) Remaining() int64 { return b.remaining }

// Skip notes that n bytes of a body by length have passed elsewhere.
func (b *Body) Skip(n int64) {
	b.remaining -= n
	b.ended = b.remaining == 0
}

// Take takes up the next bytes of the connection and moves what must be passed on to the front of p; see Chunked.Take. It
// returns how many bytes are kept in this way, and how many bytes of p belong to the body.
func (b *Body) Take(p []byte, framing bool) (kept, taken int, err error) {
	switch b.Framing {
	case ByLength:
		n := int(min(b.remaining, int64(len(p))))
		b.Skip(int64(n))
		return n, n, nil
	case ByChunks:
		kept, taken, err = b.Chunks.Take(p, framing)
		b.ended = b.Chunks.Done()
		return kept, taken, err
	case UntilClose:
		return len(p), len(p), nil
	default:
		return 0, 0, nil
	}
}

// End takes up the end of the connection. It is a violation unless it also ends the body.
func (b *Body) End() error {
	if b.ended {
		return nil
	}
	if b.Framing != UntilClose {
		return UnexpectedEnd
	}
	b.ended = true
	return nil
}
