package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	wire "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"trellis/internal/accesslog"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// framesClient is a client of HTTP/2 that sends frames as the test says.
type framesClient struct {
	t testing.TB
	net.Conn
	*wire.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	decoder *hpack.Decoder
}

// dialFrames connects and exchanges prefaces.
func (w *world) dialFrames(settings ...wire.Setting) *framesClient {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.proxy.Addr(80).String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(50 * time.Second))
	c := &framesClient{t: w.t, Conn: conn, Framer: wire.NewFramer(conn, bufio.NewReader(conn)), decoder: hpack.NewDecoder(4096, nil)}
	c.encoder = hpack.NewEncoder(&c.block)
	io.WriteString(conn, wire.ClientPreface)
	c.WriteSettings(settings...)
	return c
}

// request sends the head of a request; fields are names and values.
func (c *framesClient) request(stream uint32, ended bool, method, path string, fields ...string) {
	c.t.Helper()
	list := append([]string{":method", method, ":scheme", "http", ":authority", host, ":path", path}, fields...)
	if err := c.WriteHeaders(wire.HeadersFrameParam{StreamID: stream, BlockFragment: c.encode(list...), EndStream: ended, EndHeaders: true}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *framesClient) encode(fields ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return c.block.Bytes()
}

// next returns the next frame that is not about the connection.
func (c *framesClient) next() (wire.Frame, error) {
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return nil, err
		}
		switch f := frame.(type) {
		case *wire.SettingsFrame:
			if !f.IsAck() {
				c.WriteSettingsAck()
			}
		case *wire.WindowUpdateFrame, *wire.PingFrame:
		default:
			return frame, nil
		}
	}
}

func (c *framesClient) headers() map[string]string {
	c.t.Helper()
	frame, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	headers, ok := frame.(*wire.HeadersFrame)
	if !ok {
		c.t.Fatalf("%v instead of HEADERS", frame)
	}
	fields, err := c.decoder.DecodeFull(headers.HeaderBlockFragment())
	if err != nil {
		c.t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range fields {
		found[f.Name] = f.Value
	}
	return found
}

// goneAway reads until a GOAWAY with an error and returns it.
func (c *framesClient) goneAway() wire.ErrCode {
	c.t.Helper()
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			c.t.Fatalf("the connection ends without a GOAWAY that has an error: %v", err)
		}
		if f, ok := frame.(*wire.GoAwayFrame); ok && f.ErrCode != wire.ErrCodeNo {
			return f.ErrCode
		}
	}
}

func TestTruncatedUpstreamBodyBreaksTheHTTP2Response(t *testing.T) {
	for _, test := range []struct{ name, text string }{
		{"by length", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"},
		{"by chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
				readRequest(r)
				io.WriteString(conn, test.text)
			}))
			got := fetch(t, w.http2Client(), "GET", "/", nil)
			if got.body != "hello" || got.err == nil {
				t.Errorf("body %q, error %v; want an error after hello", got.body, got.err)
			}
			if record := w.accessLog(1)[0]; record.Failure != accesslog.TargetConnectionClosed {
				t.Errorf("record %+v", record)
			}
		})
	}
	t.Run("reset stream", func(t *testing.T) {
		w := newWorld(t)
		read := make(chan struct{})
		w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, http2Backend(t, http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
			io.WriteString(out, "hello")
			out.(http.Flusher).Flush()
			<-read
			panic(http.ErrAbortHandler)
		})))
		response, err := w.http2Client().Get("http://" + host + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if _, err := io.ReadFull(response.Body, make([]byte, len("hello"))); err != nil {
			t.Fatal(err)
		}
		close(read)
		if n, err := response.Body.Read(make([]byte, 1)); n > 0 || err == nil || err == io.EOF {
			t.Errorf("after hello: %d bytes, %v; want an error", n, err)
		}
	})
}

