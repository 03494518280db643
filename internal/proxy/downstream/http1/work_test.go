package http1

import (
	"strings"
	"testing"

	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/wire/http1"
)

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
			x := newWork(exchange.NewShared(exchange.Config{}))
			x.end = copy(x.in, all[:cut])
			n, err := x.Request.Parse(x.in[:x.end])
			if err != nil || n != len(test.head) {
				t.Fatal(n, err)
			}
			x.begin(n)
			if x.awaitsBody() {
				x.more(copy(x.in[x.end:], all[cut:]))
			}
			if x.malformed != nil {
				t.Fatal(x.malformed)
			}
			got := string(x.body)
			if x.RequestBody.Framing == http1.ByChunks && x.RequestBody.Chunks.HasTrailers() {
				got += string(x.RequestBody.Chunks.AppendTrailers(nil))
			}
			if got != test.want || !x.RequestBody.Done() || !strings.HasPrefix(following, string(x.in[x.start:x.end])) {
				t.Fatalf("cut at %d: got %q, followed by %q; want %q", cut, got, x.in[x.start:x.end], test.want)
			}
		}
	}
}
