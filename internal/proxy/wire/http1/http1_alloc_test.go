//go:build !race

package http1

import "testing"

const browserRequest = "GET /index.html?a=b HTTP/1.1\r\nHost: www.example.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n" +
	"Connection: keep-alive, x-hop\r\nX-Hop: 1\r\nTE: trailers\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n"

func TestParsingDoesNotAlloc(t *testing.T) {
	request, response := new(Request), new(Response)
	request.Reset()
	response.Reset()
	text := []byte(browserRequest)
	answer := []byte("HTTP/1.1 200 OK\r\nServer: test\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\n")
	chunks := []byte("5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
	var body Body
	buffer := make([]byte, 100)
	run := func() {
		request.Reset()
		if n, err := request.Parse(text); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
		response.Reset()
		if n, err := response.Parse(answer); n != len(answer) || err != nil {
			t.Fatal(n, err)
		}
		body.start(ByChunks, 0)
		if _, _, err := body.Take(buffer[:copy(buffer, chunks)], true); err != nil || !body.Done() {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	request := new(Request)
	text := []byte(browserRequest)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		request.Reset()
		if n, err := request.Parse(text); n == 0 || err != nil {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkSmallRequest(b *testing.B) {
	request := new(Request)
	text := []byte("GET / HTTP/1.1\r\nHost: svc-1.lattice.test:8080\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		request.Reset()
		if n, err := request.Parse(text); n == 0 || err != nil {
			b.Fatal(n, err)
		}
	}
}