func TestEarlyResponseIsForwardedOverHTTP2(t *testing.T) {
	early := func(out http.ResponseWriter, in *http.Request) {
		http.NewResponseController(out).EnableFullDuplex()
		out.WriteHeader(413)
		io.WriteString(out, "too large")
	}
	for _, test := range []struct {
		name  string
		setUp func(w *world)
	}{
		{"HTTP/1.1 target", func(w *world) {
			w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
				for {
					line, err := r.ReadString('\n')
					if err != nil || line == "\r\n" {
						break
					}
				}
				io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large")
				io.Copy(io.Discard, r)
			}))
		}},
		{"HTTP/2 target", func(w *world) {
			w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, http2Backend(t, http.HandlerFunc(early)))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.setUp(w)
			c := w.dialFrames()
			c.request(1, false, "POST", "/")
			c.WriteData(1, false, []byte("the beginning"))
			if got := c.headers(); got[":status"] != "413" {
				t.Fatalf("answer %v", got)
			}
			var body []byte
			for {
				frame, err := c.next()
				if err != nil {
					t.Fatal(err)
				}
				if f, ok := frame.(*wire.DataFrame); ok {
					body = append(body, f.Data()...)
				}
				if f, ok := frame.(*wire.RSTStreamFrame); ok {
					if f.ErrCode != wire.ErrCodeNo || string(body) != "too large" {
						t.Errorf("body %q, then RST_STREAM %v", body, f.ErrCode)
					}
					return
				}
			}
		})
	}
}

func TestClientResetCancelsUpstream(t *testing.T) {
	w := newWorld(t)
	begun, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		if readRequest(r) == nil {
			return
		}
		begun <- struct{}{}
		r.ReadByte()
		ended <- struct{}{}
	}))
	c := w.dialFrames()
	c.request(1, true, "GET", "/")
	<-begun
	c.WriteRSTStream(1, wire.ErrCodeCancel)
	trellistest.Receive(t, ended, "the target's connection has ended")
	if record := w.accessLog(1)[0]; record.Failure != accesslog.ClientConnectionClosed {
		t.Errorf("record %+v", record)
	}
}

func TestHTTP2ClientCannotSetLatticeHeaders(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	c := w.dialFrames()
	c.request(1, true, "GET", "/", "x-amzn-lattice-identity", "me", "x-amzn-lattice-target", "there", "x-amzn-source-vpc", "vpc-1", "x-forwarded-for", "1.2.3.4")
	c.headers()
	seen := next(t, requests)
	if got := seen.Header.Get("X-Forwarded-For"); got != "127.0.0.1" || len(seen.Header.Values("X-Amzn-Lattice-Target")) != 1 ||
		seen.Header.Get("X-Amzn-Lattice-Target") == "there" || seen.Header.Get("X-Amzn-Lattice-Identity")+seen.Header.Get("X-Amzn-Source-Vpc") != "" {
		t.Errorf("the target got %v", seen.Header)
	}
}

func TestMalformedHTTP2RequestIsReset(t *testing.T) {
	head := []string{":method", "GET", ":scheme", "http", ":authority", host, ":path", "/"}
	for _, test := range []struct {
		name   string
		fields []string
	}{
		{"no :path", head[:6]},
		{"no :method", head[2:]},
		{"empty :path", append(head[:6:6], ":path", "")},
		{"relative :path", append(head[:6:6], ":path", "a")},
		{"absolute :path", append(head[:6:6], ":path", "http://other/")},
		{"two :path", append(head[:8:8], ":path", "/")},
		{"unknown pseudo-header field", append(head[:8:8], ":protocol", "websocket")},
		{"pseudo-header field after others", append([]string{"a", "b"}, head...)},
		{"upper case", append(head[:8:8], "Upper", "case")},
		{"empty name", append(head[:8:8], "", "x")},
		{"space in a name", append(head[:8:8], "a b", "x")},
		{"line feed in a value", append(head[:8:8], "a", "b\nc")},
		{"NUL in a value", append(head[:8:8], "a", "b\x00c")},
		{"blank at the end of a value", append(head[:8:8], "a", "b ")},
		{"line feed in :path", append(head[:6:6], ":path", "/\r\nx: y")},
		{"connection", append(head[:8:8], "connection", "close")},
		{"transfer-encoding", append(head[:8:8], "transfer-encoding", "chunked")},
		{"upgrade", append(head[:8:8], "upgrade", "h2c")},
		{"te", append(head[:8:8], "te", "gzip")},
		{"content-length without content", append(head[:8:8], "content-length", "5")},
		{"two content-length", append(head[:8:8], "content-length", "0", "content-length", "0")},
		{"negative content-length", append(head[:8:8], "content-length", "-1")},
		{"another host", append(head[:8:8], "host", "other.test")},
		{"other scheme", append([]string{":scheme", "ftp", ":method", "GET"}, head[4:]...)},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			c := w.dialFrames()
			c.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(test.fields...), EndStream: true, EndHeaders: true})
			frame, err := c.next()
			if f, ok := frame.(*wire.RSTStreamFrame); !ok || f.ErrCode != wire.ErrCodeProtocol {
				t.Errorf("answer %v, %v", frame, err)
			}
			c.request(3, true, "GET", "/") // The connection goes on.
			if got := c.headers(); got[":status"] != "200" {
				t.Errorf("the next request: %v", got)
			}
			// The streams are recorded each by itself, in any order.
			records := w.accessLog(2)
			if !slices.ContainsFunc(records, func(r accesslog.Record) bool { return r.Status == 400 && r.Failure == accesslog.ClientProtocolError }) {
				t.Errorf("records %+v", records)
			}
		})
	}
}

