package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	wire "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzHTTP2RequestBecomesOneOfHTTP1 sends a request of HTTP/2 to a service whose target speaks HTTP/1.1, and the same
// frames to the server of x/net. The target must get one whole request or none: bytes that package net/http reads as one
// request with nothing after it, and as the request that x/net's server saw. That is what request smuggling breaks
// (CWE-444): a field, a path or a body that becomes a second request on the way.
func FuzzHTTP2RequestBecomesOneOfHTTP1(f *testing.F) {
	const plain = ":method: POST\n:scheme: http\n:authority: " + host + "\n:path: /a?b=c\n"
	for _, fields := range []string{
		plain,
		plain + "content-length: 5\ncookie: a=b\ncookie: c=d\n",
		plain + "transfer-encoding: chunked\n",
		plain + "content-length: 5\ncontent-length: 5\n",
		plain + "content-length: +5\n",
		plain + "te: trailers\nx: a\r\nhost: b\n",
		plain + "x: a\rb\nx:y: c\n",
		plain + "host: other\n",
		plain + "connection: x\nx: y\nupgrade: h2c\n",
		strings.Replace(plain, "/a?b=c", "/ HTTP/1.1\r\nx: ", 1),
		strings.Replace(plain, "/a?b=c", "http://other/", 1),
		strings.Replace(plain, "/a?b=c", "*", 1),
		strings.Replace(plain, "POST", "OPTIONS", 1),
		strings.Replace(plain, "POST", "GET / HTTP/1.1\r\nx: ", 1),
		strings.Replace(plain, "POST", "CONNECT", 1),
		strings.Replace(plain, ":authority: "+host, "host: "+host, 1),
	} {
		f.Add(fields, []byte("hello"), "", uint8(3), uint8(20))
		f.Add(fields, []byte(nil), "", uint8(1), uint8(0))
	}
	f.Add(plain+"trailer: checksum\n", []byte("0\r\n\r\nGET /b HTTP/1.1\r\nhost: b\r\n\r\n"), "checksum: 1\n", uint8(7), uint8(3))
	f.Add(plain, []byte("hello"), "transfer-encoding: chunked\n:path: /\n", uint8(0), uint8(0))

	target := newSmuggled(f)
	w := newWorld(f)
	w.storefront(target.address)
	f.Fuzz(func(t *testing.T, fields string, body []byte, trailers string, piece, cut uint8) {
		if len(fields) > 8<<10 || len(body) > 8<<10 || len(trailers) > 1<<10 {
			return
		}
		in := requestFrames(fieldsOf(fields), body, fieldsOf(trailers), int(piece), int(cut))
		w.mu.Lock()
		w.recorded = nil
		w.mu.Unlock()
		reached := exchangeFrames(t, w.proxy.Addr(80).String(), in)
		for _, problem := range target.problems() {
			t.Fatalf("%s\nfrom %q %q %q", problem, fields, body, trailers)
		}
		if !reached {
			return
		}
		got := target.next(t)
		want := referenceRequest(t, in)
		if want == nil {
			t.Fatalf("x/net refuses what reached the target as %s\nfrom %q %q %q", got, fields, body, trailers)
		}
		if got.String() != want.String() {
			t.Errorf("the target got\n%s\nx/net sees\n%s\nin %q %q %q", got, want, fields, body, trailers)
		}
	})
}

// agreed is what both sides must agree on about a request.
type agreed struct {
	method, target, host string
	fields               http.Header
	body                 string
}

// perHop are the fields that are for one hop only, or that the proxy sets itself.
func perHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Length",
		"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "Cdn-Loop", "Proxy-Authenticate", "Proxy-Authorization":
		return true
	}
	return strings.HasPrefix(name, "X-Amzn-")
}

func newAgreed(r *http.Request) (*agreed, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c := &agreed{method: r.Method, target: r.RequestURI, host: r.Host, body: string(body), fields: http.Header{}}
	for name, values := range r.Header {
		if name == "Cookie" {
			values = withoutEmptyCookies(values)
		}
		if !perHop(name) && len(values) > 0 {
			c.fields[name] = values
		}
	}
	return c, nil
}

// withoutEmptyCookies leaves out what means nothing to a target and so may differ: empty cookies, and the separators beside
// them.
func withoutEmptyCookies(values []string) (kept []string) {
	for _, value := range values {
		var pieces []string
		for piece := range strings.SplitSeq(value, ";") {
			if piece = strings.TrimSpace(piece); piece != "" {
				pieces = append(pieces, piece)
			}
		}
		if len(pieces) > 0 {
			kept = append(kept, strings.Join(pieces, "; "))
		}
	}
	return kept
}

func (c *agreed) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q of %q, body %q", c.method, c.target, c.host, c.body)
	for _, name := range slices.Sorted(maps.Keys(c.fields)) {
		fmt.Fprintf(&b, "\n%q: %q", name, c.fields[name])
	}
	return b.String()
}

// smuggled is a target of HTTP/1.1 that takes one request a connection, and looks for more.
type smuggled struct {
	address string
	got     chan *agreed

	mu    sync.Mutex
	found []string
}

