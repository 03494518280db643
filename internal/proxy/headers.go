package proxy

import (
	"net/netip"
	"strconv"

	"trellis/internal/proxy/wire/http1"
)

// names is a set of header names.
type names [http1.NameCount]bool

var (
	// notToTarget are the lines of a request that are not passed on: they are meant for this hop, or written anew. What
	// only the proxy may say is among them, so that no client can pretend it (UG http-targets).
	notToTarget = names{
		http1.Connection: true, http1.KeepAlive: true, http1.ProxyConnection: true, http1.TE: true, http1.Upgrade: true,
		http1.ContentLength: true, http1.TransferEncoding: true, http1.Expect: true,
		http1.XAmznLattice: true, http1.XAmznRequestID: true,
		http1.XForwardedFor: true, http1.XForwardedPort: true, http1.XForwardedProto: true,
	}
	notToClient = names{
		http1.Connection: true, http1.KeepAlive: true, http1.ProxyConnection: true, http1.TE: true, http1.Upgrade: true,
		http1.ContentLength: true, http1.TransferEncoding: true,
		http1.XAmznRequestID: true,
	}
)

// appendFields appends the bytes of a head from the offset from to the last header line, without the lines that are
// meant for this hop. Lines that follow each other are copied at once.
func appendFields(dst []byte, h *http1.Head, from int, without *names) []byte {
	for i := range h.Fields {
		f := &h.Fields[i]
		if without[f.Name] || f.Named {
			dst = append(dst, h.Bytes[from:f.Start]...)
			from = int(f.End)
		}
	}
	return append(dst, h.Bytes[from:len(h.Bytes)-len("\r\n")]...)
}

// appendForwarded appends the lines that say where the client is. They are the same for all requests of a connection.
// A list that the client sent is replaced: what AWS documents is the source address.
func appendForwarded(dst []byte, source netip.Addr, port int, proto string) []byte {
	dst = append(dst, "x-forwarded-for: "...)
	dst = source.Unmap().WithZone("").AppendTo(dst)
	dst = append(dst, "\r\nx-forwarded-port: "...)
	dst = strconv.AppendInt(dst, int64(port), 10)
	dst = append(dst, "\r\nx-forwarded-proto: "...)
	dst = append(dst, proto...)
	return append(dst, "\r\n"...)
}

// appendRequestHead appends the head of the request as the target gets it. Lines of other hops have been left out
// before the proxy's own are added, so that no Connection line can remove these.
func (x *exchange) appendRequestHead(dst, forwarded []byte) []byte {
	r := &x.request
	if r.Absolute || r.Minor == 0 {
		dst = append(dst, r.Method...)
		dst = append(dst, ' ')
		dst = append(dst, r.Path...)
		dst = append(dst, r.Query...)
		dst = append(dst, " HTTP/1.1\r\n"...)
		without := &notToTarget
		if r.Absolute { // Its host wins over the Host line (RFC 9112 3.2.2).
			noHost := notToTarget
			noHost[http1.Host] = true
			without = &noHost
			dst = appendLine(dst, "host: ", r.Host)
		}
		from := len(r.Bytes) - len("\r\n")
		if len(r.Fields) > 0 {
			from = int(r.Fields[0].Start)
		}
		dst = appendFields(dst, &r.Head, from, without)
	} else {
		dst = appendFields(dst, &r.Head, 0, &notToTarget)
	}

	switch {
	case r.Chunked:
		dst = append(dst, "transfer-encoding: chunked\r\n"...)
	case r.ContentLength >= 0:
		dst = appendLength(dst, r.ContentLength)
	}
	if x.awaitsContinue() {
		dst = append(dst, "expect: 100-continue\r\n"...)
	}
	switch {
	case x.upgrades():
		dst = append(dst, "connection: upgrade\r\n"...)
		dst = x.appendUpgrade(dst, &r.Head)
	case r.TETrailers:
		dst = append(dst, "connection: te\r\nte: trailers\r\n"...)
	}
	dst = append(dst, forwarded...)
	dst = appendLine(dst, "x-amzn-lattice-network: ", x.plan.service.Network.Source().LatticeNetwork)
	dst = appendLine(dst, "x-amzn-lattice-target: ", x.plan.forward.LatticeTarget)
	dst = appendLine(dst, "x-amzn-requestid: ", x.requestID)
	dst = append(dst, "cdn-loop: "+http1.LoopName+"\r\n"...)
	return append(dst, "\r\n"...)
}