func TestHTTP2RequestThatBreaksTheRulesOfHTTPIsAnswered(t *testing.T) {
	many := func(n int, size int) (fields []string) {
		for i := range n {
			fields = append(fields, fmt.Sprintf("x-%d", i), strings.Repeat("y", size))
		}
		return fields
	}
	for _, test := range []struct {
		name   string
		path   string
		fields []string
		want   string
	}{
		{"malformed escape", "/%zz", nil, "400"},
		{"101 headers", "/", many(100, 1), "400"},
		{"99 headers", "/", many(98, 1), "200"},
		{"61 KB of headers", "/", many(61, 1000), "400"},
		{"one header of 100 KB", "/", many(1, 100<<10), "400"},
		{"58 KB of headers", "/", many(58, 1000), "200"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
			c := w.dialFrames()
			list := append([]string{":method", "GET", ":scheme", "http", ":authority", host, ":path", test.path}, test.fields...)
			block := append([]byte(nil), c.encode(list...)...)
			first := min(len(block), 16<<10)
			c.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: block[:first], EndStream: true, EndHeaders: first == len(block)})
			for rest := block[first:]; len(rest) > 0; {
				n := min(len(rest), 16<<10)
				c.WriteContinuation(1, n == len(rest), rest[:n])
				rest = rest[n:]
			}
			if got := c.headers(); got[":status"] != test.want {
				t.Errorf("answer %v", got)
			}
		})
	}
}

func TestBodyLengthMustBeWhatContentLengthSays(t *testing.T) {
	for _, data := range []string{"shrt", "longer"} {
		w := newWorld(t)
		w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		c := w.dialFrames()
		c.request(1, false, "POST", "/", "content-length", "5")
		c.WriteData(1, true, []byte(data))
		for {
			frame, err := c.next()
			if f, ok := frame.(*wire.RSTStreamFrame); ok {
				if f.ErrCode != wire.ErrCodeProtocol {
					t.Errorf("RST_STREAM %v", f.ErrCode)
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestZeroWindowStallTimesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	w.setIdleTimeout(5)
	c := w.dialFrames(wire.Setting{ID: wire.SettingInitialWindowSize, Val: 0})
	c.request(1, true, "GET", "/")
	if got := c.headers(); got[":status"] != "200" {
		t.Fatalf("answer %v", got)
	}
	frame, err := c.next()
	if f, ok := frame.(*wire.RSTStreamFrame); !ok || f.ErrCode != wire.ErrCodeCancel {
		t.Errorf("answer %v, %v", frame, err)
	}
	if record := w.accessLog(1)[0]; record.Failure != accesslog.ClientConnectionClosed {
		t.Errorf("record %+v", record)
	}
}

func TestTargetThatHangsIsGivenUpOverHTTP2(t *testing.T) {
	w := newWorld(t)
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) }))
	w.setIdleTimeout(1)
	c := w.dialFrames()
	c.request(1, true, "GET", "/")
	if got := c.headers(); got[":status"] != "504" {
		t.Errorf("answer %v", got)
	}
}

func TestIdleHTTP2ConnectionIsEnded(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.IdleTimeout = time.Second })
	w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	c := w.dialFrames()
	c.expectGoAway()
	var err error
	for err == nil {
		_, err = c.next()
	}
	if err != io.EOF {
		t.Errorf("the connection ended with %v", err)
	}
}

func TestHTTP2ConnectionEndsAfterItsDuration(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.ConnectionDuration = 40 * time.Second })
	c := w.requestThatIsHeld()
	w.sweepIn(39 * time.Second)
	c.expectGoAway()
	w.sweepIn(40 * time.Second)
	w.endsInOrder(c)
}

