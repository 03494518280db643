package health

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	wire "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

func TestTargetWithUnusableAnswersFailsItsCheck(t *testing.T) {
	inEachWay(t, func(t *testing.T, ask asker) {
		for _, test := range []struct{ name, answer string }{
			{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"},
			{"one bare line feed", "HTTP/1.1 200 OK\r\nContent-Length: 2\nX-Y: z\r\n\r\nok"},
			{"Content-Length and Transfer-Encoding", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
			{"two Content-Length lines", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"},
			{"a signed Content-Length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"},
			{"another transfer coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
			{"Transfer-Encoding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
			{"a folded line", "HTTP/1.1 200 OK\r\nX-Y: a\r\n b\r\nContent-Length: 2\r\n\r\nok"},
			{"a space before a colon", "HTTP/1.1 200 OK\r\nX-Y : a\r\nContent-Length: 2\r\n\r\nok"},
			{"a control character", "HTTP/1.1 200 OK\r\nX-Y: a\x01b\r\nContent-Length: 2\r\n\r\nok"},
			{"another version", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"},
			{"too many lines", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Y: z\r\n", 250) + "Content-Length: 2\r\n\r\nok"},
			{"a head of more than 60 KB", "HTTP/1.1 200 OK\r\nX-Y: " + strings.Repeat("z", 60<<10) + "\r\nContent-Length: 2\r\n\r\nok"},
			{"interim responses without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 11) + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
			{"a malformed chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 2\r\nok\r\n0\r\n\r\n"},
		} {
			t.Run(test.name, func(t *testing.T) {
				answer, err := ask(t, Probe{Address: answerRaw(t, test.answer), Path: "/"})
				if err == nil {
					t.Errorf("the check passes with %+v, want an error", answer)
				}
			})
		}
	})
}

func TestLargestUsableHeadPassesTheCheck(t *testing.T) {
	inEachWay(t, func(t *testing.T, ask asker) {
		const first, last = "HTTP/1.1 200 OK\r\nX-Y: ", "\r\nContent-Length: 2\r\n\r\n"
		head := first + strings.Repeat("z", 60<<10-len(first)-len(last)) + last
		answer, err := ask(t, Probe{Address: answerRaw(t, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 10)+head+"ok"), Path: "/"})
		if err != nil || answer != (Answer{200, "ok"}) {
			t.Errorf("answer %+v, error %v", answer, err)
		}
	})
}

// A client gets no response from a target of HTTP/2 that repeats content-length.
func TestHTTP2TargetWithUnusableAnswersFailsItsCheck(t *testing.T) {
	for _, test := range []struct {
		name   string
		fields []hpack.HeaderField
		passes bool
	}{
		{"well-formed", []hpack.HeaderField{{Name: "content-length", Value: "2"}}, true},
		{"two content-length fields", []hpack.HeaderField{{Name: "content-length", Value: "2"}, {Name: "content-length", Value: "2"}}, false},
		{"a field of the connection", []hpack.HeaderField{{Name: "connection", Value: "close"}}, false},
		{"a name in upper case", []hpack.HeaderField{{Name: "X-Y", Value: "z"}}, false},
		{"a head of more than 60 KB", []hpack.HeaderField{{Name: "x-y", Value: strings.Repeat("z", 60<<10)}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			address := serveRaw(t, func(conn net.Conn) { answerHTTP2(conn, test.fields) })
			answer, err := ask(t, Probe{Address: address, HTTP2: true, Path: "/"})
			if (err == nil) != test.passes {
				t.Errorf("answer %+v, error %v; want the check to pass: %t", answer, err, test.passes)
			}
		})
	}
}

// answerHTTP2 answers the first request on a connection with 200, the fields and a body.
func answerHTTP2(conn net.Conn, fields []hpack.HeaderField) {
	if _, err := io.ReadFull(conn, make([]byte, len(wire.ClientPreface))); err != nil {
		return
	}
	framer := wire.NewFramer(conn, conn)
	framer.WriteSettings()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		headers, ok := frame.(*wire.HeadersFrame)
		if !ok {
			continue
		}
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		encoder.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		for _, field := range fields {
			encoder.WriteField(field)
		}
		first := block.Next(16 << 10)
		framer.WriteHeaders(wire.HeadersFrameParam{StreamID: headers.StreamID, BlockFragment: first, EndHeaders: block.Len() == 0})
		for block.Len() > 0 {
			piece := block.Next(16 << 10)
			framer.WriteContinuation(headers.StreamID, block.Len() == 0, piece)
		}
		framer.WriteData(headers.StreamID, true, []byte("ok"))
	}
}
