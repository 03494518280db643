package proxy

import (
	"bytes"
	"io"
	"testing"

	wire "golang.org/x/net/http2"
)

// The hazard is a proxy that stops reading when it has seen enough: a client that reads only once it has sent
// everything never gets there, and then finds a reset instead of the reason.
func TestClientThatReadsOnlyAfterItHasSentEverythingLearnsWhyTheConnectionEnded(t *testing.T) {
	for _, test := range []struct {
		name  string
		flood func(f *wire.Framer)
		want  wire.ErrCode
	}{
		{"PING", func(f *wire.Framer) { f.WritePing(false, [8]byte{}) }, wire.ErrCodeEnhanceYourCalm},
		{"SETTINGS", func(f *wire.Framer) { f.WriteSettings() }, wire.ErrCodeEnhanceYourCalm},
		{"unknown frames", func(f *wire.Framer) { f.WriteRawFrame(0xfa, 0, 0, nil) }, wire.ErrCodeEnhanceYourCalm},
		{"frames for an idle stream", func(f *wire.Framer) { f.WriteWindowUpdate(99, 1) }, wire.ErrCodeProtocol},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.storefront(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			c := w.dialFrames()
			// All but the beginning comes after the end.
			var one bytes.Buffer
			test.flood(wire.NewFramer(&one, nil))
			if _, err := c.Conn.Write(bytes.Repeat(one.Bytes(), 2<<20/one.Len())); err != nil {
				t.Fatalf("sending: %v", err)
			}
			if code := c.goneAway(); code != test.want {
				t.Errorf("GOAWAY %v, want %v", code, test.want)
			}
			if _, err := c.ReadFrame(); err != io.EOF {
				t.Errorf("after GOAWAY: %v", err)
			}
		})
	}
}
