package stories_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faultyTarget is a target that does with its connections what it is told.
type faultyTarget struct {
	port     int32
	behavior atomic.Pointer[func(conn net.Conn, reader *bufio.Reader) bool]

	mu       sync.Mutex // mu guards the fields below.
	listener net.Listener
	conns    map[net.Conn]bool
}

func startFaultyTarget(t *testing.T) *faultyTarget {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &faultyTarget{port: int32(listener.Addr().(*net.TCPAddr).Port), listener: listener, conns: map[net.Conn]bool{}}
	f.behave(answer)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.keep(conn, true)
			serving.Go(func() {
				defer f.keep(conn, false)
				reader := bufio.NewReader(conn)
				for (*f.behavior.Load())(conn, reader) {
				}
				conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		f.closeAll()
		serving.Wait()
	})
	return f
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

// behave sets what the target does with a connection from now on; it is done again as long as it returns true. The
// connections that are there end.
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
	expected string
	behave   func(conn net.Conn, reader *bufio.Reader) bool // nil: nobody listens
}

func targetFaults() []targetFault {
	const part = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nonly this"
	reset := func(conn net.Conn) {
		conn.(*net.TCPConn).SetLinger(0)
	}
	return []targetFault{
		{"refuses", "500", nil},
		{"hangs before the head", "nothing", func(_ net.Conn, reader *bufio.Reader) bool {
			return readRequest(reader)
		}},
		{"hangs in the body", "200 and a part of the body", func(conn net.Conn, reader *bufio.Reader) bool {
			if readRequest(reader) {
				io.WriteString(conn, part)
			}
			_, err := reader.ReadByte()
			return err == nil
		}},
		{"sends garbage", "502", func(conn net.Conn, reader *bufio.Reader) bool {
			if readRequest(reader) {
				io.WriteString(conn, "\x00\xff\x17 this is no HTTP\r\n\r\n")
			}
			return false
		}},
		{"sends a wrong framing", "502", func(conn net.Conn, reader *bufio.Reader) bool {
			if readRequest(reader) {
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello")
			}
			return false
		}},
		{"resets before the head", "502", func(conn net.Conn, reader *bufio.Reader) bool {
			readRequest(reader)
			reset(conn)
			return false
		}},
		{"closes before the head", "502", func(_ net.Conn, reader *bufio.Reader) bool {
			readRequest(reader)
			return false
		}},
		{"closes in the body", "200 and a broken body", func(conn net.Conn, reader *bufio.Reader) bool {
			if readRequest(reader) {
				io.WriteString(conn, part)
			}
			return false
		}},
		{"resets in the body", "200 and a broken body", func(conn net.Conn, reader *bufio.Reader) bool {
			if readRequest(reader) {
				io.WriteString(conn, part)
				// What was written would not arrive if the reset came at once.
				time.Sleep(10 * time.Millisecond)
			}
			reset(conn)
			return false
		}},
	}
}

// clientFault is a way in which clients misbehave.
type clientFault struct {
	name string
	// target is what the target does meanwhile; nil: answer.
	target    func(conn net.Conn, reader *bufio.Reader) bool
	misbehave func(ctx context.Context, w *faultWorld, conn net.Conn)
}

func clientFaults() []clientFault {
	// drip writes a text byte by byte, so slowly that it does not come to an end.
	drip := func(ctx context.Context, w *faultWorld, conn net.Conn, text string) {
		for i := range len(text) {
			if _, err := conn.Write([]byte{text[i]}); err != nil {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(w.duration / 8):
			}
		}
	}
	return []clientFault{
		{"send nothing", nil, func(_ context.Context, _ *faultWorld, conn net.Conn) { waitForEnd(conn) }},
		{"stall in the head", nil, func(_ context.Context, w *faultWorld, conn net.Conn) {
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nX-Part", w.bad)
			waitForEnd(conn)
		}},
		{"send the head byte by byte", nil, func(ctx context.Context, w *faultWorld, conn net.Conn) {
			drip(ctx, w, conn, fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", w.bad))
		}},
		{"stall in the body", nil, func(_ context.Context, w *faultWorld, conn net.Conn) {
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\nonly this", w.bad)
			waitForEnd(conn)
		}},
		{"send the body byte by byte", nil, func(ctx context.Context, w *faultWorld, conn net.Conn) {
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\n", w.bad)
			drip(ctx, w, conn, "a body of a million bytes")
		}},
		{"read nothing of a large answer", answerMuch, func(ctx context.Context, w *faultWorld, conn net.Conn) {
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", w.bad)
			<-ctx.Done()
		}},
		{"reset in the middle", nil, func(ctx context.Context, w *faultWorld, conn net.Conn) {
			for ctx.Err() == nil {
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\nonly this", w.bad)
				conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
				select {
				case <-ctx.Done():
					return
				case <-time.After(500 * time.Millisecond):
				}
				var err error
				if conn, err = w.dial(); err != nil {
					return
				}
			}
			conn.Close()
		}},
		{"send garbage", nil, func(_ context.Context, _ *faultWorld, conn net.Conn) {
			io.WriteString(conn, "\x16\x03\x01 this is no HTTP\r\n\r\n")
			waitForEnd(conn)
		}},
	}
}

// waitForEnd waits until the server has ended the connection, or the test's time is over.
func waitForEnd(conn net.Conn) {
	// However it ends is right here: what a client sees that misbehaves is tested elsewhere.
	_, _ = io.Copy(io.Discard, conn)
}
