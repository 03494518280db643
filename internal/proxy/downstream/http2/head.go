package http2

import (
	"bytes"
	"strconv"

	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/proxy/wire/http2"
)

// appendBlockFields appends the fields of a head, without those that are meant for this hop.
func appendBlockFields(dst []byte, h *http1.Head, without *exchange.Names) []byte {
	for i := range h.Fields {
		f := &h.Fields[i]
		if !without[f.Name] && !f.Named {
			dst = http2.AppendField(dst, h.Bytes[f.Start:f.NameEnd], h.Bytes[f.ValueStart:f.ValueEnd])
		}
	}
	return dst
}

// appendLines appends lines as HTTP/1.1 writes them.
func appendLines(dst, lines []byte) []byte {
	for len(lines) > 0 {
		end := bytes.Index(lines, []byte("\r\n"))
		colon := bytes.IndexByte(lines, ':')
		dst = http2.AppendField(dst, lines[:colon], lines[colon+len(": "):end])
		lines = lines[end+len("\r\n"):]
	}
	return dst
}

func appendLengthField(dst []byte, length int64) []byte {
	var digits [20]byte
	return http2.AppendField(dst, []byte("content-length"), strconv.AppendInt(digits[:0], length, 10))
}

// appendOwnFields appends what the proxy adds to every response.
func (st *stream) appendOwnFields(dst []byte) []byte {
	dst = http2.AppendField(dst, []byte("x-amzn-requestid"), st.x.RequestID())
	return appendLines(dst, st.x.Explanation())
}

// appendResponseBlock appends the header block of a response that is at st.x.Response.
func (st *stream) appendResponseBlock(dst []byte) []byte {
	r := &st.x.Response
	dst = http2.AppendStatus(dst, r.Status)
	dst = appendBlockFields(dst, &r.Head, &exchange.NotToClient)
	if r.Status < 200 {
		return dst
	}
	if r.Status != 204 && !r.Chunked && r.ContentLength >= 0 {
		dst = appendLengthField(dst, r.ContentLength)
	}
	return st.appendOwnFields(dst)
}

// appendRequestBlock appends the header block of the request as a target gets it that speaks HTTP/2. As for HTTP/1.1,
// what is meant for this hop is left out before the proxy's own is added.
func (st *stream) appendRequestBlock(dst []byte) []byte {
	x := st.x
	r := &x.Request
	without := exchange.NotToTarget
	without[http1.Host] = true
	dst = http2.AppendRequest(dst, r.Method, x.Target.TLS, r.Host, r.Path, r.Query)
	dst = appendBlockFields(dst, &r.Head, &without)
	if r.ContentLength >= 0 {
		dst = appendLengthField(dst, r.ContentLength)
	}
	if x.AwaitsContinue() {
		dst = http2.AppendField(dst, []byte("expect"), []byte("100-continue"))
	}
	if r.TETrailers {
		dst = http2.AppendField(dst, []byte("te"), []byte("trailers"))
	}
	dst = appendLines(dst, st.c.Client.Forwarded)
	var room exchange.Added
	for _, f := range x.Adds(&room) {
		dst = http2.AppendField(dst, []byte(f.Name), f.Value)
	}
	return http2.AppendField(dst, []byte("cdn-loop"), []byte(http1.LoopName))
}

// trailerBlock returns trailers, which are lines and an empty line, as a header block. It is nil if none may be passed on.
func trailerBlock(lines []byte) ([]byte, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	var block []byte
	err := http1.Trailers(lines, func(name, value []byte) { block = http2.AppendField(block, name, value) })
	return block, err
}

// appendGRPCStatus appends the fields of a response of gRPC that has a status and nothing else, except for those that every
// response has.
func appendGRPCStatus(dst []byte, code exchange.GRPCCode, message string) []byte {
	dst = http2.AppendStatus(dst, 200)
	dst = http2.AppendField(dst, []byte("content-type"), []byte("application/grpc"))
	dst = http2.AppendField(dst, []byte("grpc-status"), strconv.AppendInt(nil, int64(code), 10))
	return http2.AppendField(dst, []byte("grpc-message"), appendPercent(nil, message))
}

// appendPercent appends a text as gRPC writes it in a header.
func appendPercent(dst []byte, text string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		if b := text[i]; b < ' ' || b > '~' || b == '%' {
			dst = append(dst, '%', digits[b>>4], digits[b&0xf])
		} else {
			dst = append(dst, b)
		}
	}
	return dst
}
