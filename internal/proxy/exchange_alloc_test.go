//go:build !race && !invariants

package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"trellis/test/trellistest"
)

// fixedBackend answers every read with the bytes, without allocating.
func fixedBackend(t testing.TB, response string) string {
	return trellistest.ServeTCP(t, func(conn *net.TCPConn) {
		buffer, answer := make([]byte, 64<<10), []byte(response)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			if bytes.HasSuffix(buffer[:n], []byte("\r\n\r\n")) || bytes.HasSuffix(buffer[:n], []byte("end")) {
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}
	}).String()
}

// tenStatements are those of a policy that looks at all of a request and lets it pass at the end.
var tenStatements = statement("Deny", `"Condition":{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","127.0.0.0/8"]}}`) + "," +
	statement("Deny", `"Condition":{"StringEquals":{"vpc-lattice-svcs:RequestMethod":["DELETE","TRACE"]}}`) + "," +
	statement("Deny", `"Resource":"*/admin/*","Condition":{"StringEquals":{"aws:PrincipalType":"Anonymous"}}`) + "," +
	statement("Allow", `"Principal":{"AWS":"`+roleARN+`"}`) + "," +
	statement("Allow", `"Principal":{"AWS":["444455556666","777788889999"]},"Resource":"*/partners/*"`) + "," +
	statement("Allow", `"Condition":{"StringEquals":{"vpc-lattice-svcs:RequestHeader/x-team":"red"}}`) + "," +
	statement("Allow", `"Condition":{"ForAnyValue:StringEquals":{"vpc-lattice-svcs:RequestQueryString/b":["c","d"]}}`) + "," +
	statement("Deny", `"Condition":{"DateGreaterThan":{"aws:CurrentTime":"2200-01-01"}}`) + "," +
	statement("Deny", `"Condition":{"NumericNotEquals":{"vpc-lattice-svcs:Port":["80","443"]}}`) + "," +
	statement("Allow", `"Condition":{"StringLike":{"vpc-lattice-svcs:RequestPath":"/public/*"}}`)

func TestExchangeDoesNotAlloc(t *testing.T) {
	for _, test := range []struct{ name, request, response string }{
		{"GET", "GET /path?query HTTP/1.1\r\nHost: %s\r\nUser-Agent: test\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
			"HTTP/1.1 200 OK\r\nServer: test\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"},
		{"POST with a small body", "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 100\r\n\r\n" + strings.Repeat("x", 97) + "end",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
		{"POST in chunks with trailers", "POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nend\r\n0\r\nX-T: 1\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"},
		{"POST with a large body", "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 99997) + "end",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
		{"large response", "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 200000)},
		{"fixed response", "GET /fixed HTTP/1.1\r\nHost: fixed.lattice.test\r\n\r\n", ""},
		{"GET that policies allow", "GET /public/a?b=%41 HTTP/1.1\r\nHost: svc-guarded.lattice.test\r\nX-Team: blue\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newGuardedWorld(t, func(cfg *Config) { cfg.AccessLog, cfg.Explain = nil, false })
			w.storefront(fixedBackend(t, test.response))
			w.service("fixed", 80, respondWith(404))
			w.service("svc-guarded", 80, forwardTo("tg-1"), "tg-1")
			w.guard("svc-guarded", tenStatements)
			c := w.dial()
			request := []byte(test.request)
			if bytes.Contains(request, []byte("%s")) {
				request = fmt.Appendf(nil, test.request, host)
			}
			// The first response tells how long all the others are.
			if _, err := c.Conn.Write(request); err != nil {
				t.Fatal(err)
			}
			buffer := make([]byte, 300_000)
			length := 0
			for ends := answerEnd(test.response); !bytes.HasSuffix(buffer[:length], ends); {
				n, err := c.Conn.Read(buffer[length:])
				if err != nil {
					t.Fatal(err)
				}
				length += n
			}
			allocs := testing.AllocsPerRun(300, func() {
				if _, err := c.Conn.Write(request); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c.Conn, buffer[:length]); err != nil {
					t.Fatal(err)
				}
			})
			if allocs != 0 {
				t.Errorf("%v allocations per exchange", allocs)
			}
		})
	}
}

// answerEnd returns the last bytes of a response that the client gets.
func answerEnd(response string) []byte {
	switch {
	case response == "":
		return []byte("Not Found")
	case len(response) > 1000:
		return []byte(strings.Repeat("x", 200000))
	default:
		return []byte(response[len(response)-len("ok"):])
	}
}
