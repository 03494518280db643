package proxy

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	wire "golang.org/x/net/http2"
	"google.golang.org/grpc"

	"trellis/internal/shape"
)

func TestFloodsEndTheConnection(t *testing.T) {
	for _, test := range []struct {
		name  string
		flood func(c *framesClient, f *wire.Framer)
	}{
		{"rapid reset", func(c *framesClient, f *wire.Framer) {
			for id := uint32(1); id < 20000; id += 2 {
				f.WriteHeaders(wire.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(":method", "GET", ":scheme", "http", ":authority", host, ":path", "/"), EndStream: true, EndHeaders: true})
				f.WriteRSTStream(id, wire.ErrCodeCancel)
			}
		}},
		{"PING", func(c *framesClient, f *wire.Framer) {
			for range 50000 {
				f.WritePing(false, [8]byte{})
			}
		}},
		{"SETTINGS", func(c *framesClient, f *wire.Framer) {
			for range 50000 {
				f.WriteSettings(wire.Setting{ID: wire.SettingInitialWindowSize, Val: 1 << 20})
			}
		}},
		{"PRIORITY", func(c *framesClient, f *wire.Framer) {
			for range 50000 {
				f.WritePriority(1, wire.PriorityParam{})
			}
		}},
		{"empty DATA", func(c *framesClient, f *wire.Framer) {
			c.request(1, false, "POST", "/")
			for range 50000 {
				f.WriteData(1, false, nil)
			}
		}},
		{"empty DATA on a stream that was reset", func(c *framesClient, f *wire.Framer) {
			c.requestThatIsReset(f, 1)
			for range 50000 {
				f.WriteData(1, false, nil)
			}
		}},
		{"HEADERS on a stream that was reset", func(c *framesClient, f *wire.Framer) {
			c.requestThatIsReset(f, 1)
			for range 50000 {
				f.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode("a", "b"), EndHeaders: true})
			}
		}},
		{"GOAWAY", func(c *framesClient, f *wire.Framer) {
			c.request(1, false, "POST", "/")
			for range 50000 {
				f.WriteGoAway(0, wire.ErrCodeNo, nil)
			}
		}},
		{"window updates", func(c *framesClient, f *wire.Framer) {
			c.request(1, false, "POST", "/")
			for range 50000 {
				f.WriteWindowUpdate(1, 1)
			}
		}},
		{"CONTINUATION", func(c *framesClient, f *wire.Framer) {
			f.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode("a", "b")})
			for range 50000 {
				f.WriteContinuation(1, false, nil)
			}
		}},
		{"small DATA on a stream that was reset", func(c *framesClient, f *wire.Framer) {
			c.requestThatIsReset(f, 1)
			for range 200000 { // More than a window of them.
				f.WriteData(1, false, []byte("x"))
			}
		}},
		{"DATA of padding alone", func(c *framesClient, f *wire.Framer) {
			c.request(1, false, "POST", "/")
			for range 50000 {
				f.WriteDataPadded(1, false, nil, []byte{0})
			}
		}},
		{"RST_STREAM on a stream that was reset", func(c *framesClient, f *wire.Framer) {
			c.requestThatIsReset(f, 1)
			for range 50000 {
				f.WriteRSTStream(1, wire.ErrCodeCancel)
			}
		}},
		{"window updates on a stream that was reset", func(c *framesClient, f *wire.Framer) {
			c.requestThatIsReset(f, 1)
			for range 50000 {
				f.WriteWindowUpdate(1, 1)
			}
		}},
		{"unknown frames", func(c *framesClient, f *wire.Framer) {
			for range 50000 {
				f.WriteRawFrame(0xfa, 0, 0, nil)
			}
		}},
		{"empty CONTINUATION in requests", func(c *framesClient, f *wire.Framer) {
			for id := uint32(1); id < 20000; id += 2 {
				f.WriteHeaders(wire.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(":method", "GET", ":scheme", "http", ":authority", host, ":path", "/"), EndStream: true})
				for range 50 {
					f.WriteContinuation(id, false, nil)
				}
				f.WriteContinuation(id, true, nil)
			}
		}},
		{"PING between small DATA", func(c *framesClient, f *wire.Framer) {
			c.request(1, false, "POST", "/")
			for range 50000 {
				f.WritePing(true, [8]byte{})
				f.WriteData(1, false, []byte("x"))
			}
		}},
		{"settings, many to a frame", func(c *framesClient, f *wire.Framer) {
			settings := make([]wire.Setting, 30)
			for i := range settings {
				settings[i] = wire.Setting{ID: wire.SettingInitialWindowSize, Val: uint32(i)}
			}
			for range 5000 {
				f.WriteSettings(settings...)
			}
		}},
		{"malformed requests", func(c *framesClient, f *wire.Framer) {
			for id := uint32(1); id < 20000; id += 2 {
				f.WriteHeaders(wire.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(":method", "GET"), EndStream: true, EndHeaders: true})
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			c := w.dialFrames()
			c.SetDeadline(time.Now().Add(2 * time.Minute)) // Half a minute and more on a machine with a load of 30.
			// In large pieces: the flood must come faster than the proxy forgives, however busy the machine is, and must
			// not itself keep the proxy from its work.
			flood := bufio.NewWriterSize(c.Conn, 64<<10)
			go func() {
				test.flood(c, wire.NewFramer(flood, nil)) // Its writes fail once the connection has ended.
				flood.Flush()
			}()
			if code := c.goneAway(); code != wire.ErrCodeEnhanceYourCalm {
				t.Errorf("GOAWAY %v", code)
			}
		})
	}
}

