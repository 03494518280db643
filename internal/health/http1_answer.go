package health

import (
	"io"

	"trellis/internal/proxy/wire/http1"
)

// http1Answer reads answers of HTTP/1.1, one after the other, each from another connection.
type http1Answer struct {
	in       []byte
	response http1.Response
	body     http1.Body
}

// answerBytes holds most answers as a whole. Heads may be larger; the parser bounds them.
const answerBytes = 4 << 10

func newHTTP1Answer() *http1Answer { return &http1Answer{in: make([]byte, answerBytes)} }

// rest gives back what an unusually large head has taken.
func (a *http1Answer) rest() {
	if len(a.in) > answerBytes {
		a.in = make([]byte, answerBytes)
	}
}

// read reads the final answer and the first piece of its body: most bodies come in one with the head, and reading them
// spares the target a reset connection. With an error it returns the phase that failed.
func (a *http1Answer) read(from io.Reader) (answer Answer, phase string, err error) {
	start, end := 0, 0
	for interim := 0; ; interim++ {
		n := 0
		if n, end, err = a.readHead(from, start, end); err != nil {
			return Answer{}, awaiting, err
		}
		start += n
		if status := a.response.Status; status >= 200 || status == 101 {
			break
		}
		if interim == http1.MaxInterim {
			return Answer{}, awaiting, http1.UnexpectedStatus
		}
	}
	answer.StatusCode = a.response.Status
	a.body.StartResponse(&a.response, false)
	for kept := 0; kept == 0 && !a.body.Done(); {
		if start == end {
			start = 0
			end, err = from.Read(a.in)
			if end == 0 && err == io.EOF {
				err = a.body.End()
			}
			if end == 0 && err != nil {
				return Answer{}, reading, err
			}
		}
		var taken int
		if kept, taken, err = a.body.Take(a.in[start:end], false); err != nil {
			return Answer{}, reading, err
		}
		answer.Body = excerpt(a.in[start : start+kept])
		start += taken
	}
	return answer, "", nil
}

// readHead reads a head that begins at start; the bytes up to end have come. It returns the head's length and how far
// the bytes reach then.
func (a *http1Answer) readHead(from io.Reader, start, end int) (n, reached int, err error) {
	a.response.Reset()
	for {
		if end > start {
			if n, err = a.response.Parse(a.in[start:end]); n > 0 || err != nil {
				return n, end, err
			}
		}
		if end == len(a.in) {
			larger := make([]byte, 2*len(a.in))
			copy(larger, a.in)
			a.in = larger
		}
		read, err := from.Read(a.in[end:])
		if read == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, end, err
		}
		end += read
	}
}
