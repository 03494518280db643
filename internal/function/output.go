package function

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"trellis/internal/excerpt"
)

const (
	// maxLine bounds a line of the log; a longer one becomes several.
	maxLine = 8 << 10
	// keptLines and keptLine bound the number and the length of the last lines that are kept.
	keptLines, keptLine = 10, 500
	// pipeBytes is what a pipe holds: reading that much reads all that was written before.
	pipeBytes = 64 << 10
)

// output logs what a process and its children write, line by line.
type output struct {
	log   *slog.Logger
	show  func(requestID, line string)
	ended chan struct{} // closed when all has been read

	mu sync.Mutex
	// mu guards the fields below.
	pipe    *os.File
	raw     syscall.RawConn
	buffer  [pipeBytes]byte
	partial []byte // the incomplete line at the end
	id      string // of the last event
	last    []string
}

func newOutput(log *slog.Logger, show func(requestID, line string)) *output {
	return &output{log: log, show: show, ended: make(chan struct{})}
}

// open returns the end of a pipe for the process. What comes out of the other end is logged until close.
func (o *output) open() (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	if o.raw, err = read.SyscallConn(); err != nil {
		_ = read.Close()
		_ = write.Close()
		return nil, err
	}
	o.pipe = read
	go func() {
		defer close(o.ended)
		// Reading ends with the pipe, or at the deadline that close sets.
		_ = o.raw.Read(func(fd uintptr) bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			for {
				n, err := readNow(fd, o.buffer[:])
				switch {
				case err == syscall.EINTR:
				case err == syscall.EAGAIN:
					return false
				case n <= 0:
					return true
				default:
					o.take(o.buffer[:n])
				}
			}
		})
	}()
	return write, nil
}

// begin says which event the lines that follow belong to.
func (o *output) begin(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.id = id
}

// finish logs all that has been written by now.
func (o *output) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.raw.Control(func(fd uintptr) {
		for read := 0; read < pipeBytes; {
			n, err := readNow(fd, o.buffer[:])
			if err == syscall.EINTR {
				continue
			}
			if n <= 0 {
				break
			}
			o.take(o.buffer[:n])
			read += n
		}
	})
	o.flush()
}

// close waits until everything written has been logged. Nothing may be written after it.
func (o *output) close() {
	// A process that has escaped every kill may hold the pipe open.
	_ = o.pipe.SetReadDeadline(time.Now().Add(time.Second))
	<-o.ended
	_ = o.pipe.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
}

func (o *output) take(b []byte) {
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		room := maxLine - len(o.partial)
		if len(line) > room {
			line, rest, whole = b[:room], b[room:], true
		}
		o.partial = append(o.partial, line...)
		if whole {
			o.flush()
		}
		b = rest
	}
}

// flush logs an incomplete line, if there is one.
func (o *output) flush() {
	line := strings.ToValidUTF8(strings.TrimRight(string(o.partial), "\r"), "\uFFFD")
	o.partial = o.partial[:0]
	if line == "" {
		return
	}
	if o.id == "" {
		o.log.Info(line)
	} else {
		o.log.Info(line, "requestId", o.id)
	}
	o.show(o.id, line)
	if len(o.last) == keptLines {
		o.last = append(o.last[:0], o.last[1:]...)
	}
	o.last = append(o.last, excerpt.Of(line, keptLine))
}

func (o *output) lastLines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.last...)
}
