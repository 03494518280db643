package http2

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	wire "golang.org/x/net/http2"
)

// targetPipe is a connection between us and a target that the test plays. Nothing is buffered in between.
type targetPipe struct {
	t *testing.T
	*wire.Framer
	conn   net.Conn
	client *Conn
	frames chan wire.Frame // window updates and resets that have come
	ended  chan bool
}

func newTargetPipe(t *testing.T) *targetPipe {
	conn, target := net.Pipe()
	cfg := testConfig()
	cfg.TargetWindow, cfg.MaxTargetWindow = 16<<10, 128<<10
	began := time.Now()
	cfg.Now = func() int64 { return time.Since(began).Milliseconds() }
	p := &targetPipe{t: t, Framer: wire.NewFramer(target, target), conn: target,
		client: NewEndpoint(cfg).Client(conn, func() {}, func() {}), frames: make(chan wire.Frame, 1000), ended: make(chan bool)}
	go func() {
		p.client.Serve()
		conn.Close()
		close(p.ended)
	}()
	io.ReadFull(target, make([]byte, len(wire.ClientPreface)))
	p.WriteSettings()
	go func() {
		for {
			frame, err := p.ReadFrame()
			switch frame := frame.(type) {
			case *wire.WindowUpdateFrame:
				if frame.StreamID != 0 {
					p.frames <- &wire.WindowUpdateFrame{FrameHeader: frame.FrameHeader, Increment: frame.Increment}
				}
			case *wire.RSTStreamFrame:
				p.frames <- &wire.RSTStreamFrame{FrameHeader: frame.FrameHeader}
			}
			if err != nil {
				close(p.frames)
				return
			}
		}
	}()
	synctest.Wait()
	return p
}

// open begins a response.
func (p *targetPipe) open(allowance *Allowance) *Stream {
	p.t.Helper()
	s, err := p.client.Open(encode(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/"), Request{Ended: true, Allowance: allowance})
	if err != nil {
		p.t.Fatal(err)
	}
	synctest.Wait()
	p.WriteHeaders(wire.HeadersFrameParam{StreamID: s.id, EndHeaders: true, BlockFragment: encode(":status", "200")})
	synctest.Wait()
	s.Head()
	return s
}

// send sends n bytes of a response.
func (p *targetPipe) send(s *Stream, n int) {
	for n > 0 {
		size := min(n, maxFrameBytes)
		p.WriteData(s.id, false, make([]byte, size))
		n -= size
	}
	synctest.Wait()
}

// take takes what has come of a response; the client needs the time for each piece. It returns how much more the target may
// send than before.
func (p *targetPipe) take(s *Stream, within time.Duration) (more int) {
	p.t.Helper()
	for n, _ := s.Ready(); n > 0; n, _ = s.Ready() {
		var part Part
		if err := s.Take(&part); err != nil {
			p.t.Fatal(err)
		}
		n := part.Len()
		part.Release()
		time.Sleep(within)
		s.Credit(n)
		synctest.Wait()
	}
	for {
		select {
		case frame := <-p.frames:
			if update, ok := frame.(*wire.WindowUpdateFrame); ok {
				more += int(update.Increment)
			}
		default:
			return more
		}
	}
}

func (p *targetPipe) close() {
	p.conn.Close()
	<-p.ended
	synctest.Wait()
}

func allowanceOf(n int) *Allowance {
	a := new(Allowance)
	a.Give(n)
	return a
}

func (a *Allowance) expect(t *testing.T, want int) {
	t.Helper()
	if got := a.left.Load(); got != int64(want) {
		t.Errorf("%d bytes of the allowance are left, want %d", got, want)
	}
}

func TestWindowOfAResponseGrowsWhileItsClientTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTargetPipe(t)
		defer p.close()
		allowance := allowanceOf(1 << 20)
		s := p.open(allowance)
		for i, want := range []int{64 << 10, 128 << 10, 128 << 10} {
			before := s.window
			p.send(s, before)
			if more := p.take(s, time.Millisecond); s.window != want || more != want {
				t.Errorf("round %d: a window of %d after %d, %d more to be sent; want %d", i, s.window, before, more, want)
			}
		}
		allowance.expect(t, 1<<20-112<<10)
		s.Close(wire.ErrCodeCancel)
		allowance.expect(t, 1<<20)
	})
}