// The sweeper of a machine that is busy, or has slept, finds connections whose life is long over. They end in order too.
func TestHTTP2ConnectionEndsInOrderAlthoughTheSweeperIsLate(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.ConnectionDuration = 40 * time.Second })
	c := w.requestThatIsHeld()
	w.sweepIn(50 * time.Second)
	c.expectGoAway()
	w.endsInOrder(c)
}

// expectGoAway checks that the next frame is a GOAWAY without an error.
func (c *framesClient) expectGoAway() {
	c.t.Helper()
	frame, err := c.next()
	if f, ok := frame.(*wire.GoAwayFrame); !ok || f.ErrCode != wire.ErrCodeNo {
		c.t.Fatalf("got %v, %v; want a GOAWAY without an error", frame, err)
	}
}

// requestThatIsHeld returns a client of HTTP/2 whose request is with a target that does not respond.
func (w *world) requestThatIsHeld() *framesClient {
	target, arrived, release := holding(w.t)
	w.t.Cleanup(func() { close(release) })
	w.storefront(target)
	c := w.dialFrames()
	c.request(1, true, "GET", "/slow")
	<-arrived
	return c
}

// endsInOrder checks that the request of a connection that has lived too long gets a response before the end.
func (w *world) endsInOrder(c *framesClient) {
	t := w.t
	t.Helper()
	status := ""
	for {
		frame, err := c.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := frame.(*wire.HeadersFrame); ok {
			fields, _ := c.decoder.DecodeFull(f.HeaderBlockFragment())
			status = fields[0].Value
		}
	}
	if status != "500" {
		t.Errorf("the connection ended after a response with status %q, want 500", status)
	}
	if record := w.accessLog(1)[0]; record.Failure != accesslog.ConnectionDurationExceeded {
		t.Errorf("record %+v", record)
	}
}

func TestDrainLetsStreamsFinish(t *testing.T) {
	w := newWorld(t)
	begun, release := make(chan struct{}, 1), make(chan struct{})
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		readRequest(r)
		begun <- struct{}{}
		<-release
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
	}))
	answers := make(chan answer, 1)
	go func() { answers <- fetch(t, w.http2Client(), "GET", "/", nil) }()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- w.proxy.Shutdown(t.Context()) }()
	select {
	case err := <-stopped:
		t.Fatalf("the proxy stopped with a stream in flight: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	close(release)
	if got := <-answers; got.StatusCode != 200 || got.body != "hello" || got.err != nil {
		t.Errorf("answer %v %q %v", got.Response, got.body, got.err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestStreamsBeyondATargetsLimitUseAnotherConnection(t *testing.T) {
	w := newWorld(t)
	var arrived sync.WaitGroup
	arrived.Add(7)
	handler := http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		arrived.Done()
		waited := make(chan struct{})
		go func() { arrived.Wait(); close(waited) }()
		select {
		case <-waited:
		case <-in.Context().Done():
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, Protocols: priorKnowledge(), HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 2}}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, listener.Addr().String())
	client := w.http2Client()
	answers := make(chan answer, 7)
	for range cap(answers) {
		go func() { answers <- fetch(t, client, "GET", "/", nil) }()
	}
	for range cap(answers) {
		if got := <-answers; got.StatusCode != 200 {
			t.Errorf("answer %v", got.Response)
		}
	}
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		readRequest(r)
		<-release
	}))
	defer close(release)
	c := w.dialFrames()
	for i := range 251 {
		c.request(uint32(2*i+1), true, "GET", "/")
	}
	frame, err := c.next()
	if f, ok := frame.(*wire.RSTStreamFrame); !ok || f.ErrCode != wire.ErrCodeRefusedStream || f.StreamID != 501 {
		t.Errorf("got %v, %v; want REFUSED_STREAM on stream 501", frame, err)
	}
}

func TestStalledUploadHoldsOneStreamOnly(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		line, _ := r.ReadString('\n')
		if strings.HasPrefix(line, "POST") {
			<-release // Without reading the body.
			return
		}
		for line != "\r\n" && line != "" {
			line, _ = r.ReadString('\n')
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}))
	defer close(release)
	client := w.http2Client()
	for range 8 {
		body, _ := io.Pipe()
		go client.Post("http://"+host+"/", "text/plain", io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<20)), body))
	}
	for range 20 {
		if got := fetch(t, client, "GET", "/", nil); got.StatusCode != 200 {
			t.Fatalf("answer %v", got.Response)
		}
	}
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	if memory.HeapInuse > 200<<20 {
		t.Errorf("%d MB in use", memory.HeapInuse>>20)
	}
}

