package http2

import (
	"testing"
	"testing/synctest"

	wire "golang.org/x/net/http2"
)

// After a burst of streams as many goroutines are kept as are needed, and none once nothing is.
func TestHandlersOfABurstEndSoonAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		handled := 0
		p := newPipe(t, func(s *Stream) {
			<-release
			s.Head()
			s.Send(encode(":status", "204"), nil, true)
		})
		go func() {
			for {
				frame, err := p.ReadFrame()
				if err != nil {
					return
				}
				if frame.Header().Type == wire.FrameHeaders {
					handled++
				}
			}
		}()
		id := uint32(1)
		request := func(n int) {
			for range n {
				p.WriteHeaders(wire.HeadersFrameParam{
					StreamID: id, EndHeaders: true, EndStream: true,
					BlockFragment: encode(":method", "GET", ":scheme", "https", ":authority", "a.test", ":path", "/"),
				})
				id += 2
			}
			synctest.Wait()
		}
		idle := func() int {
			p.server.mu.Lock()
			defer p.server.mu.Unlock()
			return len(p.server.idle)
		}

		request(10)
		close(release)
		synctest.Wait()
		if handled != 10 || idle() != 10 {
			t.Fatalf("%d streams were handled and %d handlers are idle, want 10 of both", handled, idle())
		}
		p.server.Sweep() // The burst was in this interval.
		for range 10 {
			request(1)
		}
		p.server.Sweep()
		if handled != 20 || idle() != 1 {
			t.Errorf("%d streams were handled, and after ten streams one by one %d handlers are left, want 20 and 1", handled, idle())
		}
		p.server.Sweep()
		if idle() != 0 {
			t.Errorf("%d handlers are left although nothing happened, want none", idle())
		}
		request(3)
		p.Close()
		<-p.ended // All goroutines end, or synctest complains.
		if handled != 23 {
			t.Errorf("%d streams were handled, want 23", handled)
		}
	})
}
