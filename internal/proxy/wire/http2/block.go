package http2

import (
	"golang.org/x/net/http2/hpack"
)

// blockKind is what a header block is.
type blockKind uint8

const (
	requestBlock blockKind = iota
	responseBlock
	trailerBlock
	ignoredBlock // a block of a stream that has ended; it is decoded all the same, since it changes the decoder's table
)

// block is a header block while it is decoded. Its fields are collected as the lines of an HTTP/1.1 head.
type block struct {
	kind   blockKind
	stream uint32
	ended  bool // the block ends the stream
	frames int
	bytes  int // compressed

	limit     int
	lines     []byte
	cookie    []byte
	method    string
	scheme    string
	authority string
	path      string
	host      string
	status    int
	seen      pseudo // the pseudo-header fields that have come
	regular   bool   // a regular field has come
	length    int64  // the value of content-length, or -1
	tooLarge  bool
	// malformed says what is wrong with the block (RFC 9113 8.1.1).
	malformed string
}

type pseudo uint8

const (
	seenMethod pseudo = 1 << iota
	seenScheme
	seenAuthority
	seenPath
	seenStatus
	seenHost
)

func (b *block) reset(kind blockKind, stream uint32, ended bool, limit int) {
	*b = block{kind: kind, stream: stream, ended: ended, limit: limit, lines: b.lines[:0], cookie: b.cookie[:0], length: -1}
}

// add takes up the next field, by the rules of RFC 9113 8.2 and 8.3.
func (b *block) add(f hpack.HeaderField) {
	if b.malformed != "" || b.tooLarge || b.kind == ignoredBlock {
		return
	}
	if b.bytesOf(f) > b.limit {
		b.tooLarge = true
		return
	}
	if len(f.Name) == 0 {
		b.malformed = "empty field name"
		return
	}
	if f.Name[0] == ':' {
		b.addPseudo(f)
		return
	}
	b.regular = true
	for i := 0; i < len(f.Name); i++ {
		if !isFieldName[f.Name[i]] {
			b.malformed = "malformed field name"
			return
		}
	}
	if !validValue(f.Value) {
		b.malformed = "malformed field value"
		return
	}
	switch f.Name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		b.malformed = "field of the connection" // RFC 9113 8.2.2
		return
	case "te":
		if f.Value != "trailers" {
			b.malformed = "te other than trailers"
			return
		}
	case "content-length":
		if b.kind == trailerBlock {
			return
		}
		length, ok := parseLength(f.Value)
		if !ok || b.length >= 0 {
			b.malformed = "malformed or repeated content-length"
			return
		}
		b.length = length
	case "host":
		if b.kind != requestBlock {
			break
		}
		if b.seen&seenHost != 0 {
			b.malformed = "repeated host"
			return
		}
		b.seen |= seenHost
		b.host = f.Value
		return
	case "cookie":
		if b.kind != requestBlock {
			break
		}
		if len(b.cookie) > 0 { // RFC 9113 8.2.3
			b.cookie = append(b.cookie, "; "...)
		}
		b.cookie = append(b.cookie, f.Value...)
		return
	}
	b.lines = appendLine(b.lines, f.Name, f.Value)
}

// bytesOf returns the size of the head with the field.
func (b *block) bytesOf(f hpack.HeaderField) int {
	return len(b.lines) + len(b.cookie) + len(b.method) + len(b.authority) + len(b.host) + len(b.path) +
		len(f.Name) + len(f.Value) + len(": \r\n")
}

