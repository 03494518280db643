package api

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultMaxBodyBytes is far above the largest input, an auth policy of 100 KB.
	defaultMaxBodyBytes = 1 << 20
	// freeBodyBytes is what the body of every request may hold. The API port bounds the number of requests, so a flood of
	// large bodies leaves room for the small ones that nearly all requests have.
	freeBodyBytes = 16 << 10
	// defaultTotalBodyBytes bounds what all requests together hold beyond that.
	defaultTotalBodyBytes = 64 << 20
	// firstBodyBytes is the buffer for a body of unknown or large length before anything of it has arrived.
	firstBodyBytes = 4 << 10
	// unreadBodyTime is how long to wait for the rest of a body that nobody will read. Clients that send it with the head
	// get the response on a connection that stays open.
	unreadBodyTime = time.Second
)

// bodyMemory bounds how much memory the bodies of all requests hold beyond their free parts.
type bodyMemory struct{ left atomic.Int64 }

// take takes memory for more bytes, and reports whether there was room.
func (m *bodyMemory) take(bytes int) bool {
	if m.left.Add(int64(-bytes)) >= 0 {
		return true
	}
	m.give(bytes)
	return false
}

func (m *bodyMemory) give(bytes int) { m.left.Add(int64(bytes)) }

// body is a request's body. It is read when it is first asked for.
type body struct {
	w      http.ResponseWriter
	r      *http.Request
	max    int64
	memory *bodyMemory

	asked    bool // get has been called; the fields below are set
	bytes    []byte
	err      error
	complete bool // the whole body has been read
	charged  int  // how many bytes of memory it has taken
}

// get reads the whole body.
func (b *body) get() ([]byte, error) {
	if !b.asked {
		b.asked = true
		b.bytes, b.err = b.readAll()
	}
	return b.bytes, b.err
}

// release gives the memory back. The body must not be used afterwards.
func (b *body) release() {
	b.memory.give(b.charged)
	b.charged = 0
}

// readAll takes memory as bytes come, whatever length the head declares.
func (b *body) readAll() ([]byte, error) {
	// 400 and not 413, for which the API has no error.
	errTooLarge := unparsable("The body must not be larger than " + strconv.FormatInt(b.max, 10) + " bytes.")
	end := b.max + 1 // To find the end, there must be room for another byte.
	if n := b.r.ContentLength; n > b.max {
		return nil, errTooLarge
	} else if n >= 0 {
		end = n + 1
	}
	reader := http.MaxBytesReader(b.w, b.r.Body, b.max)
	read := make([]byte, 0, min(end, firstBodyBytes))
	for {
		if len(read) == cap(read) {
			larger, err := b.grow(read, end)
			if err != nil {
				return nil, err
			}
			read = larger
		}
		n, err := reader.Read(read[len(read):cap(read)])
		read = read[:len(read)+n]
		if errors.Is(err, io.EOF) {
			b.complete = true
			return read, nil
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, errTooLarge
		}
		if err != nil {
			return nil, unparsable("The body cannot be read: it ends too early, comes too slowly, or its framing is wrong.")
		}
	}
}

// grow returns what has been read in a buffer of twice the size, or as much as the body may need.
func (b *body) grow(read []byte, end int64) ([]byte, error) {
	size := max(int(min(2*int64(cap(read)), end)), cap(read)+1)
	more := max(0, size-freeBodyBytes) - b.charged
	if !b.memory.take(more) {
		return nil, Throttled(1, "The server holds as much of large request bodies as it may.")
	}
	b.charged += more
	return append(make([]byte, 0, size), read...), nil
}

// BodyOnce returns a function that reads a request's body, of at most max bytes, when it is first called. failure is its
// error if the body is larger, or cannot be read. It is for the services beside this API, whose requests are small.
func BodyOnce(w http.ResponseWriter, r *http.Request, max int64, failure error) func() ([]byte, error) {
	return sync.OnceValues(func() ([]byte, error) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
		if err != nil {
			return nil, failure
		}
		return body, nil
	})
}

// LeaveBody must be called before responding to a request whose body has not been read. Before it sends the response,
// net/http reads up to 256 KB of such a body, for as long as a read may take.
func LeaveBody(w http.ResponseWriter) {
	// A writer without deadlines has no connection to wait for.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadBodyTime))
}
