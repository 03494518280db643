package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// refusedRequests are requests that must not pass, and why. They are the seeds of the fuzz test too.
var refusedRequests = []struct {
	name string
	text string
	want Violation
}{
	{"Content-Length and Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", ContentLengthAndTransferEncoding},
	{"Transfer-Encoding and Content-Length", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", ContentLengthAndTransferEncoding},
	{"second Content-Length, the same", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n", RepeatedContentLength},
	{"second Content-Length, another", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\ncontent-length: 5\r\n\r\n", RepeatedContentLength},
	{"list of Content-Lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 4\r\n\r\n", BadContentLength},
	{"second Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", RepeatedTransferEncoding},
	{"Transfer-Encoding identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", BadTransferEncoding},
	{"Transfer-Encoding gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", BadTransferEncoding},
	{"Transfer-Encoding chunked, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", BadTransferEncoding},
	{"Transfer-Encoding with a parameter", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", BadTransferEncoding},
	{"Transfer-Encoding xchunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", BadTransferEncoding},
	{"Transfer-Encoding empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", BadTransferEncoding},
	{"Transfer-Encoding in quotes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", BadTransferEncoding},
	{"Transfer-Encoding after a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n", BadFieldValue},
	{"Transfer-Encoding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncodingInHTTP10},
	{"space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\n", BadFieldName},
	{"tab before the colon", "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", BadFieldName},
	{"bare line feed after a header", "GET / HTTP/1.1\r\nHost: a\n\r\n", BadLineEnd},
	{"bare line feed after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", BadRequestLine},
	{"bare line feed at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", BadFieldName},
	{"bare carriage return in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", BadLineEnd},
	{"bare carriage return as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", BadLineEnd},
	{"folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", BadFieldName},
	{"folded line with a tab", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", BadFieldName},
	{"white space before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", BadFieldName},
	{"header without a name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", BadFieldName},
	{"header without a colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", BadFieldName},
	{"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\x00: a\r\n\r\n", BadFieldName},
	{"non-ASCII name", "GET / HTTP/1.1\r\nHost: a\r\nX\xe9: a\r\n\r\n", BadFieldName},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", BadFieldValue},
	{"DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a long value and \x7f\r\n\r\n", BadFieldValue},
	{"escape in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[31m\r\n\r\n", BadFieldValue},
	{"method with a separator", "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", BadMethod},
	{"method missing", " /path HTTP/1.1\r\nHost: a\r\n\r\n", BadMethod},
	{"line before the request line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"space in the query", "GET /a?a b HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"tab between the parts", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", BadMethod},
	{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"carriage return in the target", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"broken escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"escape at the end", "GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"asterisk with GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"absolute without host", "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"absolute with user information", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
	{"no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine},
	{"HTTP/0.9", "GET /\r\n\r\n", BadRequestLine},
	{"version 2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BadVersion},
	{"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", BadVersion},
	{"version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", BadRequestLine},
	{"version with two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", BadRequestLine},
	{"space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", BadRequestLine},
	{"no Host in HTTP/1.1", "GET / HTTP/1.1\r\n\r\n", MissingHost},
	{"no Host line in HTTP/1.1, absolute target", "GET http://a/ HTTP/1.1\r\n\r\n", MissingHost},
	{"second Host, the same", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", RepeatedHost},
	{"second Host in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", RepeatedHost},
	{"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BadHost},
	{"Host with user information", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", BadHost},
	{"Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BadHost},
	{"Host with a bad port", "GET / HTTP/1.1\r\nHost: a:80x\r\n\r\n", BadHost},
	{"Content-Length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\n", BadContentLength},
	{"Content-Length negative", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\n", BadContentLength},
	{"Content-Length in hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\n", BadContentLength},
	{"Content-Length with an underscore", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\n", BadContentLength},
	{"Content-Length with a space inside", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\n", BadContentLength},
	{"Content-Length empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", BadContentLength},
	{"Content-Length that overflows", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n", BadContentLength},
	{"101 headers", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 100) + "\r\n", TooManyFields},
	{"101 options of the connection", "GET / HTTP/1.1\r\nHost: a\r\nConnection: " + strings.Repeat("x,", 101) + "\r\n\r\n", TooManyFields},
	{"headers of more than 60 KB", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 60<<10) + "\r\n\r\n", HeadTooLarge},
	{"request line of more than 60 KB", "GET /" + strings.Repeat("y", 60<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", HeadTooLarge},
}

// acceptedRequests are requests that must pass.
var acceptedRequests = []struct {
	name string
	text string
	want string // what summary says
}{
	{"plain", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / host=a"},
	{"path and query", "GET /a/b?c=d%zz HTTP/1.1\r\nHost: a:80\r\n\r\n", "GET /a/b query=?c=d%zz host=a:80"},
	{"encoded path", "GET /public/%252e%252e/a HTTP/1.1\r\nHost: a\r\n\r\n", "GET /public/%252e%252e/a host=a"},
	{"two slashes", "GET //a//b HTTP/1.1\r\nHost: a\r\n\r\n", "GET //a//b host=a"},
	{"bytes above ASCII", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n", "GET /\xc3\xa9 host=a"},
	{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * host=a"},
	{"absolute", "GET http://b:8080/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x query=?y host=b:8080 absolute"},
	{"absolute, other case, no path", "GET HTTPS://B HTTP/1.1\r\nHost: a\r\n\r\n", "GET / host=B absolute"},
	{"absolute with a query alone", "GET http://b?x HTTP/1.1\r\nHost: a\r\n\r\n", "GET / query=?x host=b absolute"},
	{"absolute OPTIONS", "OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * host=b absolute"},
	{"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET / host=[::1]:80"},
	{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / host="},
	{"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "GET / 1.0"},
	{"HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "GET / host=a 1.0 keep-alive"},
	{"other method", "PURGE-x / HTTP/1.1\r\nHost: a\r\n\r\n", "PURGE-x / host=a"},
	{"Content-Length", "POST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:\t 0012 \r\n\r\n", "POST / host=a length=12"},
	{"chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", "POST / host=a chunked"},
	{"close in capitals", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", "GET / host=a close"},
	{"list of options", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive , ,close,upgrade\r\n\r\n", "GET / host=a close keep-alive upgrade"},
	{"options on two lines", "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a\r\nX-A: 1\r\nX-B: 2\r\nConnection: close, X-b\r\n\r\n", "GET / host=a close named=X-A,X-B"},
	{"Connection cannot name Host", "GET / HTTP/1.1\r\nHost: a\r\nConnection: host, content-length\r\nContent-Length: 0\r\n\r\n", "GET / host=a length=0"},
	{"Expect", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n", "POST / host=a length=1 continue"},
	{"TE", "GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, trailers\r\n\r\n", "GET / host=a trailers"},
	{"100 headers", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: y\r\n", 99) + "\r\n", "GET / host=a"},
	{"60 KB", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("y", 60<<10-32) + "\r\n\r\n", "GET / host=a"},
	{"tabs in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\t\t\t\t\t\t\tc\t\r\n\r\n", "GET / host=a"},
	{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "CONNECT a:443 host=a:443"},
}

func summary(r *Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", r.Method, r.Path)
	add := func(when bool, format string, args ...any) {
		if when {
			fmt.Fprintf(&b, " "+format, args...)
		}
	}
	add(len(r.Query) > 0, "query=%s", r.Query)
	add(r.Host != nil, "host=%s", r.Host)
	add(r.Absolute, "absolute")
	add(r.Minor == 0, "1.0")
	add(r.ContentLength >= 0, "length=%d", r.ContentLength)
	add(r.Chunked, "chunked")
	add(r.Close, "close")
	add(r.KeepAlive, "keep-alive")
	add(r.Upgrade, "upgrade")
	add(r.Continue, "continue")
	add(r.TETrailers, "trailers")
	var named []string
	for _, f := range r.Fields {
		if f.Named {
			named = append(named, string(r.Bytes[f.Start:f.NameEnd]))
		}
	}
	add(named != nil, "named=%s", strings.Join(named, ","))
	return b.String()
}

func parseRequest(text string) (*Request, int, error) {
	r := new(Request)
	r.Reset()
	n, err := r.Parse([]byte(text))
	return r, n, err
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	for _, test := range refusedRequests {
		t.Run(test.name, func(t *testing.T) {
			if _, n, err := parseRequest(test.text); err != test.want || n != 0 && err == nil {
				t.Errorf("got %d, %v; want %v", n, err, test.want)
			}
		})
	}
}

func TestWellFormedRequestsAreUnderstood(t *testing.T) {
	for _, test := range acceptedRequests {
		t.Run(test.name, func(t *testing.T) {
			r, n, err := parseRequest(test.text + "GET /next")
			if err != nil || n != len(test.text) {
				t.Fatalf("got %d, %v; want %d", n, err, len(test.text))
			}
			if got := summary(r); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if string(r.Bytes) != test.text {
				t.Errorf("the head is %q", r.Bytes)
			}
		})
	}
}

// The bytes move between two calls, as they do when a buffer grows.
func TestRequestCanArriveByteByByte(t *testing.T) {
	for _, test := range acceptedRequests {
		if len(test.text) > 4000 {
			continue
		}
		r := new(Request)
		r.Reset()
		for i := range test.text {
			n, err := r.Parse([]byte(test.text[:i+1]))
			if err != nil || n != 0 && i+1 < len(test.text) {
				t.Fatalf("%s: got %d, %v after %d bytes", test.name, n, err, i+1)
			}
			if i+1 == len(test.text) && n != len(test.text) {
				t.Fatalf("%s: not complete", test.name)
			}
		}
		if got := summary(r); got != test.want {
			t.Errorf("%s: got  %s\nwant %s", test.name, got, test.want)
		}
	}
}

func TestRefusalDoesNotDependOnHowBytesArrive(t *testing.T) {
	for _, test := range refusedRequests {
		if len(test.text) > 4000 {
			continue
		}
		r := new(Request)
		r.Reset()
		var got error
		for i := 0; i < len(test.text) && got == nil; i++ {
			var n int
			if n, got = r.Parse([]byte(test.text[:i+1])); n != 0 {
				t.Errorf("%s: accepted after %d bytes", test.name, i+1)
				break
			}
		}
		if got == nil {
			t.Errorf("%s: not refused", test.name)
		}
	}
}

func TestHeaderFindsEveryLineInAnyCase(t *testing.T) {
	r, _, err := parseRequest("GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-b: 2\r\nx-a:  3 \r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for at := 0; ; {
		value, next := r.Header("x-a", at)
		if next < 0 {
			break
		}
		got, at = append(got, string(value)), next
	}
	if strings.Join(got, ",") != "1,3" {
		t.Errorf("got %q", got)
	}
	if value, next := r.Header("x-c", 0); value != nil || next >= 0 {
		t.Errorf("found %q", value)
	}
}

func TestTextEndFindsEveryControlCharacter(t *testing.T) {
	for c := range 256 {
		for length := range 20 {
			for at := range length {
				b := bytes.Repeat([]byte("x"), length)
				b[at] = byte(c)
				want := length
				if c < 0x20 && c != '\t' || c == 0x7f {
					want = at
				}
				if got := textEnd(b, 0); got != want {
					t.Fatalf("%q: got %d, want %d", b, got, want)
				}
			}
		}
	}
	// A tab that is skipped must not hide what stands behind it.
	if got := textEnd([]byte("\t\t\t\t\t\t\t\t\t\n"), 0); got != 9 {
		t.Errorf("got %d", got)
	}
}

func FuzzRequestIsNeverLooserThanNetHTTP(f *testing.F) {
	for _, test := range refusedRequests {
		f.Add([]byte(test.text))
	}
	for _, test := range acceptedRequests {
		f.Add([]byte(test.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, n, err := parseRequest(string(data))
		if err != nil || n == 0 {
			return
		}
		if string(r.Method) == "CONNECT" {
			return // The proxy refuses it whatever its target looks like.
		}
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data[:n])))
		if err != nil {
			t.Fatalf("accepted %q, which net/http refuses: %v", data[:n], err)
		}
		if theirs.Method != string(r.Method) {
			t.Errorf("method %q, theirs %q", r.Method, theirs.Method)
		}
		if want := string(r.Path) + string(r.Query); !r.Absolute && theirs.RequestURI != want {
			t.Errorf("target %q, theirs %q", want, theirs.RequestURI)
		}
		if theirs.Host != string(r.Host) {
			t.Errorf("host %q, theirs %q", r.Host, theirs.Host)
		}
		length := max(r.ContentLength, 0)
		if r.Chunked {
			length = -1
		}
		if theirs.ContentLength != length {
			t.Errorf("length %d, theirs %d in %q", length, theirs.ContentLength, data[:n])
		}
		if want := r.Close || r.Minor == 0 && !r.KeepAlive; theirs.Close != want {
			t.Errorf("close %v, theirs %v in %q", want, theirs.Close, data[:n])
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
		// Any split gives the same.
		split := new(Request)
		split.Reset()
		if _, err := split.Parse(data[:n/2]); err != nil {
			t.Fatalf("the first half is refused: %v", err)
		}
		if m, err := split.Parse(data[:n]); err != nil || m != n || summary(split) != summary(r) {
			t.Errorf("in halves: %d, %v, %s; want %d, %s", m, err, summary(split), n, summary(r))
		}
		io.Copy(io.Discard, theirs.Body)
	})
}