func TestWindowOfAResponseStaysSmallWhileItsClientIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTargetPipe(t)
		defer p.close()
		allowance := allowanceOf(1 << 20)
		s := p.open(allowance)
		for range 5 {
			p.send(s, s.window)
			if p.take(s, 2*time.Second); s.window != 16<<10 {
				t.Errorf("window %d", s.window)
			}
		}
		p.send(s, s.window)
		p.take(s, time.Millisecond) // It becomes fast,
		allowance.expect(t, 1<<20-48<<10)
		for range 3 { // and slow again.
			p.send(s, 16<<10)
			p.take(s, 2*time.Second)
		}
		allowance.expect(t, 1<<20)
		if s.window != 16<<10 {
			t.Errorf("window %d", s.window)
		}
	})
}

func TestAllowanceBoundsTheWindowsOfAClientsResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTargetPipe(t)
		defer p.close()
		allowance := allowanceOf(200 << 10)
		var streams []*Stream
		for range 8 {
			s := p.open(allowance)
			streams = append(streams, s)
			for range 5 {
				p.send(s, s.window)
				p.take(s, time.Millisecond)
			}
		}
		total := 0
		for _, s := range streams {
			total += s.window
		}
		// No stream gets all that is left.
		if left := int(allowance.left.Load()); left == 0 || left > 20<<10 || total+left != 8*16<<10+200<<10 {
			t.Errorf("the windows are %d bytes, and %d are left", total, left)
		}
		before := allowance.left.Load()
		streams[0].Reset(wire.ErrCodeCancel)
		streams[0].Close(wire.ErrCodeCancel)
		streams[0].Close(wire.ErrCodeCancel)
		if got := int(allowance.left.Load() - before); got != streams[0].window-16<<10 || got == 0 {
			t.Errorf("%d bytes were given back, of a window of %d", got, streams[0].window)
		}
		last := streams[7].window
		for range 3 {
			p.send(streams[7], streams[7].window)
			p.take(streams[7], time.Millisecond)
		}
		if got := streams[7].window; got <= last {
			t.Errorf("window %d after there is room again, %d before", got, last)
		}
		p.conn.Close() // What is broken off gives back as much.
		synctest.Wait()
		for _, s := range streams {
			s.Close(wire.ErrCodeCancel)
		}
		allowance.expect(t, 200<<10)
	})
}

// After large responses of a target, its next ones have a large window from the beginning.
func TestWindowOfResponsesFollowsWhatTheTargetHasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTargetPipe(t)
		defer p.close()
		allowance := allowanceOf(1 << 20)
		windowAfter := func(size int) int {
			s := p.open(allowance)
			defer s.Close(wire.ErrCodeCancel)
			p.send(s, size)
			p.take(s, time.Millisecond)
			next := p.open(allowance)
			defer next.Close(wire.ErrCodeCancel)
			if more := p.take(next, 0); more != next.window-16<<10 {
				t.Errorf("%d bytes were announced of a window of %d", more, next.window)
			}
			return next.window
		}
		p.open(nil).Close(wire.ErrCodeCancel)
		for _, size := range []int{100, 16 << 10} {
			if got := windowAfter(size); got != 16<<10 {
				t.Errorf("window %d after a response of %d bytes", got, size)
			}
		}
		s := p.open(allowance)
		p.send(s, 16<<10)
		p.take(s, time.Millisecond)
		p.send(s, 1)
		s.Close(wire.ErrCodeCancel)
		if got := windowAfter(100); got != 128<<10 {
			t.Errorf("window %d after a large response", got)
		}
		for range 10 {
			p.open(allowance).Close(wire.ErrCodeCancel)
		}
		if got := windowAfter(100); got != 16<<10 {
			t.Errorf("window %d after ten small ones", got)
		}
		allowance.expect(t, 1<<20)
	})
}
