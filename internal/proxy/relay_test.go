package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"trellis/internal/proxy/exchange"
	"trellis/test/trellistest"
)

// What fills the room for the first bytes of a response makes the proxy look for more, but not wait for it.
func TestResponseThatFillsTheRoomIsNotHeldBack(t *testing.T) {
	room := exchange.ResponseBytes - exchange.HeadRoom - exchange.ChunkRoom
	const rest = 10_000
	for _, test := range []struct {
		name, head string
		end        string
	}{
		{"by length", "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", ""},
		{"by chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", "\r\n0\r\n\r\n"},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\n", ""},
	} {
		for _, ending := range []string{"whole", "closed", "reset"} {
			t.Run(test.name+", "+ending, func(t *testing.T) {
				head := test.head
				if strings.Contains(head, "%") {
					// The length of the body depends on that of the head, by a digit that is always there.
					head = fmt.Sprintf(head, room+rest)
					head = fmt.Sprintf(test.head, room-len(head)+rest)
				}
				body := noise(room - len(head) + rest)
				goOn := make(chan struct{})
				w := newWorld(t)
				w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
					if readRequest(r) == nil {
						return
					}
					conn.Write(append([]byte(head), body[:len(body)-rest]...))
					<-goOn
					switch ending {
					case "whole":
						conn.Write(append(body[len(body)-rest:], test.end...))
						if test.end == "" && !strings.Contains(head, "Length") {
							return
						}
						readRequest(r)
					case "reset":
						conn.(*net.TCPConn).SetLinger(0)
					}
				}))
				c := w.dial()
				c.send("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
				response, err := http.ReadResponse(c.Reader, nil)
				if err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len(body)-rest)
				if _, err := io.ReadFull(response.Body, got); err != nil {
					t.Fatal(err)
				}
				close(goOn)
				more, err := io.ReadAll(response.Body)
				got = append(got, more...)
				if ending == "whole" || ending == "closed" && test.name == "until the end" {
					want := body
					if ending == "closed" {
						want = body[:len(body)-rest]
					}
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("got %d bytes, %v; want %d", len(got), err, len(want))
					}
				} else if err == nil {
					t.Errorf("got %d bytes and an orderly end", len(got))
				}
			})
		}
	}
}

func TestResponsesToAClientThatReadsLateArriveWhole(t *testing.T) {
	body := noise(100_000)
	w := newWorld(t)
	var written atomic.Int64
	w.storefront(backend(t, func(conn net.Conn, r *bufio.Reader) {
		answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		for readRequest(r) != nil {
			n, _ := conn.Write(answer)
			written.Add(int64(n))
		}
	}))
	c := w.dial()
	const count = 150 // Together more than the buffers of the kernel hold.
	c.send(strings.Repeat("GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n", count))
	trellistest.AwaitStill(t, written.Load) // They are full.
	for i := range count {
		if got := c.receive("GET"); got.err != nil || got.body != string(body) {
			t.Fatalf("answer %d: %d bytes, %v", i, len(got.body), got.err)
		}
	}
	var sent int64
	for _, r := range w.accessLog(count) {
		sent += r.Sent
	}
	if head := sent/count - int64(len(body)); head < 50 || head > 1000 {
		t.Errorf("the access log has %d bytes for the head of each response", head)
	}
}
