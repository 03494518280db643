package health

import (
	"io"

	"trellis/internal/proxy/wire/http1"
)

// http1Answer reads responses of HTTP/1.1, one after the other, each from another connection, until the final response's
// head and the first piece of its body have arrived. Most bodies arrive with the head, and reading them spares the target a
// reset connection.
type http1Answer struct {
	in         []byte
	start, end int // the bytes that have come and were not read yet
	interim    int // how many interim responses there were
	inBody     bool
	kept       []byte // the first piece of the body
	response   http1.Response
	body       http1.Body
}

// answerBytes holds most responses completely. Heads may be larger; the parser bounds them.
const answerBytes = 4 << 10

func newHTTP1Answer() *http1Answer { return &http1Answer{in: make([]byte, answerBytes)} }

// reset begins another response.
func (a *http1Answer) reset() {
	a.start, a.end, a.interim, a.inBody, a.kept = 0, 0, 0, false, nil
	a.response.Reset()
}

// rest frees the memory that an unusually large head needed.
func (a *http1Answer) rest() {
	if len(a.in) > answerBytes {
		a.in = make([]byte, answerBytes)
	}
}

// phase says what the reader waits for.
func (a *http1Answer) phase() string {
	if a.inBody {
		return reading
	}
	return awaiting
}

// room returns the memory for the next bytes.
func (a *http1Answer) room() []byte {
	if a.inBody && a.start == a.end {
		a.start, a.end = 0, 0
	}
	if a.end == len(a.in) {
		larger := make([]byte, 2*len(a.in))
		copy(larger, a.in)
		a.in = larger
	}
	return a.in[a.end:]
}

// take reads n bytes in the room, and reports whether they are enough.
func (a *http1Answer) take(n int) (done bool, err error) {
	a.end += n
	for !a.inBody {
		if a.start == a.end {
			return false, nil
		}
		n, err := a.response.Parse(a.in[a.start:a.end])
		if n == 0 || err != nil {
			return false, err
		}
		a.start += n
		if status := a.response.Status; status >= 200 || status == 101 {
			a.inBody = true
			a.body.StartResponse(&a.response, false)
			break
		}
		if a.interim == http1.MaxInterim {
			return false, http1.UnexpectedStatus
		}
		a.interim++
		a.response.Reset()
	}
	for a.start < a.end && !a.body.Done() {
		kept, taken, err := a.body.Take(a.in[a.start:a.end], false)
		if err != nil {
			return false, err
		}
		a.kept = a.in[a.start : a.start+kept]
		a.start += taken
		if kept > 0 {
			return true, nil
		}
		if taken == 0 {
			break
		}
	}
	return a.body.Done(), nil
}

// finish notes that the connection has ended.
func (a *http1Answer) finish() error {
	if !a.inBody {
		return io.ErrUnexpectedEOF
	}
	return a.body.End()
}

// read reads a response. With an error it returns the phase that failed.
func (a *http1Answer) read(from io.Reader) (answer Answer, phase string, err error) {
	a.reset()
	for done := false; !done; {
		n, err := from.Read(a.room())
		switch {
		case n > 0:
			done, err = a.take(n)
		case err == io.EOF:
			done, err = true, a.finish()
		}
		if err != nil {
			return Answer{}, a.phase(), err
		}
	}
	return Answer{StatusCode: a.response.Status, Body: excerpt(a.kept)}, "", nil
}
