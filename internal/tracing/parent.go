package tracing

import "encoding/hex"

// parent is the span in which a client has sent a request.
type parent struct {
	trace   [16]byte
	span    [8]byte
	sampled bool
}

// parseParent parses a header traceparent: VERSION-TRACE-SPAN-FLAGS in lower case. Later versions may continue after another
// hyphen (https://www.w3.org/TR/trace-context/#traceparent-header). ok is false if the value is malformed.
func parseParent(header []byte) (p parent, ok bool) {
	const length = len("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if len(header) < length || len(header) > length && (string(header[:2]) == "00" || header[length] != '-') {
		return p, false
	}
	var version, flags [1]byte
	at := 0
	for _, field := range [...][]byte{version[:], p.trace[:], p.span[:], flags[:]} {
		if at > 0 {
			if header[at] != '-' {
				return p, false
			}
			at++
		}
		text := header[at : at+2*len(field)]
		for _, c := range text {
			if c >= 'A' && c <= 'F' {
				return p, false
			}
		}
		if _, err := hex.Decode(field, text); err != nil {
			return p, false
		}
		at += len(text)
	}
	if version[0] == 0xff || p.trace == [16]byte{} || p.span == [8]byte{} {
		return p, false
	}
	p.sampled = flags[0]&1 != 0
	return p, true
}
