package http1

import (
	"trellis/internal/proxy/buffer"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/wire/http1"
)

// work is what a connection needs while it carries a request: the exchange, and room for what the client has sent. An idle
// connection has no work, so that it costs little.
type work struct {
	exchange.HTTP
	// in holds what the client has sent: in[start:end] has not been taken up yet.
	in         []byte
	start, end int
	small      []byte // the first memory of in
	body       []byte // the part of the body that came with the head; it is in in

	malformed error // the error in that part

	parsed    bool // Request is complete, and its exchange not begun
	blank     bool // an empty line came before the request
	keepAlive bool // the client's connection stays open
}

func newWork(shared *exchange.Shared) *work {
	x := &work{small: make([]byte, exchange.HeadBytes)}
	x.in = x.small
	x.Init(shared, true)
	return x
}

// reset makes the work ready for another connection.
func (x *work) reset() {
	buffer.Mangle(x.in)
	x.in = x.small
	x.start, x.end, x.parsed, x.blank, x.malformed = 0, 0, false, false, nil
	x.HTTP.Reset()
}

// room returns where the next bytes from the client go.
func (x *work) room() []byte {
	if x.end == len(x.in) {
		if x.start == 0 {
			// The parser refuses a head before it outgrows this.
			larger := make([]byte, buffer.Bytes)
			copy(larger, x.in[:x.end])
			x.in = larger
		} else {
			x.end = copy(x.in, x.in[x.start:x.end])
			x.start = 0
		}
	}
	return x.in[x.end:]
}

// begin takes up the head that has been parsed, of n bytes, and what has come of the body.
func (x *work) begin(n int) {
	from := x.start + n
	x.RequestBody.StartRequest(&x.Request.Head)
	x.body = x.in[from : from+x.takeBody(from)]
	x.parsed = true
}

// more takes up bytes of the body that have come after what begin found, at x.end.
func (x *work) more(n int) {
	from := x.end
	x.end += n
	kept := x.takeBody(from)
	x.body = append(x.body, x.in[from:from+kept]...) // The bytes stay in place, or move up over a chunk extension.
}

// takeBody takes up bytes of the body from an offset on, and returns how many are kept there.
func (x *work) takeBody(from int) (kept int) {
	kept, taken, err := x.RequestBody.Take(x.in[from:x.end], true)
	x.start, x.malformed = from+taken, err
	return kept
}

// awaitsBody reports whether more of the body is to come.
func (x *work) awaitsBody() bool { return !x.RequestBody.Done() && x.malformed == nil }

// next makes room for the next request, of which some may be there.
func (x *work) next() {
	x.Request.Reset()
	x.parsed, x.blank, x.malformed = false, false, nil
	if x.start == x.end {
		x.start, x.end = 0, 0
	}
}

// takeRest puts bytes where the next request is expected.
func (x *work) takeRest(rest []byte) {
	if len(rest) > len(x.in) {
		x.in = make([]byte, buffer.Bytes)
	}
	x.start, x.end = 0, copy(x.in, rest)
}

// chunksToClient reports whether the client gets the body in chunks. HTTP/1.0 does not know them.
func (x *work) chunksToClient() bool {
	return x.Request.Minor == 1 && (x.ResponseBody.Framing == http1.ByChunks || x.ResponseBody.Framing == http1.UntilClose)
}