func newSmuggled(tb testing.TB) *smuggled {
	s := &smuggled{got: make(chan *agreed, 1)}
	s.address = backend(tb, func(conn net.Conn, _ *bufio.Reader) {
		var read bytes.Buffer
		r := bufio.NewReader(io.TeeReader(conn, &read))
		request, err := http.ReadRequest(r)
		if err == io.EOF {
			return // A connection that was given up before it carried anything.
		}
		if err != nil {
			s.report("net/http cannot read %q: %v", read.Bytes(), err)
			return
		}
		got, err := newAgreed(request)
		if err != nil {
			return // The client gave up, and so the request never became whole.
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nReached: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		if rest, _ := io.ReadAll(r); len(rest) > 0 {
			s.report("after the request comes %q, in %q", rest, read.Bytes())
			return
		}
		s.got <- got
	})
	return s
}

func (s *smuggled) report(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, fmt.Sprintf(format, args...))
}

// problems returns what was found since it was asked last.
func (s *smuggled) problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.found
	s.found = nil
	return found
}

// next returns the request that has reached the target.
func (s *smuggled) next(t *testing.T) *agreed {
	t.Helper()
	select {
	case got := <-s.got:
		return got
	case <-time.After(30 * time.Second):
		t.Fatalf("the target has answered, but its connection does not end; %q", s.problems())
		return nil
	}
}

// fieldsOf reads "name: value" lines; a name may begin with a colon.
func fieldsOf(text string) (fields []hpack.HeaderField) {
	for line := range strings.SplitSeq(text, "\n") {
		start := min(1, len(line))
		if name, value, found := strings.Cut(line[start:], ": "); found {
			fields = append(fields, hpack.HeaderField{Name: line[:start] + name, Value: value})
		}
	}
	return fields
}

// requestFrames returns what a client sends for one request on stream 1: its body in pieces of the length, its header
// block cut in two after some bytes. Neither has an effect with 0.
func requestFrames(fields []hpack.HeaderField, body []byte, trailers []hpack.HeaderField, piece, cut int) []byte {
	var out, block bytes.Buffer
	out.WriteString(wire.ClientPreface)
	f := wire.NewFramer(&out, nil)
	f.AllowIllegalWrites = true
	f.WriteSettings()
	encoder := hpack.NewEncoder(&block)
	headers := func(fields []hpack.HeaderField, last bool) {
		block.Reset()
		for _, field := range fields {
			encoder.WriteField(field)
		}
		cut := min(cut, block.Len())
		if cut == 0 {
			cut = block.Len()
		}
		f.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes()[:cut], EndStream: last, EndHeaders: cut == block.Len()})
		if cut < block.Len() {
			f.WriteContinuation(1, true, block.Bytes()[cut:])
		}
	}
	headers(fields, len(body) == 0 && len(trailers) == 0)
	for rest := body; len(rest) > 0; {
		n := len(rest)
		if piece > 0 {
			n = min(n, piece)
		}
		last := n == len(rest) && len(trailers) == 0
		if piece%2 == 1 {
			f.WriteDataPadded(1, last, rest[:n], make([]byte, piece))
		} else {
			f.WriteData(1, last, rest[:n])
		}
		rest = rest[n:]
	}
	if len(trailers) > 0 {
		headers(trailers, true)
	}
	return out.Bytes()
}

// exchangeFrames sends the frames, waits for the end of stream 1 or of the connection, and reports whether the response
// is the target's.
func exchangeFrames(t *testing.T, address string, in []byte) (reached bool) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(in); err != nil {
		return false
	}
	framer := wire.NewFramer(conn, bufio.NewReader(conn))
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Fatalf("no response to %q", in)
			}
			return reached
		}
		switch f := frame.(type) {
		case *wire.MetaHeadersFrame:
			for _, field := range f.Fields {
				reached = reached || field.Name == "reached"
			}
			if f.StreamEnded() {
				return reached
			}
		case *wire.DataFrame:
			if f.StreamEnded() {
				return reached
			}
		case *wire.RSTStreamFrame:
			return reached
		}
	}
}

// referenceRequest returns the request that x/net's server reads from the frames; nil if it refuses them.
func referenceRequest(t *testing.T, in []byte) *agreed {
	client, server := net.Pipe()
	defer client.Close()
	var seen *agreed
	handled := make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() {
		//lint:ignore SA1019 The server of net/http takes connections from listeners only, and tells nobody when one has ended.
		(&wire.Server{}).ServeConn(server, &wire.ServeConnOpts{BaseConfig: &http.Server{}, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			defer close(handled)
			if c, err := newAgreed(r); err == nil {
				seen = c
			}
		})})
	})
	serving.Go(func() { client.Write(in) })
	ended := make(chan struct{})
	serving.Go(func() {
		defer close(ended)
		framer := wire.NewFramer(io.Discard, client)
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			switch frame.(type) {
			case *wire.HeadersFrame, *wire.RSTStreamFrame, *wire.GoAwayFrame:
				return
			}
		}
	})
	select {
	case <-handled:
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Error("x/net's server does not stop reading")
	}
	client.Close()
	serving.Wait()
	return seen
}
