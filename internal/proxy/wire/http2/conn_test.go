package http2

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	wire "golang.org/x/net/http2"
)

// pipe is a connection between a client that the test plays and our server. Nothing is buffered in between.
type pipe struct {
	t *testing.T
	net.Conn
	*wire.Framer
	server *Conn
	ended  chan bool // what Serve has returned
}

// newPipe sends the client's preface.
func newPipe(t *testing.T, handle func(*Stream)) *pipe {
	client, conn := net.Pipe()
	cfg := testConfig()
	began := time.Now()
	cfg.Now = func() int64 { return time.Since(began).Milliseconds() }
	p := &pipe{t: t, Conn: client, Framer: wire.NewFramer(client, client), ended: make(chan bool, 1)}
	p.server = NewEndpoint(cfg).Server(conn, nil, handle)
	go func() {
		lingers := p.server.Serve()
		conn.Close()
		p.ended <- lingers
	}()
	io.WriteString(client, wire.ClientPreface)
	p.WriteSettings(wire.Setting{ID: wire.SettingInitialWindowSize, Val: 1 << 20})
	return p
}

// await reads until a frame of the kind.
func (p *pipe) await(kind wire.FrameType) wire.Frame {
	p.t.Helper()
	for {
		frame, err := p.ReadFrame()
		if err != nil {
			p.t.Fatalf("instead of %v: %v", kind, err)
		}
		if frame.Header().Type == kind {
			return frame
		}
	}
}

// A connection that drains has come to its end as soon as the last response has been handed over to be written. Its
// client may take its time to read that, as it may with any other.
func TestLastResponseOfAConnectionThatEndsMayBeReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := bytes.Repeat([]byte("x"), 60<<10)
		handled := make(chan struct{})
		p := newPipe(t, func(s *Stream) {
			s.Head()
			if err := s.Send(AppendStatus(nil, 200), body, true); err != nil {
				t.Errorf("Send: %v", err)
			}
			close(handled)
		})
		p.await(wire.FrameSettings)
		p.server.Drain()
		drain := p.await(wire.FramePing).(*wire.PingFrame).Data
		p.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true,
			BlockFragment: encode(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/")})
		p.WritePing(true, drain)
		synctest.Wait() // The stream is over, and so is the connection once all is written.
		time.Sleep(30 * time.Second)
		got := 0
		for got < len(body) {
			n := len(p.await(wire.FrameData).(*wire.DataFrame).Data())
			if got += n; n == 0 {
				break
			}
			time.Sleep(time.Second)
		}
		<-handled
		if got != len(body) {
			t.Errorf("%d bytes of %d", got, len(body))
		}
		if !<-p.ended {
			t.Error("the client is not given the time to read the end")
		}
	})
}

func TestPeerThatTakesNothingHoldsAnEndedConnectionForAWhileOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe(t, func(s *Stream) {})
		p.await(wire.FrameSettings)
		p.WriteWindowUpdate(1, 1) // The stream is idle.
		began := time.Now()
		<-p.ended
		if lasted := time.Since(began); lasted > closingTime {
			t.Errorf("it lasted for %v", lasted)
		}
	})
}