// appendResponseHead appends the head of the final response as the client gets it.
func (x *exchange) appendResponseHead(dst []byte) []byte {
	r := &x.response
	dst, from := appendStatus(dst, r)
	dst = appendFields(dst, &r.Head, from, &notToClient)
	switch {
	case r.Status < 200 || r.Status == 204: // These have no body, and must not say how long it is (RFC 9110 8.6).
	case x.chunksToClient():
		dst = append(dst, "transfer-encoding: chunked\r\n"...)
	case !r.Chunked && r.ContentLength >= 0:
		dst = appendLength(dst, r.ContentLength)
	}
	if r.Status == 101 {
		dst = append(dst, "connection: upgrade\r\n"...)
		dst = x.appendUpgrade(dst, &r.Head)
	} else {
		dst = x.appendConnection(dst)
	}
	dst = appendLine(dst, "x-amzn-requestid: ", x.requestID)
	dst = append(dst, x.explanation...)
	return append(dst, "\r\n"...)
}

// appendStatus appends the beginning of a status line. The rest of the head follows from an offset.
func appendStatus(dst []byte, r *http1.Response) (appended []byte, from int) {
	const version, end = len("HTTP/1.1"), len("HTTP/1.1 200")
	dst = append(dst, "HTTP/1.1"...)
	dst = append(dst, r.Bytes[version:end]...)
	if r.Bytes[end] == '\r' {
		dst = append(dst, ' ') // It must stand there without a reason too (RFC 9112 4).
	}
	return dst, end
}

// appendConnection says whether the connection stays open, as far as the client's version does not.
func (x *exchange) appendConnection(dst []byte) []byte {
	switch {
	case !x.keepAlive:
		return append(dst, "connection: close\r\n"...)
	case x.request.Minor == 0:
		return append(dst, "connection: keep-alive\r\n"...)
	}
	return dst
}

// appendUpgrade appends the Upgrade lines of a head.
func (x *exchange) appendUpgrade(dst []byte, h *http1.Head) []byte {
	for i := range h.Fields {
		if f := &h.Fields[i]; f.Name == http1.Upgrade {
			dst = append(dst, h.Bytes[f.Start:f.End]...)
		}
	}
	return dst
}

func appendLength(dst []byte, length int64) []byte {
	dst = append(dst, "content-length: "...)
	dst = strconv.AppendInt(dst, length, 10)
	return append(dst, "\r\n"...)
}

// appendLine appends a header line. Whatever could end it early becomes a space: the values are names and ids that
// others have chosen.
func appendLine(dst []byte, name string, value []byte) []byte {
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

// explain appends what Config.Explain adds to responses.
func (x *exchange) explain() {
	x.explanation = x.explanation[:0]
	pl := &x.plan
	if pl.service != nil {
		x.explanation = appendLine(x.explanation, "x-trellis-service: ", []byte(pl.service.ID))
	}
	if pl.rule != nil {
		x.explanation = appendLine(x.explanation, "x-trellis-rule: ", []byte(pl.rule.ID))
	}
	if pl.forward != nil {
		x.explanation = appendLine(x.explanation, "x-trellis-target-group: ", []byte(pl.forward.TargetGroup.ID))
	}
	if pl.target != nil {
		x.explanation = appendLine(x.explanation, "x-trellis-target: ", []byte(pl.target.Address.String()))
	}
	if x.record.Failure != "" {
		x.explanation = appendLine(x.explanation, "x-trellis-failure: ", []byte(x.record.Failure))
	}
	if x.record.Problem != nil {
		x.explanation = appendLine(x.explanation, "x-trellis-problem: ", []byte(x.record.Problem.Error()))
	}
}
