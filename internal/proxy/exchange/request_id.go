package exchange

import (
	"math/rand/v2"

	"trellis/internal/proxy/wire/http1"
	"trellis/internal/uuid"
)

// maxRequestIDBytes is the length to which a client's request id is cut
// (https://docs.aws.amazon.com/vpc-lattice/latest/ug/monitoring-access-logs.html).
const maxRequestIDBytes = 512

// RequestID returns the id of the request, which both sides get.
func (x *HTTP) RequestID() []byte { return x.requestID }

// takeRequestID adopts the client's request id, or makes one.
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

// makeRequestID makes an id that differs from all others. It need not be hard to guess, so the random numbers are the
// runtime's, which take no lock.
func (x *HTTP) makeRequestID() {
	uuid.Put(&x.madeID, rand.Uint64(), rand.Uint64())
	x.requestID = x.madeID[:]
}
