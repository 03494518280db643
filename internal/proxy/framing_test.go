package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/wire/http1"
)

func TestMalformedRequestIsRefusedAndTheConnectionClosed(t *testing.T) {
	for _, test := range []struct {
		name, request string
		status        int
	}{
		{"Content-Length and Transfer-Encoding", "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: HOST\r\n\r\n", 400},
		{"second Host", "GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", 400},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"space before the colon", "GET / HTTP/1.1\r\nHost : HOST\r\n\r\n", 400},
		{"malformed chunk with the head", "POST / HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		{"101 headers", "GET / HTTP/1.1\r\nHost: HOST\r\n" + strings.Repeat("X: y\r\n", 100) + "\r\n", 400},
		{"headers of more than 60 KB", "GET / HTTP/1.1\r\nHost: HOST\r\nX: " + strings.Repeat("y", 61<<10) + "\r\n\r\n", 400},
		{"CONNECT", "CONNECT HOST:443 HTTP/1.1\r\nHost: HOST:443\r\n\r\n", 501},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			address, requests := recording(t)
			w.storefront(address)
			c := w.dial()
			c.send("%s", strings.ReplaceAll(test.request, "HOST", host))
			got := c.receive("GET")
			if got.StatusCode != test.status || got.Header.Get("Content-Type") != "text/plain" || !got.Close {
				t.Errorf("got %d, %v", got.StatusCode, got.Header)
			}
			c.atEnd()
			if len(requests) != 0 {
				t.Errorf("the target got %v", (<-requests).lines)
			}
			if record := w.accessLog(1)[0]; record.Failure != accesslog.ClientProtocolError || record.Status != test.status {
				t.Errorf("record %d %q", record.Status, record.Failure)
			}
		})
	}
}

func TestMalformedResponseBecomesBadGateway(t *testing.T) {
	for _, test := range []struct{ name, response string }{
		{"Content-Length and Transfer-Encoding", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"second Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody"},
		{"garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n"},
		{"folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n"},
		{"malformed chunk with the head", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
		{"upgrade that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"},
		{"interim responses without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", http1.MaxInterim+1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.storefront(answering(t, test.response))
			c := w.dial()
			c.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			got := c.receive("GET")
			for got.StatusCode == 103 {
				got = c.receive("GET")
			}
			if got.StatusCode != 502 || got.body != "Bad Gateway" {
				t.Errorf("got %d %q", got.StatusCode, got.body)
			}
			if record := w.accessLog(1)[0]; record.Failure != accesslog.TargetProtocolError || record.Status != 502 {
				t.Errorf("record %d %q", record.Status, record.Failure)
			}
		})
	}
}

func TestResponsesWithoutBodyEndWithTheirHead(t *testing.T) {
	for _, test := range []struct {
		name, method, response string
		status                 int
		length                 string // of the Content-Length header, or none
	}{
		{"HEAD with a length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200, "1000"},
		{"HEAD with chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, ""},
		{"HEAD without either", "HEAD", "HTTP/1.1 200 OK\r\n\r\n", 200, ""},
		{"204", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, ""},
		{"204 with a length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n", 204, ""},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", 304, ""},
		{"304 with a length", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 304, "10"},
		{"empty body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.storefront(answering(t, test.response))
			c := w.dial()
			for range 2 { // The second on the same connections: nothing may be left of the first.
				c.send("%s / HTTP/1.1\r\nHost: %s\r\n\r\n", test.method, host)
				got := c.receive(test.method)
				if got.StatusCode != test.status || got.body != "" || got.Header.Get("Content-Length") != test.length || len(got.TransferEncoding) > 0 {
					t.Errorf("got %d %q, %v", got.StatusCode, got.body, got.Header)
				}
			}
		})
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	w := newWorld(t)
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			request := readRequest(r)
			if request == nil {
				return
			}
			text := request.RequestURI + request.body
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		}
	}))
	c := w.dial()
	var all strings.Builder
	const count = 200 // More than a buffer holds.
	for i := range count {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&all, "GET /%d HTTP/1.1\r\nHost: %s\r\n\r\n", i, host)
		case 1:
			fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: %s\r\nContent-Length: 4\r\n\r\nbody", i, host)
		case 2:
			fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", i, host)
		}
	}
	go io.WriteString(c.Conn, all.String())
	for i := range count {
		want := fmt.Sprintf("/%d", i)
		if i%3 > 0 {
			want += "body"
		}
		if got := c.receive("GET"); got.body != want {
			t.Fatalf("answer %d is %q, want %q", i, got.body, want)
		}
	}
}

// Some clients end a body with a line end that nobody has counted (RFC 9112 2.2).
func TestOneEmptyLineBeforeARequestIsIgnored(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	c := w.dial()
	for _, before := range []string{"\r\n", "", "\r\n"} {
		c.send("%sPOST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 4\r\n\r\nbody", before, host)
		if got := c.receive("POST"); got.StatusCode != 200 {
			t.Fatalf("got %d", got.StatusCode)
		}
		next(t, requests)
	}
	for _, piece := range []string{"\r", "\nGET / HT", "TP/1.1\r\nHost: " + host + "\r\n\r\n"} {
		awaitArrival(t, c.Conn) // The pieces should come apart, but need not.
		c.send("%s", piece)
	}
	if got := c.receive("GET"); got.StatusCode != 200 {
		t.Fatalf("in pieces: got %d", got.StatusCode)
	}
	next(t, requests)
	c.send("\r\n\r\nGET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	if got := c.receive("GET"); got.StatusCode != 400 || !got.Close {
		t.Fatalf("after two: got %d", got.StatusCode)
	}
	c.atEnd()
}

