package exchange

import "trellis/internal/proxy/wire/http1"

// AppendRequestHead appends the head of the request as the target gets it. Lines that are meant for one hop are left out before
// the proxy's own are added, so that no Connection line can remove these.
func (x *HTTP) AppendRequestHead(dst []byte) []byte {
	r := &x.Request
	if r.Absolute || r.Minor == 0 {
		dst = append(dst, r.Method...)
		dst = append(dst, ' ')
		dst = append(dst, r.Path...)
		dst = append(dst, r.Query...)
		dst = append(dst, " HTTP/1.1\r\n"...)
		without := &NotToTarget
		if r.Absolute { // The host of the request line takes precedence over the Host line (RFC 9112 3.2.2).
			noHost := NotToTarget
			noHost[http1.Host] = true
			without = &noHost
			dst = AppendLine(dst, "host: ", r.Host)
		}
		from := len(r.Bytes) - len("\r\n")
		if len(r.Fields) > 0 {
			from = int(r.Fields[0].Start)
		}
		dst = AppendFields(dst, &r.Head, from, without)
	} else {
		dst = AppendFields(dst, &r.Head, 0, &NotToTarget)
	}

	switch {
	case r.Chunked:
		dst = append(dst, "transfer-encoding: chunked\r\n"...)
	case r.ContentLength >= 0:
		dst = AppendLength(dst, r.ContentLength)
	}
	if x.AwaitsContinue() {
		dst = append(dst, "expect: 100-continue\r\n"...)
	}
	switch {
	case x.Upgrades():
		dst = append(dst, "connection: upgrade\r\n"...)
		dst = AppendUpgrade(dst, &r.Head)
	case r.TETrailers:
		dst = append(dst, "connection: te\r\nte: trailers\r\n"...)
	}
	dst = append(dst, x.client.Forwarded...)
	var room Added
	for _, f := range x.Adds(&room) {
		dst = append(dst, f.Name...)
		dst = AppendLine(dst, ": ", f.Value)
	}
	dst = append(dst, "cdn-loop: "+http1.LoopName+"\r\n"...)
	return append(dst, "\r\n"...)
}

// AddedField is a header field that the proxy adds to requests.
type AddedField struct {
	Name  string
	Value []byte
}

// Added is room for the result of Adds.
type Added [6]AddedField

// Adds returns the fields that targets get in every version of HTTP, except for those that are the same for a whole connection:
// where the request comes from, who has signed it, and where it goes (UG http-targets).
func (x *HTTP) Adds(room *Added) []AddedField {
	fields := append(room[:0], AddedField{"x-amzn-lattice-network", x.SourceVpc.LatticeNetwork})
	if len(x.SourceVpc.SourceVpc) > 0 {
		fields = append(fields, AddedField{"x-amzn-source-vpc", x.SourceVpc.SourceVpc})
	}
	if x.Signer != nil { // The record has a caller if an auth policy applied.
		fields = append(fields,
			AddedField{"x-amzn-lattice-identity", x.Signer.LatticeIdentity(x.Record.Caller != nil)},
			AddedField{"x-amzn-lattice-identity-tags", x.Signer.LatticeIdentityTags()})
	}
	return append(fields, AddedField{"x-amzn-lattice-target", x.Forward.LatticeTarget}, AddedField{"x-amzn-requestid", x.requestID})
}
