package proxy

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"trellis/internal/proxy/downstream"
	"trellis/test/trellistest"
)

// A read stops at the mark of urgent data, although there is more. Clients of Oracle's database interrupt a query that way.
func TestUrgentDataDoesNotHoldUpWhatFollows(t *testing.T) {
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", sendBack)
	conn := reach(t, w.resource("db", 1, atAddress("127.0.0.1"), target.ports()), target.port)
	echoLine(t, conn, "first\n")
	for range 20 {
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) {
			unix.Write(int(fd), []byte("before "))
			unix.Sendto(int(fd), []byte("!"), unix.MSG_OOB, nil)
			unix.Write(int(fd), []byte("after\n"))
		}); err != nil {
			t.Fatal(err)
		}
		// The urgent byte itself is not carried.
		got := make([]byte, len("before after\n"))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "before after\n" {
			t.Fatalf("%q came back, error %v", got, err)
		}
	}
	conn.CloseWrite()
	if rest, err := io.ReadAll(conn); len(rest) > 0 || err != nil {
		t.Errorf("in the end %q came, error %v", rest, err)
	}
}

func TestTargetOfAResourceThatDoesNotAnswerIsGivenUp(t *testing.T) {
	w := newWorld(t)
	// A listener that accepts nothing, with room for one connection: the kernel drops what asks for more.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := bound.(*unix.SockaddrInet4).Port
	first, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()

	address := w.resource("db", 1, atAddress("127.0.0.1"), strconv.Itoa(port))
	conn := reach(t, address, uint16(port))
	connection := func() (only *downstream.Conn) {
		w.proxy.mu.Lock()
		defer w.proxy.mu.Unlock()
		for c := range w.proxy.connections {
			only = c
		}
		return only
	}
	trellistest.Await(t, func() bool { c := connection(); return c != nil && c.State() == downstream.Relaying }, "the target is connected to")
	connection().Sweep(w.proxy.env.Clock.Now()+time.Minute.Milliseconds(), false)
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
	resource, _ := w.router.Resource(address)
	trellistest.Await(t, func() bool { return w.proxy.ResourceState(resource, address).Failure != nil }, "the failure is noted")
	if failure := w.proxy.ResourceState(resource, address).Failure; !strings.Contains(failure.Problem, "timeout") {
		t.Errorf("the failure is %+v", failure)
	}
}