func TestAbsoluteRequestTargetNamesTheHost(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	c := w.dial()
	c.send("GET http://%s:8080/a?b HTTP/1.1\r\nX-A: 1\r\nHost: other.test\r\n\r\n", host)
	if got := c.receive("GET"); got.StatusCode != 200 {
		t.Fatalf("got %d", got.StatusCode)
	}
	if request := next(t, requests); request.RequestURI != "/a?b" || request.Host != host+":8080" || request.Header.Get("X-A") != "1" {
		t.Errorf("the target got %q for %q", request.RequestURI, request.Host)
	}
	c.send("OPTIONS * HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	c.receive("OPTIONS")
	if request := next(t, requests); request.RequestURI != "*" {
		t.Errorf("the target got %q", request.RequestURI)
	}
}

func TestHTTP10ClientsGetWhatTheyUnderstand(t *testing.T) {
	for _, test := range []struct {
		name, lines, response string
		keepAlive             bool
		body                  string
	}{
		{"closes by default", "", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, "abc"},
		{"stays open on request", "Connection: Keep-Alive\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", true, "abc"},
		{"no chunks", "Connection: keep-alive\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n", false, "abcde"},
		{"until the end", "Connection: keep-alive\r\n", "HTTP/1.0 200 OK\r\n\r\nabc", false, "abc"},
		{"no interim responses", "", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false, "abc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
				readRequest(r)
				io.WriteString(conn, test.response)
			}))
			c := w.dial()
			c.send("GET / HTTP/1.0\r\nHost: %s\r\n%s\r\n", host, test.lines)
			got := c.receive("GET")
			if got.body != test.body || got.err != nil || len(got.TransferEncoding) > 0 {
				t.Errorf("got %q, %v, %v", got.body, got.err, got.Header)
			}
			if got.Close == test.keepAlive {
				t.Errorf("close %v", got.Close)
			}
			if !test.keepAlive {
				c.atEnd()
			}
		})
	}
}

func TestCloseEndsTheConnectionAfterTheResponse(t *testing.T) {
	w := newWorld(t)
	address, _ := recording(t)
	w.storefront(address)
	for _, line := range []string{"Connection: close", "Connection: Close", "Connection: x, close"} {
		c := w.dial()
		if got := c.get("/", line); got.body != "ok" || !got.Close {
			t.Errorf("%s: got %q, close %v", line, got.body, got.Close)
		}
		c.atEnd()
	}
}

func TestTargetThatClosesIsNotReused(t *testing.T) {
	w := newWorld(t)
	for _, response := range []string{
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than it should be",
	} {
		w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
			readRequest(r)
			io.WriteString(conn, response)
			if readRequest(r) != nil {
				t.Errorf("a second request came after %q", response)
			}
		}))
		c := w.dial()
		for range 2 {
			if got := c.get("/"); got.body != "ok" {
				t.Errorf("got %q", got.body)
			}
		}
		for key := range w.records {
			if key.Kind == "target" {
				w.delete(key)
			}
		}
	}
}

// One byte at a time, in both directions.
func TestBytesMayArriveOneByOne(t *testing.T) {
	w := newWorld(t)
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			request := readRequest(r)
			if request == nil {
				return
			}
			text := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n" + request.body + "\r\n0\r\nX-Sum: 7\r\n\r\n"
			for i := range text {
				io.WriteString(conn, text[i:i+1])
				awaitArrival(t, conn)
			}
		}
	}))
	c := w.dial()
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 4\r\n\r\nbody",
		"POST / HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nbo\r\n2\r\ndy\r\n0\r\nX-T: 1\r\n\r\n",
	} {
		for i := range request {
			c.send("%s", request[i:i+1])
			awaitArrival(t, c.Conn)
		}
		got := c.receive("POST")
		if got.body != "body" || got.Trailer.Get("X-Sum") != "7" {
			t.Errorf("got %q, trailers %v", got.body, got.Trailer)
		}
	}
}

// A client may send all of a request at once, or its body later: an entry names the service in either case.
func TestRequestWithMalformedBodyIsRecordedForItsService(t *testing.T) {
	for _, pieces := range [][]string{
		{"POST /upload HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n"},
		{"POST /upload HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nno chunk\r\n"},
		{"POST /upload HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n", "no chunk\r\n"},
		{"POST /upload HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "no chunk\r\n"},
	} {
		w := newWorld(t)
		begun := make(chan struct{}, 1)
		w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
			r.Peek(1)
			begun <- struct{}{}
			io.Copy(io.Discard, r)
		}))
		c := w.dial()
		for i, piece := range pieces {
			if i > 0 {
				<-begun // The rest is sent on as it comes.
			}
			c.send("%s", piece)
		}
		if got := c.receive("POST"); got.StatusCode != 400 || !got.Close {
			t.Errorf("%q is answered %s, close %v", pieces, got.Status, got.Close)
		}
		c.atEnd()
		r := w.accessLog(1)[0]
		if r.Service == nil || r.Service.ID != "svc-1" || string(r.Path) != "/upload" || string(r.Host) != host || r.Status != 400 || r.Failure != accesslog.ClientProtocolError ||
			r.Problem == nil {
			t.Errorf("the record of %q is %+v", pieces, r)
		}
	}
}

// A rule that answers in the target's place needs no body. What follows one that is malformed is no request.
func TestMalformedBodyThatNobodyWantsEndsTheConnection(t *testing.T) {
	w := newWorld(t)
	w.service("svc-1", 80, respondWith(404))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\nGET / HTTP/1.1\r\nHost: %s\r\n\r\n", host, host)
	if got := c.receive("POST"); got.StatusCode != 404 || !got.Close {
		t.Errorf("it is answered %s, close %v", got.Status, got.Close)
	}
	c.atEnd()
}
