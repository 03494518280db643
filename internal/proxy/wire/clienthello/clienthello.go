// Package clienthello finds the server name in the first message of a TLS connection, which says where the connection goes
// before anybody answers it. It reads no more of the message than it needs to be sure of that name: the other extensions are
// left to implementations of TLS. It is stricter than they are about the parts that it reads, so that none of them finds
// another name in the same bytes.
//
// Package proxy calls it with what a client has sent; the bytes stay as they are.
package clienthello

import (
	"encoding/binary"
	"slices"
)

// maxBytes bounds a ClientHello, with the headers of its records. Those of today's clients have 200 to 2,000 bytes.
const maxBytes = 16 << 10

const (
	recordHeaderBytes  = 5
	messageHeaderBytes = 4
	maxRecordBytes     = 1 << 14 // RFC 8446 5.1
	maxNameBytes       = 255     // RFC 1035 2.3.4
	maxExtensions      = 100     // Fewer than that are registered.

	typeHandshake       = 22
	typeClientHello     = 1
	extensionServerName = 0
	nameTypeHost        = 0
)

// Begins reports whether a connection whose first byte this is may be a TLS connection. No method of HTTP starts with it.
func Begins(first byte) bool { return first == typeHandshake }

// Parse reads a ClientHello from the first bytes of a connection. It returns the server name as the client sent it,
// which is part of b or a copy, and the length of the ClientHello with its records. The length is 0 while b does not hold all
// of it. The error is a Violation.
func Parse(b []byte) (serverName []byte, n int, err error) {
	message, n, err := join(b)
	if n == 0 || err != nil {
		return nil, 0, err
	}
	serverName, err = find(message)
	if err != nil {
		return nil, 0, err
	}
	return serverName, n, nil
}

// join returns the body of the first message, which may be spread over records, and the length of these.
func join(b []byte) (message []byte, n int, err error) {
	var whole []byte // the message with its header; a part of b if it is in one record
	for at := 0; ; {
		rest := b[at:]
		if err := checkRecord(rest); err != nil {
			return nil, 0, err
		}
		if len(rest) < recordHeaderBytes {
			return nil, 0, incomplete(b)
		}
		length := int(binary.BigEndian.Uint16(rest[3:]))
		fragment := rest[recordHeaderBytes:min(recordHeaderBytes+length, len(rest))]
		if at == 0 {
			whole = fragment[:len(fragment):len(fragment)] // Appending copies it.
		} else {
			whole = append(whole, fragment...)
		}
		size, err := messageBytes(whole)
		if err != nil {
			return nil, 0, err
		}
		if len(fragment) < length {
			return nil, 0, incomplete(b)
		}
		at += recordHeaderBytes + length
		switch {
		case size == 0 || len(whole) < size:
		case len(whole) > size:
			return nil, 0, MessageAfterHello
		case at > maxBytes:
			return nil, 0, TooLarge
		default:
			return whole[messageHeaderBytes:], at, nil
		}
	}
}

// checkRecord checks as much of a record's header as has arrived.
func checkRecord(b []byte) error {
	if len(b) > 0 && b[0] != typeHandshake {
		return NoHandshake
	}
	if len(b) > 1 && b[1] != 3 {
		return BadVersion
	}
	if len(b) < recordHeaderBytes {
		return nil
	}
	if length := binary.BigEndian.Uint16(b[3:]); length == 0 || length > maxRecordBytes {
		return BadRecord
	}
	return nil
}

// messageBytes returns the length of the message that starts with b, with its header; 0 while that is not known.
func messageBytes(b []byte) (int, error) {
	if len(b) > 0 && b[0] != typeClientHello {
		return 0, NoClientHello
	}
	if len(b) < messageHeaderBytes {
		return 0, nil
	}
	size := messageHeaderBytes + int(binary.BigEndian.Uint32(b)&0xffffff)
	if size > maxBytes {
		return 0, TooLarge
	}
	return size, nil
}

// incomplete reports whether more may come after b.
func incomplete(b []byte) error {
	if len(b) >= maxBytes {
		return TooLarge
	}
	return nil
}

// find returns the server name in the body of a ClientHello (RFC 8446 4.1.2), or nothing if there is none.
func find(body []byte) ([]byte, error) {
	const versionAndRandom = 2 + 32
	r := reader(body)
	r.skip(versionAndRandom)
	session := r.vector(1)
	suites := r.vector(2)
	compressions := r.vector(1)
	if r == nil || len(session) > 32 || len(suites) == 0 || len(suites)%2 != 0 || len(compressions) == 0 {
		return nil, Malformed
	}
	if len(r) == 0 {
		return nil, nil // A ClientHello without extensions was common before TLS 1.2.
	}
	extensions := r.vector(2)
	if r == nil || len(r) != 0 {
		return nil, Malformed
	}
	var name []byte
	var kinds [maxExtensions]int
	seen := kinds[:0]
	for len(extensions) > 0 {
		kind := extensions.number(2)
		data := extensions.vector(2)
		if extensions == nil {
			return nil, Malformed
		}
		if slices.Contains(seen, kind) {
			return nil, RepeatedExtension
		}
		if len(seen) == maxExtensions {
			return nil, TooLarge
		}
		seen = append(seen, kind)
		if kind == extensionServerName {
			var err error
			if name, err = hostName(data); err != nil {
				return nil, err
			}
		}
	}
	return name, nil
}

// hostName returns the name in a server_name extension (RFC 6066 3). There may be one name of each type, and only one type
// exists.
func hostName(data reader) ([]byte, error) {
	list := data.vector(2)
	if data == nil || len(data) != 0 {
		return nil, Malformed
	}
	kind := list.number(1)
	name := list.vector(2)
	if list == nil || len(list) != 0 || kind != nameTypeHost {
		return nil, Malformed
	}
	if len(name) == 0 || len(name) > maxNameBytes || name[len(name)-1] == '.' {
		return nil, BadName
	}
	for _, c := range name {
		if !isNameByte(c) {
			return nil, BadName
		}
	}
	return name, nil
}

// isNameByte reports whether a byte may be part of a host name. RFC 1123 has no underscore, but people use it.
func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_'
}

// reader is the unread rest. A read beyond its end makes it nil, and it stays nil.
type reader []byte

func (r *reader) skip(n int) []byte {
	if *r == nil || len(*r) < n {
		*r = nil
		return nil
	}
	skipped := (*r)[:n]
	*r = (*r)[n:]
	return skipped
}

// number reads a number of n bytes.
func (r *reader) number(n int) (value int) {
	for _, c := range r.skip(n) {
		value = value<<8 | int(c)
	}
	return value
}

// vector reads a number of n bytes, and as many bytes as it says.
func (r *reader) vector(n int) reader { return r.skip(r.number(n)) }
