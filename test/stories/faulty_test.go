package stories_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// faultyTarget is a target that treats its connections as the test says.
type faultyTarget struct {
	port     int32
	behavior atomic.Pointer[func(conn net.Conn, reader *bufio.Reader) bool]

	mu    sync.Mutex // mu guards the field below.
	conns map[net.Conn]bool
}

func startFaultyTarget() (*faultyTarget, error) {
	listener, err := listenElsewhere.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &faultyTarget{port: int32(listener.Addr().(*net.TCPAddr).Port), conns: map[net.Conn]bool{}}
	f.behave(answer)
	go f.serve(listener) // until the process ends
	return f, nil
}

func (f *faultyTarget) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "the faulty target:", err)
			return
		}
		f.keep(conn, true)
		go func() {
			defer f.keep(conn, false)
			reader := bufio.NewReader(conn)
			for (*f.behavior.Load())(conn, reader) {
			}
			conn.Close()
		}()
	}
}

func (f *faultyTarget) keep(conn net.Conn, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if open {
		f.conns[conn] = true
	} else {
		delete(f.conns, conn)
	}
}

func (f *faultyTarget) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for conn := range f.conns {
		conn.Close()
	}
}

// behave sets what the target does with a connection from now on; it is repeated as long as it returns true. Open
// connections end.
func (f *faultyTarget) behave(fn func(conn net.Conn, reader *bufio.Reader) bool) {
	f.behavior.Store(&fn)
	f.closeAll()
}

// readRequest reads a request with its body. It returns false at the connection's end.
func readRequest(reader *bufio.Reader) bool {
	r, err := http.ReadRequest(reader)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

// answer is how a target should behave.
func answer(conn net.Conn, reader *bufio.Reader) bool {
	if !readRequest(reader) {
		return false
	}
	_, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(greeting), greeting)
	return err == nil
}

// answerMuch answers with more than what all buffers on the way can hold.
func answerMuch(conn net.Conn, reader *bufio.Reader) bool {
	if !readRequest(reader) {
		return false
	}
	piece := make([]byte, 64<<10)
	const pieces = 1000
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", pieces*len(piece)); err != nil {
		return false
	}
	for range pieces {
		if _, err := conn.Write(piece); err != nil {
			return false
		}
	}
	return true
}

// targetFault is a way in which a target misbehaves, and what its clients see.
type targetFault struct {
	name     string
	expected string                                         // one of the words of see
	or       string                                         // another one that is as good
	behave   func(conn net.Conn, reader *bufio.Reader) bool // nil: nobody listens
}

func targetFaults() []targetFault {
	const part = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nonly this"
	reset := func(conn net.Conn) {
		conn.(*net.TCPConn).SetLinger(0)
	}
	return []targetFault{
		{name: "refuses", expected: "500"},
		{name: "hangs before the head", expected: nothing, behave: func(_ net.Conn, reader *bufio.Reader) bool {
			return readRequest(reader)
		}},
		{name: "hangs in the body", expected: partOfBody, behave: func(conn net.Conn, reader *bufio.Reader) bool {
			if readRequest(reader) {
				io.WriteString(conn, part)
			}
			_, err := reader.ReadByte()
			return err == nil
		}},
		{name: "sends garbage", expected: "502", behave: func(conn net.Conn, reader *bufio.Reader) bool {
			if readRequest(reader) {
				io.WriteString(conn, "\x00\xff\x17 this is no HTTP\r\n\r\n")
			}
			return false
		}},
		{name: "sends a wrong framing", expected: "502", behave: func(conn net.Conn, reader *bufio.Reader) bool {
			if readRequest(reader) {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello")
			}
			return false
		}},
		{name: "resets before the head", expected: "502", behave: func(conn net.Conn, reader *bufio.Reader) bool {
			readRequest(reader)
			reset(conn)
			return false
		}},
		{name: "closes before the head", expected: "502", behave: func(_ net.Conn, reader *bufio.Reader) bool {
			readRequest(reader)
			return false
		}},
		{name: "closes in the body", expected: brokenBody, behave: func(conn net.Conn, reader *bufio.Reader) bool {
			if readRequest(reader) {
				io.WriteString(conn, part)
			}
			return false
		}},
		{name: "resets in the body", expected: brokenBody, or: "502", behave: func(conn net.Conn, reader *bufio.Reader) bool {
			if readRequest(reader) {
				io.WriteString(conn, part)
				time.Sleep(10 * time.Millisecond) // Sleeps: a target's pace. Or else the reset could overtake the head.
			}
			reset(conn)
			return false
		}},
	}
}
