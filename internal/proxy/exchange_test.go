package proxy

import (
	"strings"
	"testing"

	"trellis/internal/proxy/wire/http1"
)

func TestRequestReachesTheTargetAndTheAnswerTheClient(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	c := w.dial()
	for range 3 {
		got := c.get("/path?query=1")
		if got.StatusCode != 200 || got.body != "ok" {
			t.Fatalf("got %d %q", got.StatusCode, got.body)
		}
		request := next(t, requests)
		if request.RequestURI != "/path?query=1" || request.Host != host {
			t.Fatalf("the target got %q for %q", request.RequestURI, request.Host)
		}
	}
}

// A body may come with its head, after it, or be cut anywhere; chunk extensions leave gaps where they were.
func TestBodyIsWholeWhereverItIsCut(t *testing.T) {
	const following = "GET /next"
	for _, test := range []struct{ head, body, want string }{
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n", "0123456789", "0123456789"},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "3;extension=a\r\nabc\r\n2;b\r\nde\r\n0\r\n\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "3;e\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"},
	} {
		all := test.head + test.body + following
		for cut := len(test.head); cut <= len(all); cut++ {
			x := newExchange()
			x.end = copy(x.in, all[:cut])
			n, err := x.request.Parse(x.in[:x.end])
			if err != nil || n != len(test.head) {
				t.Fatal(n, err)
			}
			if err := x.begin(n); err != nil {
				t.Fatal(err)
			}
			if !x.requestBody.Done() {
				if err := x.more(copy(x.in[x.end:], all[cut:])); err != nil {
					t.Fatal(err)
				}
			}
			got := string(x.body)
			if x.requestBody.Framing == http1.ByChunks && x.requestBody.Chunks.HasTrailers() {
				got += string(x.requestBody.Chunks.AppendTrailers(nil))
			}
			if got != test.want || !x.requestBody.Done() || !strings.HasPrefix(following, string(x.in[x.start:x.end])) {
				t.Fatalf("cut at %d: got %q, followed by %q; want %q", cut, got, x.in[x.start:x.end], test.want)
			}
		}
	}
}
