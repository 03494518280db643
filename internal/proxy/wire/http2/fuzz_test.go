package http2

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	wire "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func testConfig() Config {
	return Config{
		Now: func() int64 { return 1 }, MaxStreams: 10, StreamWindow: 64 << 10, ConnWindow: 1 << 20, TargetWindow: 64 << 10,
		MaxHeadBytes: 60 << 10, HeadTimeout: time.Minute, StallTimeout: time.Minute,
	}
}

// memoryConn is a connection whose peer has sent everything already, and takes everything.
type memoryConn struct {
	net.Conn
	in *bytes.Reader
}

func (c *memoryConn) Read(p []byte) (int, error)         { return c.in.Read(p) }
func (c *memoryConn) Write(p []byte) (int, error)        { return len(p), nil }
func (c *memoryConn) SetDeadline(t time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(t time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(t time.Time) error { return nil }
func (c *memoryConn) Close() error                       { return nil }

func frames(build func(f *wire.Framer)) []byte {
	var b bytes.Buffer
	build(wire.NewFramer(&b, nil))
	return b.Bytes()
}

func encode(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

// FuzzFrames has a server and a client read any bytes: they must come to an end, with every stream, and not panic.
func FuzzFrames(f *testing.F) {
	head := encode(":method", "POST", ":scheme", "http", ":authority", "a", ":path", "/", "content-length", "5")
	f.Add(frames(func(f *wire.Framer) {
		f.WriteSettings()
		f.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: head, EndHeaders: true})
		f.WriteData(1, true, []byte("hello"))
		f.WriteRSTStream(1, wire.ErrCodeCancel)
		f.WriteWindowUpdate(0, 1)
	}))
	f.Add(frames(func(f *wire.Framer) {
		f.WriteSettings(wire.Setting{ID: wire.SettingInitialWindowSize, Val: 1})
		f.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: encode(":status", "200"), EndHeaders: true})
		f.WriteDataPadded(1, false, []byte("hello"), make([]byte, 5))
		f.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: encode("a", "b"), EndHeaders: true, EndStream: true})
		f.WriteGoAway(1, 0, nil)
	}))
	f.Add(frames(func(f *wire.Framer) {
		f.WriteSettings()
		f.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: head[:3]})
		f.WriteContinuation(1, true, head[3:])
		f.WritePing(false, [8]byte{})
		f.WritePriority(3, wire.PriorityParam{StreamDep: 1})
	}))
	f.Fuzz(func(t *testing.T, in []byte) {
		e := NewEndpoint(testConfig())
		server := e.Server(&memoryConn{in: bytes.NewReader(in)}, []byte(wire.ClientPreface), func(s *Stream) {
			if _, _, err := s.Head(); err != nil {
				return
			}
			buf := make([]byte, 100)
			for {
				n, err := s.Read(buf)
				if err == io.EOF {
					break
				}
				if err != nil {
					return
				}
				s.Credit(n)
			}
			s.Trailers()
			s.Send(AppendStatus(nil, 200), make([]byte, 10), false)
		})
		server.Serve()
		if len(server.streams) > 0 || server.handlers > 0 {
			t.Errorf("%d streams, %d handlers left", len(server.streams), server.handlers)
		}

		client := e.Client(&memoryConn{in: bytes.NewReader(in)}, nil, nil)
		s, err := client.Open(head, Request{Ended: true})
		if err != nil {
			t.Fatal(err)
		}
		client.Serve()
		for {
			if _, _, err := s.Head(); err != nil {
				break
			}
		}
		io.Copy(io.Discard, s)
		s.Close(wire.ErrCodeCancel)
		if len(client.streams) > 0 {
			t.Errorf("%d streams left", len(client.streams))
		}
	})
}

// FuzzBlock compares what we take for a well-formed request with what x/net does: we never accept what it refuses.
func FuzzBlock(f *testing.F) {
	f.Add(encode(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/", "cookie", "a=b", "cookie", "c=d", "te", "trailers"))
	f.Add(encode(":method", "POST", ":scheme", "https", ":path", "*", "host", "b", "content-length", "0"))
	f.Add(encode(":method", "CONNECT", ":authority", "a:1"))
	f.Add([]byte{0x82, 0x87, 0x84, 0x41, 0x01, 'a', 0x40, 0x01, 'X', 0x01, 'y'})
	f.Fuzz(func(t *testing.T, in []byte) {
		var b block
		b.reset(requestBlock, 1, true, 60<<10)
		ours := hpack.NewDecoder(4096, b.add)
		if _, err := ours.Write(in); err != nil || ours.Close() != nil {
			return
		}
		b.finish()
		if b.malformed != "" || b.tooLarge {
			return
		}
		framer := wire.NewFramer(nil, bytes.NewReader(frames(func(f *wire.Framer) {
			f.AllowIllegalWrites = true
			f.WriteHeaders(wire.HeadersFrameParam{StreamID: 1, BlockFragment: in, EndHeaders: true, EndStream: true})
		})))
		framer.SetMaxReadFrameSize(1 << 20)
		framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatalf("x/net refuses %q: %v", b.appendText(nil), err)
		}
		if meta := frame.(*wire.MetaHeadersFrame); meta.PseudoValue("method") != b.method || b.method != "CONNECT" && meta.PseudoValue("path") != b.path {
			t.Errorf("x/net sees %v, we see %q", meta, b.appendText(nil))
		}
		text := string(b.appendText(nil))
		head, rest, _ := strings.Cut(text, "\r\n\r\n")
		if rest != "" || strings.Count(head, "\r") != strings.Count(head, "\r\n") || strings.Count(head, "\n") != strings.Count(head, "\r\n") {
			t.Errorf("the head splits: %q", text)
		}
	})
}

// FuzzEncode has what we encode decoded again.
func FuzzEncode(f *testing.F) {
	f.Add("Content-Type", "text/plain", 200)
	f.Add("x", strings.Repeat("y", 200), 599)
	f.Fuzz(func(t *testing.T, name, value string, status int) {
		if len(name) == 0 || status < 100 || status > 999 {
			return
		}
		block := AppendField(AppendStatus(nil, status), []byte(name), []byte(value))
		fields, err := hpack.NewDecoder(4096, nil).DecodeFull(block)
		if err != nil || len(fields) != 2 {
			t.Fatalf("%v, %v", fields, err)
		}
		lower := []byte(name)
		for i, c := range lower {
			if c >= 'A' && c <= 'Z' {
				lower[i] = c | 0x20
			}
		}
		if fields[1].Name != string(lower) || len(fields[1].Value) != len(value) || strings.ContainsAny(fields[1].Value, "\r\n\x00") {
			t.Errorf("%q: %q became %v", name, value, fields[1])
		}
	})
}
