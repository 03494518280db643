// Package http1 parses HTTP/1.1 messages: heads, bodies, chunks and trailers, on both sides of the proxy. It works on
// bytes that the caller has read and keeps offsets into them; it neither reads nor allocates, and knows nothing of
// routing.
//
// It is stricter than RFC 9112 demands. Whatever two implementations could read in two ways is refused: a message
// with Content-Length and Transfer-Encoding, a second line of either or of Host, a transfer coding other than
// chunked, a space before a colon, a bare line feed, a folded line, a control character. So what has passed means the
// same to every target, and nothing can be smuggled.
//
// The goroutines of connections call it, those of clients in downstream/http1 and those to targets in upstream.
package http1

import "bytes"

// MaxHeadBytes bounds a head, first line included: more than 60 KB of headers are refused (UG troubleshooting; A-185).
const MaxHeadBytes = 60 << 10

// LoopName is how CDN-Loop lines name Trellis.
const LoopName = "trellis"

// Field is one header line, as offsets into the bytes of its head. MaxHeadBytes keeps them within 16 bits.
type Field struct {
	Start      uint16 // the start of the line, and of the name
	NameEnd    uint16
	ValueStart uint16
	ValueEnd   uint16
	End        uint16 // the end of the line, after its CRLF
	Name       Name
	// Named says that a Connection line names the field: it is meant for the next hop alone (RFC 9110 7.6.1).
	Named bool
}

// Head has the parts that requests and responses share: the version and the header lines.
type Head struct {
	// Bytes is the whole head once it is complete, from the first line to the empty one.
	Bytes  []byte
	Fields []Field
	// Minor is the protocol's minor version: 1, or 0 for HTTP/1.0.
	Minor byte
	// ContentLength is the value of the header, or -1 when there is none.
	ContentLength int64
	// Chunked says that the body has the transfer coding chunked.
	Chunked bool
	// Close, KeepAlive and Upgrade are the options of Connection lines that the proxy acts on.
	Close     bool
	KeepAlive bool
	Upgrade   bool
	// UpgradesHTTP says that an Upgrade line names what carries HTTP: another version of it, or TLS.
	UpgradesHTTP bool
	// TETrailers says that the sender of the head accepts trailers.
	TETrailers bool
	// Continue says that the sender of the head waits for a 100 (Continue) before it sends the body.
	Continue bool
	// Hops is how many times the message has passed through a Trellis: how often CDNLoop lines name it.
	Hops int

	host      int16 // index of the Host line, or -1
	line      int   // the start of the first line that has not been parsed
	seen      int   // how far an incomplete line has been searched for its end
	maxFields int
	named     int // how many options of Connection lines name other fields
}

func (h *Head) reset(maxFields int) {
	if cap(h.Fields) < maxFields {
		h.Fields = make([]Field, 0, maxFields)
	}
	fields := h.Fields[:0]
	*h = Head{Fields: fields, ContentLength: -1, host: -1, maxFields: maxFields}
}

// Header implements routing.Headers: it returns the value of the first line of that name (in lower case) at or after
// the position from, and the position after it; next is negative when there is none.
func (h *Head) Header(name string, from int) (value []byte, next int) {
	for i := from; i < len(h.Fields); i++ {
		f := &h.Fields[i]
		if int(f.NameEnd-f.Start) == len(name) && EqualFold(h.Bytes[f.Start:f.NameEnd], name) {
			return h.Bytes[f.ValueStart:f.ValueEnd], i + 1
		}
	}
	return nil, -1
}

// First returns the value of the first line of a name, or nil if there is none.
func (h *Head) First(name Name) []byte {
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Name == name {
			return h.Value(f)
		}
	}
	return nil
}

// Value returns the value of a field.
func (h *Head) Value(f *Field) []byte { return h.Bytes[f.ValueStart:f.ValueEnd] }

// parse parses a head at the start of b, whose first line parseLine takes apart. It returns the head's length, or 0 when
// b does not hold all of it; the next call goes on where this one was.
func (h *Head) parse(b []byte, parseLine func(line []byte) error) (int, error) {
	if h.waiting(b) {
		if len(b) >= MaxHeadBytes {
			return 0, HeadTooLarge
		}
		return 0, nil
	}
	first := h.line == 0
	if first {
		// The first line is found whole before it is parsed: its parts are few, and their ends must be on one line.
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return h.incomplete(b, 0)
		}
		if err := parseLine(b[:end+1]); err != nil {
			return 0, err
		}
		h.line = end + 1
	}
	n, err := h.parseFields(b)
	if n == 0 || err != nil {
		return 0, err
	}
	if !first { // The bytes may have moved since the first line was parsed.
		if err := parseLine(b[:bytes.IndexByte(b, '\n')+1]); err != nil {
			return 0, err
		}
	}
	if err := h.finish(b[:n:n]); err != nil {
		return 0, err
	}
	return n, nil
}

// waiting reports whether b, which continues an incomplete head, still lacks the end of a line. Without it, a head that arrives
// byte by byte would be scanned from the start of the line for every byte.
func (h *Head) waiting(b []byte) bool {
	if h.seen > 0 && h.seen <= len(b) && bytes.IndexByte(b[h.seen:], '\n') < 0 {
		h.seen = len(b)
		return true
	}
	return false
}

// incomplete notes that the line at start is not complete.
func (h *Head) incomplete(b []byte, start int) (int, error) {
	if len(b) >= MaxHeadBytes {
		return 0, HeadTooLarge
	}
	h.line, h.seen = start, len(b)
	return 0, nil
}

