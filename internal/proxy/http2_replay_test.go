package proxy

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	wire "golang.org/x/net/http2"

	"trellis/internal/shape"
)

// refusals are how a target says that it has not looked at a request (RFC 9113 8.7).
var refusals = []struct {
	name   string
	refuse func(f *wire.Framer, stream uint32)
}{
	{"RST_STREAM", func(f *wire.Framer, stream uint32) { f.WriteRSTStream(stream, wire.ErrCodeRefusedStream) }},
	{"GOAWAY", func(f *wire.Framer, stream uint32) { f.WriteGoAway(stream-1, wire.ErrCodeNo, nil) }},
}

// refusingAfter is a target of HTTP/2 that refuses the first request once it has got so many bytes of its body, and answers
// any other with the digest of its body. window is the initial one of its streams.
func refusingAfter(t testing.TB, window uint32, after int, refuse func(f *wire.Framer, stream uint32)) (address string, refused <-chan struct{}) {
	done := make(chan struct{}, 100)
	requests := make(chan struct{}, 100)
	return backend(t, func(conn net.Conn, r *bufio.Reader) {
		framer := accepting(conn, r, wire.Setting{ID: wire.SettingInitialWindowSize, Val: window})
		framer.WriteWindowUpdate(0, 1<<30)
		bodies := map[uint32][]byte{}
		first := uint32(0) // the stream of the first request of all
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
				if requests <- struct{}{}; len(requests) == 1 {
					first = f.StreamID
				}
			case *wire.DataFrame:
				id := f.StreamID
				bodies[id] = append(bodies[id], f.Data()...)
				switch {
				case id == first && bodies[id] != nil && len(bodies[id]) >= after:
					refuse(framer, id)
					first = 0
					done <- struct{}{}
				case id != first && f.StreamEnded():
					framer.WriteHeaders(wire.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}, EndHeaders: true})
					framer.WriteData(id, true, []byte(digest(bodies[id])))
				case id != first && len(f.Data()) > 0:
					framer.WriteWindowUpdate(id, uint32(len(f.Data())))
				}
			}
		}
	}), done
}

func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func TestBodyThatComesLaterIsSentAgainWhenATargetRefusesTheStream(t *testing.T) {
	for _, refusal := range refusals {
		t.Run(refusal.name, func(t *testing.T) {
			w := newWorld(t)
			address, refused := refusingAfter(t, 65535, len("hello"), refusal.refuse)
			w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, address)
			c := w.dialFrames()
			c.request(1, false, "POST", "/")
			c.WriteData(1, false, []byte("hello"))
			<-refused
			c.WriteData(1, true, []byte(" world"))
			if got := c.headers(); got[":status"] != "200" {
				t.Fatalf("answer %v", got)
			}
			if frame, err := c.next(); err != nil || string(frame.(*wire.DataFrame).Data()) != digest([]byte("hello world")) {
				t.Errorf("got %v, %v; want the digest of the whole body", frame, err)
			}
			if record := w.accessLog(1)[0]; record.Failure != "" || record.Status != 200 {
				t.Errorf("record %+v", record)
			}
		})
	}
}

// What a target takes before it says anything fits into what is kept.
func TestLargeBodyIsSentAgainWhileATargetHasOnlyItsFirstWindow(t *testing.T) {
	body := noise(1 << 20)
	for _, refusal := range refusals {
		for _, after := range []int{1, 65535} {
			w := newWorld(t)
			address, _ := refusingAfter(t, 65535, after, refusal.refuse)
			w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, address)
			client := w.http2Client()
			for range 2 { // The second request shows whether the windows are still right.
				got := fetch(t, client, "POST", "/", bytes.NewReader(body))
				if got.StatusCode != 200 || got.body != digest(body) {
					t.Fatalf("%s after %d bytes: answer %v", refusal.name, after, got.Response)
				}
			}
			if record := w.accessLog(1)[0]; record.Received < int64(len(body)) || record.Received > int64(len(body))+1000 {
				t.Errorf("received %d bytes", record.Received)
			}
		}
	}
}

func TestBodyIsNotSentAgainOnceMoreWasSentThanIsKept(t *testing.T) {
	for _, refusal := range refusals {
		w := newWorld(t)
		address, _ := refusingAfter(t, 1<<20, 200_000, refusal.refuse)
		w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, address)
		client := w.http2Client()
		if got := fetch(t, client, "POST", "/", bytes.NewReader(noise(300_000))); got.StatusCode != 502 {
			t.Errorf("%s: answer %v, want 502", refusal.name, got.Response)
		}
		if got := fetch(t, client, "POST", "/", bytes.NewReader(noise(300_000))); got.StatusCode != 200 {
			t.Errorf("%s: next answer %v, want 200", refusal.name, got.Response)
		}
	}
}

func TestTargetThatRefusesAgainAndAgainIsLeftForAnother(t *testing.T) {
	w := newWorld(t)
	attempts := make(chan int, 100)
	stubborn := reluctant(t, func(framer *wire.Framer, stream uint32, attempt int) {
		attempts <- attempt
		framer.WriteRSTStream(stream, wire.ErrCodeRefusedStream)
	})
	willing := http2Backend(t, http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) { io.Copy(out, in.Body) }))
	w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, stubborn, willing)
	client := w.http2Client()
	for range 4 {
		got := fetch(t, client, "POST", "/", io.MultiReader(strings.NewReader("hello")))
		if got.StatusCode != 200 || got.body != "hello" {
			t.Errorf("answer %v %q", got.Response, got.body)
		}
	}
	if n := len(attempts); n == 0 || n%2 != 0 {
		t.Errorf("%d requests were refused, want each that was twice", n)
	}
}

// The same as for HTTP/2 without the guarantee: a target that closes a connection that was idle has most likely not
// seen the request, and this one may be repeated.
func TestBodyThatComesLaterIsSentAgainWhenAnHTTP1ConnectionWasClosed(t *testing.T) {
	for _, test := range []struct {
		method string
		want   string
	}{{"PUT", "200"}, {"POST", "502"}} {
		w := newWorld(t)
		heads := make(chan struct{}, 100)
		repeated := make(chan struct{}, 100)
		w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
			for {
				var head strings.Builder
				for !strings.HasSuffix(head.String(), "\r\n\r\n") {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					head.WriteString(line)
				}
				switch heads <- struct{}{}; len(heads) {
				case 1: // A GET, after which the connection is idle.
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				case 2:
					r.ReadString('o')
					return
				default:
					repeated <- struct{}{}
					body, _ := r.ReadString('d')
					if !strings.Contains(body, "hello") {
						t.Errorf("the target got %q", body)
					}
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}
		}))
		c := w.dialFrames()
		c.request(1, true, "GET", "/")
		c.headers()
		c.request(3, false, test.method, "/", "content-length", "11")
		c.WriteData(3, false, []byte("hello"))
		w.accessLog(1)
		if test.want == "200" {
			<-repeated
			c.WriteData(3, true, []byte(" world"))
		}
		if got := c.headers(); got[":status"] != test.want {
			t.Errorf("%s: answer %v", test.method, got)
		}
	}
}
