package http1

import "bytes"

// maxRequestFields bounds the header lines of a request (UG troubleshooting: more than 100 headers are refused).
const maxRequestFields = 100

// Request is the head of a request.
type Request struct {
	Head
	Method []byte
	// Path is the path as received, neither decoded nor normalised; "*" in an OPTIONS request for the whole server.
	Path []byte
	// Query is the rest of the request target, with its question mark; empty when there is none.
	Query []byte
	// Host is the host and port that the request is for: those of an absolute request target, which take precedence, or the
	// value of the Host line. It is nil in an HTTP/1.0 request without either.
	Host []byte
	// Absolute says that the request target was in absolute form, so that Host need not be what the Host line says.
	Absolute bool
}

// Reset forgets everything, so that the next Parse starts a new head.
func (r *Request) Reset() {
	r.reset(maxRequestFields)
	*r = Request{Head: r.Head}
}

// Parse parses the head of a request at the start of b. It returns the head's length, or 0 when b does not hold all of
// it: call it again with the same bytes and more, and it goes on where it was. The request refers to b.
func (r *Request) Parse(b []byte) (int, error) {
	n, err := r.parse(b, r.parseLine)
	if n == 0 || err != nil {
		return 0, err
	}
	if err := r.checkHost(); err != nil {
		return 0, err
	}
	return n, nil
}

// parseLine parses the request line, which ends in a line feed.
func (r *Request) parseLine(line []byte) error {
	if len(line) < len("M / HTTP/1.1\r\n") || line[len(line)-2] != '\r' {
		return BadRequestLine
	}
	i := 0
	for isToken[line[i]] {
		i++
	}
	if i == 0 || line[i] != ' ' {
		return BadMethod
	}
	r.Method = line[:i]
	start := i + 1
	end := len(line) - len(" HTTP/1.1\r\n")
	if end <= start {
		return BadRequestLine
	}
	version := line[end : len(line)-2]
	if string(version[:8]) != " HTTP/1." || version[8] != '0' && version[8] != '1' {
		if string(version[:6]) == " HTTP/" && isDigit(version[6]) && version[7] == '.' && isDigit(version[8]) {
			return BadVersion
		}
		return BadRequestLine
	}
	r.Minor = version[8] - '0'
	return r.parseTarget(line[start:end])
}

var (
	slash    = []byte("/")
	asterisk = []byte("*")
)

// parseTarget parses the request target (RFC 9112 3.2). CONNECT, whose target has a form of its own, is left to the
// caller to refuse.
func (r *Request) parseTarget(target []byte) error {
	switch {
	case target[0] == '/':
		return r.parsePath(target)
	case len(target) == 1 && target[0] == '*' && string(r.Method) == "OPTIONS":
		r.Path = target
		return nil
	case string(r.Method) == "CONNECT":
		r.Path = target
		return r.checkText(target)
	}
	rest, ok := cutScheme(target)
	if !ok {
		return BadTarget
	}
	end := 0
	for end < len(rest) && rest[end] != '/' && rest[end] != '?' {
		end++
	}
	if end == 0 || !validHost(rest[:end]) {
		return BadTarget
	}
	r.Host, r.Absolute = rest[:end], true
	switch rest = rest[end:]; {
	case len(rest) == 0 && string(r.Method) == "OPTIONS":
		r.Path = asterisk // RFC 9112 3.2.4
		return nil
	case len(rest) == 0:
		r.Path = slash
		return nil
	case rest[0] == '?':
		r.Path, r.Query = slash, rest
		return r.checkText(rest)
	default:
		return r.parsePath(rest)
	}
}

// parsePath parses a path and a query. A percent sign in the path must start an escape, so that a target which
// decodes it has nothing to guess; bytes above ASCII pass, as clients send them.
func (r *Request) parsePath(target []byte) error {
	for i := 0; i < len(target); i++ {
		switch c := target[i]; {
		case c <= ' ' || c == 0x7f || c == '#':
			return BadTarget
		case c == '?':
			r.Path, r.Query = target[:i], target[i:]
			return r.checkText(r.Query)
		case c == '%':
			if i+2 >= len(target) {
				return BadTarget
			}
			if _, ok := hexDigit(target[i+1]); !ok {
				return BadTarget
			}
			if _, ok := hexDigit(target[i+2]); !ok {
				return BadTarget
			}
		}
	}
	r.Path, r.Query = target, nil
	return nil
}

func (r *Request) checkText(b []byte) error {
	for _, c := range b {
		if c <= ' ' || c == 0x7f || c == '#' {
			return BadTarget
		}
	}
	return nil
}

// cutScheme removes http:// or https://, in any case.
func cutScheme(target []byte) (rest []byte, ok bool) {
	colon := bytes.IndexByte(target, ':')
	if colon < 0 || len(target) < colon+3 || target[colon+1] != '/' || target[colon+2] != '/' ||
		!EqualFold(target[:colon], "http") && !EqualFold(target[:colon], "https") {
		return nil, false
	}
	return target[colon+3:], true
}

// checkHost checks the Host line and takes it up. If the request target is absolute, the line is checked and then ignored
// (RFC 9112 3.2.2).
func (r *Request) checkHost() error {
	if r.host < 0 {
		if r.Minor == 1 {
			return MissingHost // RFC 9112 3.2
		}
		return nil
	}
	value := r.Value(&r.Fields[r.host])
	if len(value) > 0 && !validHost(value) {
		return BadHost
	}
	if !r.Absolute {
		r.Host = value
	}
	return nil
}

// validHost reports whether b is a host with or without a port. Percent encoding and user information are refused: no client
// sends them, and implementations read them in different ways.
func validHost(b []byte) bool {
	i := 0
	if b[0] == '[' {
		for i = 1; i < len(b) && b[i] != ']'; i++ {
			if _, hex := hexDigit(b[i]); !hex && b[i] != ':' && b[i] != '.' {
				return false
			}
		}
		if i < 3 || i == len(b) {
			return false
		}
		i++
	} else {
		for i < len(b) && isHost[b[i]] {
			i++
		}
		if i == 0 {
			return false
		}
	}
	if i == len(b) {
		return true
	}
	if b[i] != ':' || len(b)-i > len(":65535") {
		return false
	}
	for _, c := range b[i+1:] {
		if !isDigit(c) {
			return false
		}
	}
	return true
}