// requestThatIsReset sends a request that the proxy resets: its body is longer than its head says.
func (c *framesClient) requestThatIsReset(f *wire.Framer, id uint32) {
	f.WriteHeaders(wire.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: c.encode(
		":method", "POST", ":scheme", "http", ":authority", host, ":path", "/", "content-length", "1")})
	f.WriteData(id, false, []byte("ab"))
}

// A client that cancels now and then, and finishes other streams, must not be taken for an attacker.
func TestCancellingIsNoAbuse(t *testing.T) {
	w := newWorld(t)
	w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	c := w.dialFrames()
	for id := uint32(1); id < 2400; id += 4 {
		c.request(id, false, "POST", "/")
		c.WriteRSTStream(id, wire.ErrCodeCancel)
		c.request(id+2, true, "GET", "/")
		if got := c.headers(); got[":status"] != "200" {
			t.Fatalf("stream %d: %v", id+2, got)
		}
		if _, err := c.next(); err != nil {
			t.Fatal(err)
		}
	}
}

// Each of these sends several times what the flood budget allows of frames that move nothing.
func TestBusyClientsAreNoAbuse(t *testing.T) {
	const pieces = 40000
	t.Run("upload in pieces of a byte", func(t *testing.T) {
		w := newWorld(t)
		w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, http2Backend(t, http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
			n, _ := io.Copy(io.Discard, in.Body)
			io.WriteString(out, strconv.FormatInt(n, 10))
		})))
		if got := fetch(t, w.http2Client(), "POST", "/", inPieces(pieces)); got.body != strconv.Itoa(pieces) || got.err != nil {
			t.Errorf("answer %q, %v", got.body, got.err)
		}
	})
	t.Run("upload in pieces of a byte that nobody wants", func(t *testing.T) {
		w := newWorld(t)
		w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, http2Backend(t, http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
			if in.Method == "POST" {
				io.ReadFull(in.Body, make([]byte, 100))
				out.WriteHeader(413)
			}
		})))
		client := w.http2Client()
		for range 20 {
			if got := fetch(t, client, "POST", "/", inPieces(pieces)); got.StatusCode != 413 {
				t.Errorf("answer %v", got.Response)
			}
		}
		if got := fetch(t, client, "GET", "/", nil); got.StatusCode != 200 {
			t.Errorf("answer %v", got.Response)
		}
	})
	t.Run("DATA that was on its way when its stream was reset", func(t *testing.T) {
		w := newWorld(t)
		w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
		c := w.dialFrames()
		out := bufio.NewWriterSize(c.Conn, 64<<10)
		f := wire.NewFramer(out, nil)
		for id := uint32(1); id < 20; id += 2 {
			c.requestThatIsReset(f, id)
			for range pieces {
				f.WriteData(id, false, []byte("x"))
			}
		}
		out.Flush()
		c.request(21, true, "GET", "/")
		for {
			frame, err := c.next()
			if err != nil {
				t.Fatal(err)
			}
			if _, isReset := frame.(*wire.RSTStreamFrame); isReset {
				continue
			}
			if _, isHeaders := frame.(*wire.HeadersFrame); !isHeaders || frame.Header().StreamID != 21 {
				t.Errorf("%v instead of the response on stream 21", frame)
			}
			return
		}
	})
	t.Run("gRPC with small messages both ways", func(t *testing.T) {
		_, conn := newGRPCWorld(t, &grpcService{stream: func(stream grpc.ServerStream) error {
			for {
				text, err := receiveMessage(stream)
				if err == io.EOF {
					return nil
				}
				if err == nil {
					err = sendMessage(stream, text)
				}
				if err != nil {
					return err
				}
			}
		}})
		stream := open(t, grpcContext(t), conn, "Both")
		sent := make(chan error, 1)
		go func() {
			var err error
			for i := 0; i < pieces && err == nil; i++ {
				err = sendMessage(stream, "x")
			}
			stream.CloseSend()
			sent <- err
		}()
		count := 0
		for {
			if _, err := receiveMessage(stream); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("message %d: %v", count, err)
			}
			count++
		}
		if err := <-sent; err != nil || count != pieces {
			t.Errorf("%d messages came back, %v", count, err)
		}
	})
}

// inPieces is a body of n bytes that is read one by one.
func inPieces(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		for range n {
			if _, err := w.Write([]byte("x")); err != nil {
				return
			}
		}
		w.Close()
	}()
	return r
}