// parseFields parses header lines from h.line to the empty line. It returns the length of the head, or 0 when b does
// not hold all of it.
func (h *Head) parseFields(b []byte) (int, error) {
	i := h.line
	for {
		start := i
		for i < len(b) && isToken[b[i]] {
			i++
		}
		if i == len(b) {
			return h.incomplete(b, start)
		}
		if b[i] != ':' || i == start {
			if b[i] != '\r' || i != start {
				return 0, BadFieldName // This also refuses a folded line, and a space before the colon.
			}
			if i+1 == len(b) {
				return h.incomplete(b, start)
			}
			if b[i+1] != '\n' {
				return 0, BadLineEnd
			}
			if i+2 > MaxHeadBytes {
				return 0, HeadTooLarge
			}
			return i + 2, nil
		}
		nameEnd := i
		for i++; i < len(b) && isBlank(b[i]); {
			i++
		}
		valueStart := i
		i = textEnd(b, i)
		if i+1 >= len(b) {
			return h.incomplete(b, start)
		}
		if b[i] != '\r' || b[i+1] != '\n' {
			if b[i] == '\r' || b[i] == '\n' {
				return 0, BadLineEnd
			}
			return 0, BadFieldValue
		}
		valueEnd := i
		for valueEnd > valueStart && isBlank(b[valueEnd-1]) {
			valueEnd--
		}
		i += 2
		if i > MaxHeadBytes {
			return 0, HeadTooLarge
		}
		if len(h.Fields) == h.maxFields {
			return 0, TooManyFields
		}
		name := nameOf(b[start:nameEnd])
		h.Fields = append(h.Fields, Field{
			Start: uint16(start), NameEnd: uint16(nameEnd),
			ValueStart: uint16(valueStart), ValueEnd: uint16(valueEnd), End: uint16(i),
			Name: name,
		})
		if name != Other {
			if err := h.interpret(name, b[valueStart:valueEnd]); err != nil {
				return 0, err
			}
		}
	}
}

// interpret takes up what a header line says about the message and the connection.
func (h *Head) interpret(name Name, value []byte) error {
	switch name {
	case Host:
		if h.host >= 0 {
			return RepeatedHost
		}
		h.host = int16(len(h.Fields) - 1)
	case ContentLength:
		if h.ContentLength >= 0 {
			return RepeatedContentLength
		}
		length, ok := parseLength(value)
		if !ok {
			return BadContentLength
		}
		h.ContentLength = length
	case TransferEncoding:
		if h.Chunked {
			return RepeatedTransferEncoding
		}
		if !EqualFold(value, "chunked") {
			return BadTransferEncoding
		}
		h.Chunked = true
	case CDNLoop:
		options(value, h.passed)
	case Connection:
		options(value, h.connectionOption)
		if h.named > h.maxFields { // Each option is compared with every line.
			return TooManyFields
		}
	case TE:
		options(value, h.acceptedCoding)
	case Upgrade:
		options(value, h.upgradeProtocol)
	case Expect:
		h.Continue = h.Continue || EqualFold(value, "100-continue")
	}
	return nil
}

// passed takes up an element of a CDN-Loop line: a name, and parameters behind semicolons (RFC 8586 2).
func (h *Head) passed(through []byte) {
	name, _, _ := bytes.Cut(through, []byte(";"))
	if EqualFold(trim(name), LoopName) {
		h.Hops++
	}
}

func (h *Head) connectionOption(option []byte) {
	switch {
	case EqualFold(option, "close"):
		h.Close = true
	case EqualFold(option, "keep-alive"):
		h.KeepAlive = true
	case EqualFold(option, "upgrade"):
		h.Upgrade = true
	case EqualFold(option, "te"):
	default:
		h.named++
	}
}

func (h *Head) acceptedCoding(coding []byte) {
	if EqualFold(coding, "trailers") {
		h.TETrailers = true
	}
}

// upgradeProtocol takes up an element of an Upgrade line: a name, and a version behind a slash (RFC 9110 7.8).
func (h *Head) upgradeProtocol(protocol []byte) {
	name, _, _ := bytes.Cut(protocol, []byte("/"))
	for _, carrier := range [...]string{"h2c", "h2", "http", "tls"} {
		h.UpgradesHTTP = h.UpgradesHTTP || EqualFold(name, carrier)
	}
}

// finish checks what can be checked only once all lines are known. The head is b.
func (h *Head) finish(b []byte) error {
	h.Bytes = b
	if h.Chunked {
		// RFC 9112 6.1 lets a server accept these, but a target may read them in another way.
		if h.ContentLength >= 0 {
			return ContentLengthAndTransferEncoding
		}
		if h.Minor == 0 {
			return TransferEncodingInHTTP10
		}
	}
	if h.named > 0 {
		for i := range h.Fields {
			if f := &h.Fields[i]; f.Name == Connection {
				options(h.Value(f), h.mark)
			}
		}
	}
	return nil
}

// mark marks the fields that a connection option names. A sender must not remove those that say where the message goes and
// where it ends (RFC 9110 7.6.1); they are replaced anyway.
func (h *Head) mark(option []byte) {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.Name == Host || f.Name == ContentLength || f.Name == TransferEncoding {
			continue
		}
		if equalFoldBytes(h.Bytes[f.Start:f.NameEnd], option) {
			f.Named = true
		}
	}
}

func equalFoldBytes(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if x >= 'A' && x <= 'Z' {
			x |= 0x20
		}
		if y >= 'A' && y <= 'Z' {
			y |= 0x20
		}
		if x != y {
			return false
		}
	}
	return true
}

// parseLength parses a Content-Length: nothing but digits (RFC 9110 8.6), at most 18 of them, which cannot overflow.
func parseLength(value []byte) (length int64, ok bool) {
	if len(value) == 0 || len(value) > 18 {
		return 0, false
	}
	for _, c := range value {
		if !isDigit(c) {
			return 0, false
		}
		length = length*10 + int64(c-'0')
	}
	return length, true
}
