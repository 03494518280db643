package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

var refusedResponses = []struct {
	name string
	text string
	want Violation
}{
	{"Content-Length and Transfer-Encoding", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", ContentLengthAndTransferEncoding},
	{"second Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", RepeatedContentLength},
	{"second Transfer-Encoding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", RepeatedTransferEncoding},
	{"Transfer-Encoding gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", BadTransferEncoding},
	{"Transfer-Encoding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncodingInHTTP10},
	{"Content-Length negative", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", BadContentLength},
	{"space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\n", BadFieldName},
	{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 4\n\n", BadStatusLine},
	{"bare line feed after a header", "HTTP/1.1 200 OK\r\nX: y\n\r\n", BadLineEnd},
	{"folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", BadFieldName},
	{"NUL in a value", "HTTP/1.1 200 OK\r\nX: a\x00\r\n\r\n", BadFieldValue},
	{"NUL in the reason", "HTTP/1.1 200 O\x00K\r\n\r\n", BadStatusLine},
	{"carriage return in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", BadStatusLine},
	{"version 2.0", "HTTP/2.0 200 OK\r\n\r\n", BadStatusLine},
	{"version 1.2", "HTTP/1.2 200 OK\r\n\r\n", BadStatusLine},
	{"status of two digits", "HTTP/1.1 99 X\r\n\r\n", BadStatusLine},
	{"status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", BadStatusLine},
	{"status below 100", "HTTP/1.1 099 OK\r\n\r\n", BadStatusLine},
	{"status with letters", "HTTP/1.1 2x0 OK\r\n\r\n", BadStatusLine},
	{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", BadStatusLine},
	{"something else", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2\r\n", BadStatusLine},
	{"HTTP/0.9", "<html>\r\n<body>hello</body>\r\n</html>\r\n", BadStatusLine},
	{"too many headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", maxResponseFields+1) + "\r\n", TooManyFields},
	{"headers of more than 60 KB", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 60<<10) + "\r\n\r\n", HeadTooLarge},
}

func TestMalformedResponsesAreRefused(t *testing.T) {
	for _, test := range refusedResponses {
		t.Run(test.name, func(t *testing.T) {
			r := new(Response)
			r.Reset()
			if _, err := r.Parse([]byte(test.text)); err != test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

var acceptedResponses = []struct {
	name, text string
	status     int
	reason     string
	framing    Framing
}{
	{"plain", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", 200, "OK", ByLength},
	{"empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "OK", NoBody},
	{"until the end", "HTTP/1.1 200 Very Well\r\n\r\n", 200, "Very Well", UntilClose},
	{"chunked", "HTTP/1.1 200 \r\nTransfer-Encoding: CHUNKED\r\n\r\n", 200, "", ByChunks},
	{"no reason, no space", "HTTP/1.1 404\r\nContent-Length: 1\r\n\r\n", 404, "", ByLength},
	{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", 200, "OK", UntilClose},
	{"204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", 204, "No Content", NoBody},
	{"304 chunked", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 304, "Not Modified", NoBody},
	{"interim", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 103, "Early Hints", NoBody},
	{"unusual status", "HTTP/1.1 799 \xc3\xa9\r\nContent-Length: 1\r\n\r\n", 799, "\xc3\xa9", ByLength},
}

func TestWellFormedResponsesAreUnderstood(t *testing.T) {
	for _, test := range acceptedResponses {
		t.Run(test.name, func(t *testing.T) {
			r := new(Response)
			r.Reset()
			n, err := r.Parse([]byte(test.text + "body"))
			if err != nil || n != len(test.text) {
				t.Fatalf("got %d, %v", n, err)
			}
			if r.Status != test.status || string(r.Reason) != test.reason {
				t.Errorf("got %d %q", r.Status, r.Reason)
			}
			var body Body
			if body.StartResponse(r, false); body.Framing != test.framing {
				t.Errorf("framing %d, want %d", body.Framing, test.framing)
			}
			if body.StartResponse(r, true); body.Framing != NoBody {
				t.Error("a response to HEAD has a body")
			}
		})
	}
}

func FuzzResponseIsNeverLooserThanNetHTTP(f *testing.F) {
	for _, test := range refusedResponses {
		f.Add([]byte(test.text))
	}
	for _, test := range acceptedResponses {
		f.Add([]byte(test.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := new(Response)
		r.Reset()
		n, err := r.Parse(data)
		if err != nil || n == 0 {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data[:n])), nil)
		if err != nil {
			t.Fatalf("accepted %q, which net/http refuses: %v", data[:n], err)
		}
		if theirs.StatusCode != r.Status {
			t.Errorf("status %d, theirs %d", r.Status, theirs.StatusCode)
		}
		var body Body
		body.StartResponse(r, false)
		if r.Status < 200 && r.Status != 101 {
			return // net/http leaves the body of an interim response to its callers.
		}
		want := int64(-1)
		switch body.Framing {
		case NoBody:
			want = 0
		case ByLength:
			want = body.Remaining()
		}
		if got := theirs.ContentLength; got != want && body.Framing != NoBody {
			t.Errorf("length %d, theirs %d in %q", want, got, data[:n])
		}
		for name, values := range theirs.Header {
			at := 0
			for _, want := range values {
				got, next := r.Header(strings.ToLower(name), at)
				if next < 0 || string(got) != want {
					t.Errorf("header %q: got %q, theirs %q", name, got, want)
				}
				at = next
			}
		}
	})
}
