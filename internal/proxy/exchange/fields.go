package exchange

import (
	"net/netip"
	"strconv"

	"trellis/internal/proxy/wire/http1"
)

// Names is a set of header names.
type Names [http1.NameCount]bool

var (
	// NotToTarget are the lines of a request that are not passed on: they are meant for this hop, or replaced. Those that only
	// the proxy may set are among them, so that no client can forge them (UG http-targets).
	NotToTarget = Names{
		http1.Connection: true, http1.KeepAlive: true, http1.ProxyConnection: true, http1.TE: true, http1.Upgrade: true,
		http1.ContentLength: true, http1.TransferEncoding: true, http1.Expect: true,
		http1.XAmznLattice: true, http1.XAmznRequestID: true,
		http1.XForwardedFor: true, http1.XForwardedPort: true, http1.XForwardedProto: true,
	}
	NotToClient = Names{
		http1.Connection: true, http1.KeepAlive: true, http1.ProxyConnection: true, http1.TE: true, http1.Upgrade: true,
		http1.ContentLength: true, http1.TransferEncoding: true,
		http1.XAmznRequestID: true,
	}
)

// AppendFields appends the bytes of a head from the offset from to the last header line, without the lines that are
// meant for this hop. Lines that follow each other are copied at once.
func AppendFields(dst []byte, h *http1.Head, from int, without *Names) []byte {
	for i := range h.Fields {
		f := &h.Fields[i]
		if without[f.Name] || f.Named {
			dst = append(dst, h.Bytes[from:f.Start]...)
			from = int(f.End)
		}
	}
	return append(dst, h.Bytes[from:len(h.Bytes)-len("\r\n")]...)
}

// AppendForwarded appends the lines that say where the client is. They are the same for all requests of a connection.
// A list that the client sent is replaced: AWS documents the source address alone.
func AppendForwarded(dst []byte, source netip.Addr, port int, proto string) []byte {
	dst = append(dst, "x-forwarded-for: "...)
	dst = source.Unmap().WithZone("").AppendTo(dst)
	dst = append(dst, "\r\nx-forwarded-port: "...)
	dst = strconv.AppendInt(dst, int64(port), 10)
	dst = append(dst, "\r\nx-forwarded-proto: "...)
	dst = append(dst, proto...)
	return append(dst, "\r\n"...)
}

// AppendLength appends the line that says how long a body is.
func AppendLength(dst []byte, length int64) []byte {
	dst = append(dst, "content-length: "...)
	dst = strconv.AppendInt(dst, length, 10)
	return append(dst, "\r\n"...)
}

// AppendLine appends a header line. Characters that could end it early become spaces, since others have chosen the values,
// which are names and ids.
func AppendLine(dst []byte, name string, value []byte) []byte {
	dst = append(dst, name...)
	at := len(dst)
	dst = append(dst, value...)
	for ; at < len(dst); at++ {
		if dst[at] == '\r' || dst[at] == '\n' || dst[at] == 0 {
			dst[at] = ' '
		}
	}
	return append(dst, "\r\n"...)
}

// AppendUpgrade appends the Upgrade lines of a head.
func AppendUpgrade(dst []byte, h *http1.Head) []byte {
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Name == http1.Upgrade {
			dst = append(dst, h.Bytes[f.Start:f.End]...)
		}
	}
	return dst
}

// AppendChunkSize appends the line that starts a chunk.
func AppendChunkSize(dst []byte, size int) []byte {
	return append(strconv.AppendInt(dst, int64(size), 16), "\r\n"...)
}
