package exchange

import (
	"trellis/internal/proxy/buffer"
	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
	"trellis/internal/uuid"
)

const (
	// HeadBytes is how much room there is for most heads.
	HeadBytes = 4 << 10
	// ResponseBytes is how much of a response is read at once before its head is complete.
	ResponseBytes = 16 << 10
	// HeadRoom is left free in FromTarget before a response, for the head that the client gets. So head and body are sent by one
	// write, and the body is not copied.
	HeadRoom = 1 << 10
	// ChunkRoom is left free after a response, for the end of a chunk.
	ChunkRoom = len("\r\n")
)

// HTTP is an exchange of HTTP, whatever its version. Its parsed heads refer to memory that its user provides.
type HTTP struct {
	Exchange
	Request      http1.Request
	RequestBody  http1.Body
	Response     http1.Response
	ResponseBody http1.Body

	// Out is room for heads: that of the request for the target, later that of the response for the client.
	Out []byte
	// FromTarget holds what a target that speaks HTTP/1.1 has sent, after HeadRoom.
	FromTarget []byte
	own        []byte          // the first memory of FromTarget; nil if it must be borrowed
	borrowed   *responseBuffer // the borrowed memory of FromTarget

	// Uploads says that the body of the request is, or was, sent by another goroutine.
	Uploads bool

	route       routing.Request
	requestID   []byte
	madeID      [uuid.Length]byte
	interims    int  // how many interim responses have come
	continued   bool // the client has been told to continue
	persistent  bool // the target keeps its connection
	explanation []byte
}

// responseBuffer is room for a response. Streams borrow it only when they need it, since many may wait for a long time.
type responseBuffer [ResponseBytes]byte

// Init prepares an exchange for its first use. With ownsRoom it keeps its room for responses; otherwise it borrows the room.
func (x *HTTP) Init(shared *Shared, ownsRoom bool) {
	x.shared = shared
	x.Out = make([]byte, 0, HeadBytes)
	if ownsRoom {
		x.own = make([]byte, ResponseBytes)
		x.FromTarget = x.own
	}
	x.route.Headers = &x.Request
	x.Request.Reset()
	x.Response.Reset()
}

// Reset makes the exchange ready for another connection.
func (x *HTTP) Reset() {
	buffer.Mangle(x.Out[:cap(x.Out)])
	buffer.Mangle(x.FromTarget)
	x.FromTarget = x.own
	if cap(x.Out) > 4*HeadBytes {
		x.Out = make([]byte, 0, HeadBytes)
	}
	x.plan, x.client = plan{}, nil
	if x.borrowed != nil {
		x.shared.responses.Put(x.borrowed)
		x.borrowed = nil
	}
}

// ResponseRoom returns where the first bytes of a response go, borrowing the room if need be.
func (x *HTTP) ResponseRoom() []byte {
	if x.FromTarget == nil {
		x.borrowed = x.shared.responses.Get().(*responseBuffer)
		x.FromTarget = x.borrowed[:]
	}
	return x.FromTarget[HeadRoom : len(x.FromTarget)-ChunkRoom]
}

// ReceiveHead parses the head of a response that starts at HeadRoom in FromTarget, where the bytes up to end have come. It
// returns the head's length, and how far the bytes reach then.
func (x *HTTP) ReceiveHead(target *upstream.Conn, end int) (head, reached int, err error) {
	x.Response.Reset()
	for {
		if end > HeadRoom {
			head, err := x.Response.Parse(x.FromTarget[HeadRoom:end])
			if head > 0 || err != nil {
				return head, end, err
			}
		}
		if end == len(x.FromTarget)-ChunkRoom {
			larger := make([]byte, HeadRoom+http1.MaxHeadBytes+ResponseBytes)
			copy(larger, x.FromTarget)
			x.FromTarget = larger
		}
		n, err := target.Receive(x.FromTarget[end : len(x.FromTarget)-ChunkRoom])
		if err != nil {
			return 0, end, upstream.AfterBytes(err)
		}
		end += n
	}
}