func TestRequestThatATargetHasNotTakenIsTriedAgain(t *testing.T) {
	for name, refuse := range map[string]func(framer *wire.Framer, stream uint32){
		"the stream is refused":    func(framer *wire.Framer, stream uint32) { framer.WriteRSTStream(stream, wire.ErrCodeRefusedStream) },
		"the target is going away": func(framer *wire.Framer, _ uint32) { framer.WriteGoAway(0, wire.ErrCodeNo, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, reluctant(t, func(framer *wire.Framer, stream uint32, attempt int) {
				if attempt == 1 {
					refuse(framer, stream)
					return
				}
				framer.WriteHeaders(wire.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x88}, EndStream: true, EndHeaders: true})
			}))
			if got := fetch(t, w.http2Client(), "POST", "/", nil); got.StatusCode != 200 {
				t.Errorf("answer %v", got.Response)
			}
		})
	}
}

func TestRequestThatATargetHasResetIsNotRepeated(t *testing.T) {
	w := newWorld(t)
	attempts := make(chan int, 10)
	w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, reluctant(t, func(framer *wire.Framer, stream uint32, attempt int) {
		attempts <- attempt
		framer.WriteRSTStream(stream, wire.ErrCodeInternal)
	}))
	if got := fetch(t, w.http2Client(), "GET", "/", nil); got.StatusCode != 502 || len(attempts) != 1 {
		t.Errorf("answer %v after %d attempts", got.Response, len(attempts))
	}
}

// accepting begins HTTP/2 on a target's side of a connection: it reads the preface and sends the target's settings.
func accepting(conn net.Conn, r *bufio.Reader, settings ...wire.Setting) *wire.Framer {
	io.ReadFull(r, make([]byte, len(wire.ClientPreface)))
	framer := wire.NewFramer(conn, r)
	framer.WriteSettings(settings...)
	return framer
}

// reluctant is a target of HTTP/2 that calls answer for each request.
func reluctant(t testing.TB, answer func(framer *wire.Framer, stream uint32, attempt int)) string {
	requests := make(chan struct{}, 100)
	return backend(t, func(conn net.Conn, r *bufio.Reader) {
		framer := accepting(conn, r)
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			switch f := frame.(type) {
			case *wire.SettingsFrame:
				if !f.IsAck() {
					framer.WriteSettingsAck()
				}
			case *wire.HeadersFrame:
				requests <- struct{}{}
				answer(framer, f.StreamID, len(requests))
			}
		}
	})
}

func TestInterimResponsesPassOverHTTP2(t *testing.T) {
	w := newWorld(t)
	w.storefront(answering(t, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	c := w.dialFrames()
	c.request(1, true, "GET", "/")
	if got := c.headers(); got[":status"] != "103" || got["link"] != "</a>" {
		t.Errorf("first %v", got)
	}
	if got := c.headers(); got[":status"] != "200" {
		t.Errorf("then %v", got)
	}
}

func TestTrailersPassBetweenTheVersions(t *testing.T) {
	w := newWorld(t)
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		for {
			line, err := r.ReadString('\n')
			if err != nil || line == "x-sum: 5\r\n" {
				break
			}
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 6\r\nContent-Length: 3\r\n\r\n")
	}))
	client := w.http2Client()
	request, _ := http.NewRequest("POST", "http://"+host+"/", io.MultiReader(strings.NewReader("hello")))
	request.Trailer = http.Header{"X-Sum": {"5"}}
	got := do(t, client, request)
	if got.body != "hello" || got.Trailer.Get("X-Sum") != "6" || got.Trailer.Get("Content-Length") != "" {
		t.Errorf("answer %q with trailers %v", got.body, got.Trailer)
	}
}

func TestResponseToHEADHasNoBodyOverHTTP2(t *testing.T) {
	w := newWorld(t)
	w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"))
	c := w.dialFrames()
	for stream := uint32(1); stream < 10; stream += 2 {
		c.request(stream, true, "HEAD", "/")
		if got := c.headers(); got[":status"] != "200" || got["content-length"] != "2" {
			t.Errorf("answer %v", got)
		}
	}
}
