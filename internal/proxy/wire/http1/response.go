package http1

// maxResponseFields bounds the header lines of a response.
const maxResponseFields = 250

// MaxInterim bounds the interim responses of one exchange.
const MaxInterim = 10

// Response is the head of a response.
type Response struct {
	Head
	Status int
	// Reason is the reason phrase, which may be empty.
	Reason []byte
}

// Reset forgets everything; the next Parse starts a new head.
func (r *Response) Reset() {
	r.reset(maxResponseFields)
	*r = Response{Head: r.Head}
}

// Parse parses the head of a response at the start of b, as Request.Parse does.
func (r *Response) Parse(b []byte) (int, error) {
	return r.parse(b, r.parseLine)
}

// parseLine parses the status line, which ends in a line feed. Some servers leave out the reason and the space before it.
func (r *Response) parseLine(line []byte) error {
	const start = len("HTTP/1.1 ")
	if len(line) < start+len("200\r\n") || line[len(line)-2] != '\r' {
		return BadStatusLine
	}
	if string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' {
		return BadStatusLine
	}
	status := 0
	for _, c := range line[start : start+3] {
		if !isDigit(c) {
			return BadStatusLine
		}
		status = status*10 + int(c-'0')
	}
	reason := line[start+3 : len(line)-2]
	if status < 100 || len(reason) > 0 && reason[0] != ' ' || textEnd(reason, 0) != len(reason) {
		return BadStatusLine
	}
	if len(reason) > 0 {
		reason = reason[1:]
	}
	r.Minor, r.Status, r.Reason = line[7]-'0', status, reason
	return nil
}

// Bodyless reports whether the response ends with its head whatever its header lines say: an interim response, 204, 304,
// and any response to HEAD (RFC 9112 6.3).
func (r *Response) Bodyless(toHead bool) bool {
	return toHead || r.Status < 200 || r.Status == 204 || r.Status == 304
}
