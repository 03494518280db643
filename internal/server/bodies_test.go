package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Before it answers, net/http reads a body that its handler has not read, for as long as a body may take: 30 seconds.
func TestRefusalsDoNotWaitForBodies(t *testing.T) {
	node, _, _ := documented(t)
	for name, head := range map[string]string{
		"unsigned":          "POST /services HTTP/1.1\r\nHost: api\r\nContent-Length: 1000\r\n\r\n",
		"unknown operation": "POST /nothing HTTP/1.1\r\nHost: api\r\nContent-Length: 1000\r\n\r\n",
		"STS":               "POST / HTTP/1.1\r\nHost: api\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n",
		"too large":         "POST /services HTTP/1.1\r\nHost: api\r\nContent-Length: 1048577\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if status := answerTo(t, node, head); status < 400 || status >= 500 {
				t.Errorf("answered %d", status)
			}
		})
	}
}

func TestAPIHeadsAreBounded(t *testing.T) {
	node, _, _ := documented(t)
	for size, want := range map[int]int{30 << 10: http.StatusForbidden, 64 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		head := fmt.Sprintf("GET /services HTTP/1.1\r\nHost: api\r\nX: %s\r\n\r\n", strings.Repeat("x", size))
		if got := answerTo(t, node, head); got != want {
			t.Errorf("a head of %d bytes is answered %d", size, got)
		}
	}
}

// answerTo sends a head to the API and nothing more, and returns the status of the response.
func answerTo(t *testing.T, node *running, head string) int {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(node.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second)) // Less than a body may take.
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}
