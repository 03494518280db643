package http2

// The encoder has no dynamic table: what it writes depends on nothing but its input, so that streams need not agree on
// an order, and a block is encoded without a lock. Every field is marked as never to be indexed, since a sender may
// have marked it so and the text of a head cannot say (RFC 7541 7.1.3).
const (
	indexed      = 0x80
	neverIndexed = 0x10
	// noTable announces that the encoder uses a dynamic table of size 0 (RFC 7541 6.3).
	noTable = 0x20
)

// Indices into the static table (RFC 7541, appendix A).
const (
	indexAuthority = 1
	indexMethod    = 2
	indexPath      = 4
	indexScheme    = 6
	indexStatus    = 8
)

// AppendStatus appends the status of a response.
func AppendStatus(dst []byte, status int) []byte {
	switch status {
	case 200:
		return append(dst, indexed|8)
	case 204:
		return append(dst, indexed|9)
	case 206:
		return append(dst, indexed|10)
	case 304:
		return append(dst, indexed|11)
	case 400:
		return append(dst, indexed|12)
	case 404:
		return append(dst, indexed|13)
	case 500:
		return append(dst, indexed|14)
	}
	return append(dst, neverIndexed|indexStatus, 3, byte('0'+status/100%10), byte('0'+status/10%10), byte('0'+status%10))
}

// AppendRequest appends the pseudo-header fields of a request.
func AppendRequest(dst, method []byte, secure bool, authority, path, query []byte) []byte {
	switch string(method) {
	case "GET":
		dst = append(dst, indexed|2)
	case "POST":
		dst = append(dst, indexed|3)
	default:
		dst = appendLiteral(dst, indexMethod, method)
	}
	if secure {
		dst = append(dst, indexed|7)
	} else {
		dst = append(dst, indexed|6)
	}
	if len(authority) > 0 {
		dst = appendLiteral(dst, indexAuthority, authority)
	}
	dst = append(dst, neverIndexed|indexPath)
	dst = appendInteger(dst, 0, 7, len(path)+len(query))
	dst = append(dst, path...)
	return append(dst, query...)
}

// appendLiteral appends a field whose name is in the static table.
func appendLiteral(dst []byte, index int, value []byte) []byte {
	dst = appendInteger(dst, neverIndexed, 4, index)
	dst = appendInteger(dst, 0, 7, len(value))
	return append(dst, value...)
}

// AppendField appends a field. The name is written in lower case, as HTTP/2 requires. Whatever could end the value early for
// its reader becomes a space: some values are names and ids that others have chosen.
func AppendField(dst, name, value []byte) []byte {
	if index := staticName(name); index != 0 {
		dst = appendInteger(dst, neverIndexed, 4, index)
	} else {
		dst = append(dst, neverIndexed)
		dst = appendInteger(dst, 0, 7, len(name))
		at := len(dst)
		dst = append(dst, name...)
		for ; at < len(dst); at++ {
			if c := dst[at]; c >= 'A' && c <= 'Z' {
				dst[at] = c | 0x20
			}
		}
	}
	dst = appendInteger(dst, 0, 7, len(value))
	at := len(dst)
	dst = append(dst, value...)
	for ; at < len(dst); at++ {
		if c := dst[at]; c == '\r' || c == '\n' || c == 0 {
			dst[at] = ' '
		}
	}
	return dst
}

// appendInteger appends an integer whose first byte has a prefix of the given bits (RFC 7541 5.1).
func appendInteger(dst []byte, first byte, bits, value int) []byte {
	limit := 1<<bits - 1
	if value < limit {
		return append(dst, first|byte(value))
	}
	dst = append(dst, first|byte(limit))
	for value -= limit; value >= 0x80; value >>= 7 {
		dst = append(dst, byte(value)|0x80)
	}
	return append(dst, byte(value))
}

// staticName returns the index of a frequent name in the static table, or 0. It knows the two spellings that clients and
// servers use.
func staticName(name []byte) int {
	switch string(name) {
	case "accept", "Accept":
		return 19
	case "accept-encoding", "Accept-Encoding":
		return 16
	case "accept-language", "Accept-Language":
		return 17
	case "accept-ranges", "Accept-Ranges":
		return 18
	case "authorization", "Authorization":
		return 23
	case "cache-control", "Cache-Control":
		return 24
	case "content-encoding", "Content-Encoding":
		return 26
	case "content-length", "Content-Length":
		return 28
	case "content-type", "Content-Type":
		return 31
	case "cookie", "Cookie":
		return 32
	case "date", "Date":
		return 33
	case "etag", "ETag", "Etag":
		return 34
	case "last-modified", "Last-Modified":
		return 44
	case "location", "Location":
		return 46
	case "referer", "Referer":
		return 51
	case "server", "Server":
		return 54
	case "set-cookie", "Set-Cookie":
		return 55
	case "user-agent", "User-Agent":
		return 58
	case "vary", "Vary":
		return 59
	}
	return 0
}