func appendLine(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

func (b *block) addPseudo(f hpack.HeaderField) {
	var which pseudo
	switch {
	case b.regular:
		b.malformed = "pseudo-header field after others"
		return
	case !validValue(f.Value):
		b.malformed = "malformed pseudo-header field"
		return
	case b.kind == requestBlock:
		switch f.Name {
		case ":method":
			which, b.method = seenMethod, f.Value
		case ":scheme":
			which, b.scheme = seenScheme, f.Value
		case ":authority":
			which, b.authority = seenAuthority, f.Value
		case ":path":
			which, b.path = seenPath, f.Value
		}
	case b.kind == responseBlock && f.Name == ":status":
		which = seenStatus
		if len(f.Value) == 3 {
			status, ok := parseLength(f.Value)
			if ok {
				b.status = int(status)
			}
		}
	}
	if which == 0 || b.seen&which != 0 {
		b.malformed = "unknown or repeated pseudo-header field"
	}
	b.seen |= which
}

// finish makes the checks that need all fields.
func (b *block) finish() {
	if b.malformed != "" || b.tooLarge {
		return
	}
	switch b.kind {
	case requestBlock:
		b.finishRequest()
	case responseBlock:
		if b.status < 100 || b.status == 101 || b.status < 200 && b.ended { // RFC 9113 8.1, 8.6
			b.malformed = "malformed :status"
		}
	}
}

func (b *block) finishRequest() {
	isConnect := b.method == "CONNECT"
	switch {
	case b.seen&seenMethod == 0 || !isToken(b.method):
		b.malformed = "missing or malformed :method"
	case isConnect && (b.seen&(seenScheme|seenPath) != 0 || b.authority == ""):
		b.malformed = "malformed CONNECT"
	case isConnect:
		b.path = b.authority
	case b.scheme != "http" && b.scheme != "https":
		b.malformed = "missing or unknown :scheme"
	case b.path == "" || b.path[0] != '/' && (b.path != "*" || b.method != "OPTIONS"):
		b.malformed = "missing or malformed :path"
	case b.authority != "" && b.seen&seenHost != 0 && b.host != b.authority:
		b.malformed = "host is not :authority" // RFC 9113 8.3.1
	case b.ended && b.length > 0:
		b.malformed = "content-length without content"
	}
	if b.authority == "" {
		b.authority = b.host
	} else {
		b.seen |= seenHost
	}
}

// appendText appends the head as HTTP/1.1 would write it, so that the parser of HTTP/1.1 can judge the rest of it.
func (b *block) appendText(dst []byte) []byte {
	switch b.kind {
	case requestBlock:
		dst = append(dst, b.method...)
		dst = append(dst, ' ')
		dst = append(dst, b.path...)
		dst = append(dst, " HTTP/1.1\r\n"...)
		if b.seen&seenHost != 0 {
			dst = appendLine(dst, "host", b.authority)
		}
		dst = append(dst, b.lines...)
		if len(b.cookie) > 0 {
			dst = append(dst, "cookie: "...)
			dst = append(dst, b.cookie...)
			dst = append(dst, "\r\n"...)
		}
		switch {
		case b.length >= 0:
		case !b.ended:
			dst = append(dst, "transfer-encoding: chunked\r\n"...)
		case b.method == "POST" || b.method == "PUT" || b.method == "PATCH":
			dst = append(dst, "content-length: 0\r\n"...) // RFC 9110 8.6
		}
	case responseBlock:
		dst = append(dst, "HTTP/1.1 "...)
		dst = append(dst, byte('0'+b.status/100), byte('0'+b.status/10%10), byte('0'+b.status%10))
		dst = append(dst, " \r\n"...)
		dst = append(dst, b.lines...)
	case trailerBlock:
		dst = append(dst, b.lines...)
	}
	return append(dst, "\r\n"...)
}

// isFieldName marks the characters of a field name: of a token, without upper case (RFC 9113 8.2.1).
var isFieldName = characters("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")

func characters(list string) (set [256]bool) {
	for i := 0; i < len(list); i++ {
		set[list[i]] = true
	}
	return set
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isFieldName[c] && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(s) > 0
}

// validValue refuses control characters, of which RFC 9113 8.2.1 demands only some, and blanks at the ends.
func validValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return len(s) == 0 || !isBlank(s[0]) && !isBlank(s[len(s)-1])
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// parseLength parses nothing but digits, at most 18 of them, which cannot overflow.
func parseLength(s string) (length int64, ok bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		length = length*10 + int64(s[i]-'0')
	}
	return length, true
}
