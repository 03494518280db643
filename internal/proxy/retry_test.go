package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wire "golang.org/x/net/http2"

	"trellis/internal/shape"
)

// breaking is a target that takes a request's first bytes and breaks the connection, by a reset or in order.
func breaking(t testing.TB, resets bool, answer string) string {
	return backend(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := r.ReadByte(); err != nil {
			return
		}
		r.Discard(r.Buffered())
		io.WriteString(conn, answer)
		if resets {
			conn.(*net.TCPConn).SetLinger(0)
		}
	})
}

// breakingHTTP2 is the same for HTTP/2: it answers the preface, and breaks the connection at the first request.
func breakingHTTP2(t testing.TB, resets bool) string {
	return backend(t, func(conn net.Conn, r *bufio.Reader) {
		framer := accepting(conn, r)
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if frame.Header().Type == wire.FrameHeaders {
				break
			}
		}
		if resets {
			conn.(*net.TCPConn).SetLinger(0)
		}
	})
}

// ways are the combinations of versions by which requests reach targets.
var ways = []struct {
	name    string
	http2   bool // the client speaks HTTP/2
	version shape.TargetGroupProtocolVersion
}{
	{"HTTP/1.1 to HTTP/1.1", false, shape.TargetGroupProtocolVersionHttp1},
	{"HTTP/2 to HTTP/1.1", true, shape.TargetGroupProtocolVersionHttp1},
	{"HTTP/2 to HTTP/2", true, shape.TargetGroupProtocolVersionHttp2},
}

func TestRequestThatMayBeRepeatedGoesToAnotherTargetWhenANewConnectionBreaks(t *testing.T) {
	for _, way := range ways {
		for _, resets := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reset %v", way.name, resets), func(t *testing.T) {
				w := newWorld(t)
				var good, bad string
				if way.version == shape.TargetGroupProtocolVersionHttp2 {
					good, bad = http2Backend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), breakingHTTP2(t, resets)
				} else {
					good, bad = answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), breaking(t, resets, "")
				}
				w.http2Storefront(way.version, good, bad)
				client := &http.Client{Transport: &http.Transport{}}
				if way.http2 {
					client = w.http2Client()
				}
				t.Cleanup(client.CloseIdleConnections)
				broken := 0
				for range 10 {
					for _, method := range []string{"GET", "PUT", "POST"} {
						request, _ := http.NewRequest(method, "http://"+w.proxy.Addr(80).String()+"/", nil)
						if method == "PUT" {
							request, _ = http.NewRequest(method, "http://"+w.proxy.Addr(80).String()+"/", strings.NewReader("body"))
						}
						request.Host = host
						response, err := client.Do(request)
						if err != nil {
							t.Fatal(err)
						}
						response.Body.Close()
						switch {
						case method == "POST" && response.StatusCode == 502:
							broken++
						case response.StatusCode != 200:
							t.Errorf("%s: %d", method, response.StatusCode)
						}
					}
				}
				if broken == 0 {
					t.Error("no POST has failed, which must not be repeated")
				}
			})
		}
	}
}

func TestRequestWhoseResponseHasBegunIsNotRepeated(t *testing.T) {
	w := newWorld(t)
	w.storefront(breaking(t, false, "HTTP/1.1 200"), answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	statuses := map[int]int{}
	for range 4 {
		statuses[w.dial().get("/").StatusCode]++
	}
	if statuses[502] != 2 || statuses[200] != 2 {
		t.Errorf("statuses %v", statuses)
	}
}

// leaving is a target that takes a number of requests on a connection, then says that it takes no more, and closes the
// connection once it has answered those.
func leaving(t testing.TB, after int, taken *atomic.Int64) string {
	return backend(t, func(conn net.Conn, r *bufio.Reader) {
		framer := accepting(conn, r)
		var writing sync.Mutex
		var answering sync.WaitGroup
		bodies := map[uint32]bool{}
		answer := func(id uint32) {
			delete(bodies, id)
			answering.Go(func() {
				time.Sleep(time.Millisecond) // Sleeps: a target takes its time, so that others are under way when the connection ends.
				writing.Lock()
				defer writing.Unlock()
				framer.WriteHeaders(wire.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
			})
		}
		for got := 0; got < after || len(bodies) > 0; {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			switch f := frame.(type) {
			case *wire.HeadersFrame:
				if got == after {
					continue
				}
				taken.Add(1)
				if got++; got == after {
					writing.Lock()
					framer.WriteGoAway(f.StreamID, wire.ErrCodeNo, nil)
					writing.Unlock()
				}
				bodies[f.StreamID] = true
				if f.StreamEnded() {
					answer(f.StreamID)
				}
			case *wire.DataFrame:
				if f.StreamEnded() && bodies[f.StreamID] {
					answer(f.StreamID)
				}
			}
		}
		answering.Wait()
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, r)
	})
}

func TestRequestsSurviveATargetThatEndsConnectionsByGOAWAY(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		t.Run(method, func(t *testing.T) {
			// A busy machine may need longer than 5 seconds to find a connection that takes a request.
			w := newWorld(t, func(cfg *Config) { cfg.Upstream.DialTimeout = time.Minute })
			var taken atomic.Int64
			w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, leaving(t, 7, &taken))
			const clients, requests = 50, 10
			client := w.http2Client()
			var running sync.WaitGroup
			for range clients {
				running.Go(func() {
					for range requests {
						if got := fetch(t, client, method, "/", strings.NewReader("body")); got.StatusCode != 200 {
							t.Errorf("status %d", got.StatusCode)
						}
					}
				})
			}
			running.Wait()
			if got := taken.Load(); got != clients*requests {
				t.Errorf("the target has taken %d requests, want each of the %d once", got, clients*requests)
			}
		})
	}
}

// A target that never takes anything must not be asked endlessly.
func TestRequestThatNoTargetTakesEndsWithTheDialTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *Config) { cfg.Upstream.DialTimeout = 5 * time.Second })
	var attempts atomic.Int64
	w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, reluctant(t, func(framer *wire.Framer, stream uint32, attempt int) {
		attempts.Add(1)
		framer.WriteRSTStream(stream, wire.ErrCodeRefusedStream)
	}))
	if got := fetch(t, w.http2Client(), "POST", "/", strings.NewReader("body")); got.StatusCode != 502 {
		t.Errorf("status %d", got.StatusCode)
	}
	if n := attempts.Load(); n < 3 || n > 100 {
		t.Errorf("%d attempts were made, want 3 to 100", n)
	}
}

func TestTimeUntilTheTargetHasTheRequestIsMeasuredIfItHadToWait(t *testing.T) {
	w := newWorld(t)
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		for range 2 {
			if readRequest(r) == nil {
				return
			}
			io.WriteString(conn, okAnswer)
		}
	}))
	c := w.dial()
	for range 3 {
		if got := c.get("/"); got.StatusCode != 200 {
			t.Fatalf("got %d, want 200", got.StatusCode)
		}
	}
	records := w.accessLog(3)
	for i, waits := range []bool{true, false, true} { // The target ends its connection after two requests.
		if took := records[i].ToTarget; took > 0 != waits {
			t.Errorf("request %d: %v until the target had it; a connection had to be made: %v", i+1, took, waits)
		}
	}
}
