package http1

import (
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/wire/http1"
)

// appendResponseHead appends the head of the final response as the client gets it.
func (x *work) appendResponseHead(dst []byte) []byte {
	r := &x.Response
	dst, from := appendStatus(dst, r)
	dst = exchange.AppendFields(dst, &r.Head, from, &exchange.NotToClient)
	switch {
	case r.Status < 200 || r.Status == 204: // These have no body, and must not give its length (RFC 9110 8.6).
	case x.chunksToClient():
		dst = append(dst, "transfer-encoding: chunked\r\n"...)
	case !r.Chunked && r.ContentLength >= 0:
		dst = exchange.AppendLength(dst, r.ContentLength)
	}
	if r.Status == 101 {
		dst = append(dst, "connection: upgrade\r\n"...)
		dst = exchange.AppendUpgrade(dst, &r.Head)
	} else {
		dst = x.appendConnection(dst)
	}
	dst = exchange.AppendLine(dst, "x-amzn-requestid: ", x.RequestID())
	dst = append(dst, x.Explanation()...)
	return append(dst, "\r\n"...)
}

// appendStatus appends the beginning of a status line. The rest of the head follows from an offset.
func appendStatus(dst []byte, r *http1.Response) (appended []byte, from int) {
	const version, end = len("HTTP/1.1"), len("HTTP/1.1 200")
	dst = append(dst, "HTTP/1.1"...)
	dst = append(dst, r.Bytes[version:end]...)
	if r.Bytes[end] == '\r' {
		dst = append(dst, ' ') // The space is required even without a reason (RFC 9112 4).
	}
	return dst, end
}

// appendConnection appends whether the connection stays open, unless that follows from the client's version of HTTP.
func (x *work) appendConnection(dst []byte) []byte {
	switch {
	case !x.keepAlive:
		return append(dst, "connection: close\r\n"...)
	case x.Request.Minor == 0:
		return append(dst, "connection: keep-alive\r\n"...)
	}
	return dst
}
