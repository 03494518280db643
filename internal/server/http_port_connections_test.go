package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trellis/test/trellistest"
)

// silence connects to a port and sends nothing.
func silence(t *testing.T, d *httpPort) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// isClosed reports whether the port closes a connection.
func isClosed(conn net.Conn) bool {
	conn.SetReadDeadline(time.Now().Add(8 * time.Second)) // Less than a head may take.
	_, err := conn.Read(make([]byte, 1))
	return err == io.EOF
}

// awaitVisitors waits until idle connections have been idle for so long that they make room, and active others are not idle.
func awaitVisitors(t *testing.T, d *httpPort, idle, active int) {
	t.Helper()
	trellistest.Await(t, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		ready, busy := 0, 0
		for v := range d.connections {
			switch {
			case !v.idle:
				busy++
			case time.Since(v.since) > arrival:
				ready++
			}
		}
		return ready == idle && busy == active
	}, "%d connections are idle and %d are not", idle, active)
}

func TestSilentConnectionsMakeRoomForOthersInTurn(t *testing.T) {
	d, url := openHTTPPort(t, says("here"))
	used := &http.Client{Transport: &http.Transport{}}
	if got := <-ask(t, used, url); got != "here" {
		t.Fatalf("the port answers %q", got)
	}
	var silent []net.Conn
	for i := range 5 { // Together with the other one, two more than there may be.
		silent = append(silent, silence(t, d))
		awaitVisitors(t, d, min(i+2, 4), 0)
	}
	for i, conn := range silent[:2] {
		if !isClosed(conn) {
			t.Errorf("connection %d is still open", i)
		}
	}
	if got := <-ask(t, used, url); got != "here" {
		t.Errorf("on its old connection, a client is answered %q", got)
	}
	fresh := &http.Client{Transport: &http.Transport{}}
	if got := <-ask(t, fresh, url); got != "here" {
		t.Errorf("on a new connection, a client is answered %q", got)
	}
	if got := d.usage(); got.Open != 4 || got.Limit != 4 || got.Closed != 3 {
		t.Errorf("usage %+v", got)
	}
}

// A head that never ends must not count as a request.
func TestUnfinishedHeadsMakeRoomAtTheAPI(t *testing.T) {
	d, url := openHTTPPort(t, says("here"))
	checkMakeRoom(t, d, url, "GET / HTTP/1.1\r\nHost:")
}

// checkMakeRoom fills a port that says "here" with connections that have begun something, of which the first makes room.
func checkMakeRoom(t *testing.T, d *httpPort, url, begun string) {
	t.Helper()
	var conns []net.Conn
	for i := range 4 {
		conn := silence(t, d)
		if _, err := io.WriteString(conn, begun); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		awaitVisitors(t, d, i+1, 0)
	}
	if got := <-ask(t, &http.Client{Transport: &http.Transport{}}, url); got != "here" {
		t.Errorf("the port answers %q", got)
	}
	if !isClosed(conns[0]) || d.usage().Closed != 1 {
		t.Errorf("the first connection is still open; usage %+v", d.usage())
	}
}

func TestConnectionsBeyondTheLimitWaitWhileAllAreInUse(t *testing.T) {
	var under atomic.Int32
	release := make(chan struct{})
	d, url := openHTTPPort(t, func(w http.ResponseWriter, _ *http.Request) {
		under.Add(1)
		<-release
		fmt.Fprint(w, "here")
	})
	var answers []<-chan string
	for i := range 6 {
		answers = append(answers, ask(t, &http.Client{Transport: &http.Transport{}}, url))
		awaitVisitors(t, d, 0, min(i+1, 4))
	}
	if n := under.Load(); n > 4 {
		t.Errorf("%d requests are under way, want at most 4", n)
	}
	close(release)
	for _, answer := range answers {
		if got := <-answer; !strings.HasPrefix(got, "here") {
			t.Errorf("answered %q", got)
		}
	}
}
