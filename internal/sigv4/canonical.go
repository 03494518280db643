package sigv4

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// PathForm is how a path is written in the canonical request, which differs between signers.
type PathForm int

const (
	// Encoded is the path as it was sent, encoded once more, as for every service but S3.
	Encoded PathForm = iota
	// NormalizedEncoded is Encoded without empty and dot segments. Most of AWS's signers sign this form, and send the path
	// unchanged.
	NormalizedEncoded
	// Plain is the path encoded once, as for S3.
	Plain
)

// AppendCanonicalRequest appends the text whose hash is signed.
func (s *Signature) AppendCanonicalRequest(b []byte, r *Request, payload string, form PathForm) []byte {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, r.Path, form)
	b = append(b, '\n')
	b = s.appendQuery(b, r.Query)
	b = append(b, '\n')
	for _, name := range s.SignedHeaders {
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	for i, name := range s.SignedHeaders {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, name...)
	}
	b = append(b, '\n')
	return append(b, payload...)
}

// appendStringToSign appends the text that is signed.
func (s *Signature) appendStringToSign(b, canonicalRequest []byte) []byte {
	b = append(b, s.Algorithm...)
	b = append(b, '\n')
	b = appendTime(b, s.Time)
	b = append(b, '\n')
	b = s.appendScope(b)
	b = append(b, '\n')
	sum := sha256.Sum256(canonicalRequest)
	return hex.AppendEncode(b, sum[:])
}

// StringToSign returns the text that is signed, for a canonical request.
func (s *Signature) StringToSign(canonicalRequest []byte) string {
	return string(s.appendStringToSign(nil, canonicalRequest))
}

// scopeEnd is the last part of every credential scope.
const scopeEnd = "aws4_request"

func (s *Signature) appendScope(b []byte) []byte {
	for _, part := range []string{s.Date, s.Region, s.Service} {
		if part == "" && s.Algorithm == ECDSA {
			continue // The scope of SigV4A has no Region.
		}
		b = append(b, part...)
		b = append(b, '/')
	}
	return append(b, scopeEnd...)
}

// appendHeader appends the value of a header, with single spaces. Several lines are one list (RFC 9110 5.3), except for
// cookies, which HTTP/2 splits (RFC 9113 8.2.3).
func appendHeader(b []byte, r *Request, name string) []byte {
	if name == "host" {
		return append(b, r.Host...)
	}
	separator := ","
	if name == "cookie" {
		separator = "; "
	}
	for next, first := 0, true; ; first = false {
		var value []byte
		if value, next = r.Headers.Header(name, next); next < 0 {
			return b
		}
		if !first {
			b = append(b, separator...)
		}
		b = appendTrimmed(b, value)
	}
}

// appendTrimmed appends a text without white space at its ends, and with one space for any white space within.
func appendTrimmed(b, text []byte) []byte {
	text = bytes.Trim(text, " \t")
	space := false
	for _, c := range text {
		if c == ' ' || c == '\t' {
			space = true
			continue
		}
		if space {
			b = append(b, ' ')
			space = false
		}
		b = append(b, c)
	}
	return b
}

func appendPath(b, path []byte, form PathForm) []byte {
	if len(path) == 0 {
		return append(b, '/')
	}
	switch form {
	case NormalizedEncoded:
		return appendEncoded(b, normalize(path), true)
	case Plain:
		for {
			before, after, found := bytes.Cut(path, []byte("%"))
			b = appendEncoded(b, before, true)
			if !found {
				return b
			}
			b = append(b, '%') // Escapes in the path stay as they are.
			path = after
		}
	default:
		return appendEncoded(b, path, true)
	}
}

// isNormal reports whether a path has no empty and no dot segments.
func isNormal(path []byte) bool {
	return !bytes.Contains(path, []byte("//")) && !bytes.Contains(path, []byte("/."))
}

// normalize removes empty and dot segments. A slash at the end stays. Unlike RFC 3986, signers do not replace a dot segment at the
// end by a slash.
func normalize(path []byte) []byte {
	if isNormal(path) {
		return path
	}
	var kept [][]byte
	for segment := range bytes.SplitSeq(path, []byte("/")) {
		switch string(segment) {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, segment)
		}
	}
	normal := append([]byte{'/'}, bytes.Join(kept, []byte("/"))...)
	if len(kept) > 0 && bytes.HasSuffix(path, []byte("/")) {
		normal = append(normal, '/')
	}
	return normal
}

// parameter is an encoded name and its value, as parts of a text.
type parameter struct{ name, value []byte }

// appendQuery appends the parameters in the order of their encoded names and values, all but the signature itself.
func (s *Signature) appendQuery(b, query []byte) []byte {
	if len(query) == 0 {
		return b
	}
	var room [16]parameter
	sorted := room[:0]
	// Encoding a byte takes at most three, so the buffer does not move.
	encoded := make([]byte, 0, 3*len(query))
	for name, value := range parameters(query) {
		if s.Presigned && string(name) == "X-Amz-Signature" {
			continue
		}
		start := len(encoded)
		encoded = appendReencoded(encoded, name)
		middle := len(encoded)
		encoded = appendReencoded(encoded, value)
		sorted = append(sorted, parameter{encoded[start:middle], encoded[middle:]})
	}
	// Names are compared first: in a joined text, the equals sign would sort after hyphens, dots and digits.
	slices.SortFunc(sorted, func(a, b parameter) int {
		return cmp.Or(bytes.Compare(a.name, b.name), bytes.Compare(a.value, b.value))
	})
	for i, p := range sorted {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p.name...)
		b = append(b, '=')
		b = append(b, p.value...)
	}
	return b
}

// appendReencoded decodes a query component and encodes it in the one way that is signed. An invalid encoding is encoded as
// text.
func appendReencoded(b, text []byte) []byte {
	if bytes.IndexByte(text, '%') < 0 && bytes.IndexByte(text, '+') < 0 {
		return appendEncoded(b, text, false)
	}
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && (i+2 >= len(text) || !isHex(text[i+1]) || !isHex(text[i+2])) {
			return appendEncoded(b, text, false)
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			c = fromHex(text[i+1])<<4 | fromHex(text[i+2])
			i += 2
		}
		b = appendEncoded(b, []byte{c}, false)
	}
	return b
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func fromHex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// appendEncoded percent-encodes everything except for RFC 3986's unreserved characters and, with keepSlash, slashes.
func appendEncoded(b, text []byte, keepSlash bool) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range text {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/' && keepSlash:
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
