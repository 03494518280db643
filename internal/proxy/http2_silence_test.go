package proxy

import (
	"bufio"
	"net"
	"sync/atomic"
	"testing"

	wire "golang.org/x/net/http2"

	"trellis/internal/shape"
)

// A machine that is gone without a word answers nothing and closes nothing: its connection would swallow one request
// after the other.
func TestSilentConnectionToATargetGetsNoMoreRequests(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	address := backend(t, func(conn net.Conn, r *bufio.Reader) {
		isFirst := connections.Add(1) == 1
		framer := accepting(conn, r)
		for requests := 0; ; {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if f, ok := frame.(*wire.HeadersFrame); ok {
				if requests++; isFirst && requests > 1 {
					continue
				}
				framer.WriteHeaders(wire.HeadersFrameParam{StreamID: f.StreamID, BlockFragment: []byte{0x88}, EndStream: true, EndHeaders: true})
			}
		}
	})
	w := newWorld(t)
	w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, address)
	w.setIdleTimeout(6)
	client := w.http2Client()
	for i, want := range []int{200, 504, 200} {
		if got := fetch(t, client, "GET", "/", nil); got.StatusCode != want {
			t.Fatalf("request %d: %d, want %d", i+1, got.StatusCode, want)
		}
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("%d connections were made, want 2", n)
	}
}
