package proxy

import (
	"math/rand/v2"

	"trellis/internal/proxy/wire/http1"
)

// maxRequestIDBytes is where a client's request id is cut (UG monitoring-access-logs).
const maxRequestIDBytes = 512

const requestIDBytes = len("01234567-0123-4012-8012-0123456789ab")

// takeRequestID takes the client's request id over, or makes one.
func (x *exchange) takeRequestID() {
	for i := range x.request.Fields {
		if f := &x.request.Fields[i]; f.Name == http1.XAmznRequestID {
			if id := x.request.Value(f); len(id) > 0 {
				x.requestID = id[:min(len(id), maxRequestIDBytes)]
				return
			}
		}
	}
	newRequestID(&x.madeID)
	x.requestID = x.madeID[:]
}

// newRequestID writes a random UUID (RFC 9562 5.4). The generator is the runtime's, which is per thread: no lock.
func newRequestID(id *[requestIDBytes]byte) {
	const digits = "0123456789abcdef"
	high := rand.Uint64()&^0xf000 | 0x4000
	low := rand.Uint64()&^(3<<62) | 2<<62
	at := 0
	for shift := 60; shift >= 0; shift -= 4 {
		id[at] = digits[high>>shift&0xf]
		if at++; at == 8 || at == 13 || at == 18 {
			id[at] = '-'
			at++
		}
	}
	for shift := 60; shift >= 0; shift -= 4 {
		id[at] = digits[low>>shift&0xf]
		if at++; at == 23 {
			id[at] = '-'
			at++
		}
	}
}
