package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// A client opens as many streams as it may and stops reading their responses, which have no end. What the target could send of
// them, and the heap, show how much the proxy holds; both include some of the client's and the target's own memory.
func TestResponsesThatNobodyReadsTakeLittleMemory(t *testing.T) {
	const streams = 250
	for _, test := range []struct {
		name    string
		version shape.TargetGroupProtocolVersion
		read    int64 // of each response, before the client stops
		sent    int64 // at most, or 0: most of it is in the kernel
		heap    int64 // at most
	}{
		{"HTTP/2 target", shape.TargetGroupProtocolVersionHttp2, 0, 9 << 20, 26 << 20},
		{"HTTP/2 target, after a while", shape.TargetGroupProtocolVersionHttp2, 64 << 10, 9 << 20, 26 << 20},
		{"HTTP/1.1 target", shape.TargetGroupProtocolVersionHttp1, 0, 0, 18 << 20},
		{"HTTP/1.1 target, after a while", shape.TargetGroupProtocolVersionHttp1, 64 << 10, 0, 20 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			var sent, read atomic.Int64
			var kernel []func(*http.Server)
			if test.sent == 0 {
				kernel = append(kernel, withSmallSendBuffers)
			}
			w.http2Storefront(test.version, http2Backend(t, http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
				piece := make([]byte, 4<<10)
				for {
					n, err := out.Write(piece)
					sent.Add(int64(n))
					if err != nil {
						return
					}
				}
			}), kernel...))
			client := w.http2Client()
			transport := client.Transport.(*http.Transport)
			transport.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 4 << 10, MaxReceiveBufferPerConnection: 4<<20 - 1}
			var connections atomic.Int64 // One, unless the machine is very busy.
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				connections.Add(1)
				return dial(ctx, network, address)
			}
			client.Timeout = 0
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			get := func() {
				request, err := http.NewRequestWithContext(ctx, "GET", "http://"+host+"/", nil)
				if err != nil {
					t.Error(err)
					return
				}
				response, err := client.Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				n, err := io.CopyN(io.Discard, response.Body, test.read)
				if err != nil && response.StatusCode == 200 { // Not all targets' connections may come about on a busy machine.
					t.Error(err)
				}
				read.Add(n)
			}
			before := heapInUse()
			get() // The others know how many streams there may be.
			var reading sync.WaitGroup
			for range streams - 1 {
				reading.Go(get)
			}
			reading.Wait()
			trellistest.AwaitStill(t, sent.Load)
			unread, heap := sent.Load()-read.Load(), heapInUse()-before
			t.Logf("%d connections, %.1f MB sent and not read, %.1f MB on the heap", connections.Load(), float64(unread)/(1<<20), float64(heap)/(1<<20))
			if test.sent > 0 && unread > test.sent*connections.Load() {
				t.Errorf("the target could send %d bytes that nobody has read, want at most %d", unread, test.sent*connections.Load())
			}
			if heap > test.heap*connections.Load() {
				t.Errorf("%d bytes are on the heap, want at most %d", heap, test.heap*connections.Load())
			}
		})
	}
}

// withSmallSendBuffers keeps the kernel from taking megabytes from each connection of a server, whatever the proxy takes.
func withSmallSendBuffers(server *http.Server) {
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		conn.(*net.TCPConn).SetWriteBuffer(16 << 10)
		return ctx
	}
}

func heapInUse() int64 {
	for range 3 { // What is in pools goes with the second.
		runtime.GC()
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return int64(memory.HeapAlloc)
}
