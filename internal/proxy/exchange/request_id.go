package exchange

import (
	"math/rand/v2"

	"trellis/internal/proxy/wire/http1"
)

// maxRequestIDBytes is where a client's request id is cut
// (https://docs.aws.amazon.com/vpc-lattice/latest/ug/monitoring-access-logs.html).
const maxRequestIDBytes = 512

const requestIDBytes = len("01234567-0123-4012-8012-0123456789ab")

// RequestID returns the id of the request, which both sides get.
func (x *HTTP) RequestID() []byte { return x.requestID }

// takeRequestID takes the client's request id over, or makes one.
func (x *HTTP) takeRequestID() {
	for i := range x.Request.Fields {
		if f := &x.Request.Fields[i]; f.Name == http1.XAmznRequestID {
			if id := x.Request.Value(f); len(id) > 0 {
				x.requestID = id[:min(len(id), maxRequestIDBytes)]
				return
			}
		}
	}
	x.makeRequestID()
}

func (x *HTTP) makeRequestID() {
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
