// Package passthrough moves bytes from one TCP connection to another without looking at them, for TLS_PASSTHROUGH listeners and
// for connections to resources. Large amounts stay in the kernel where that is possible (splice on Linux). A connection on
// which nothing moves holds neither a buffer nor a pipe.
//
// A Server serves connections. On Linux, its loops move the bytes of all of them; elsewhere, a Mover moves those of one direction,
// and is called once for each.
package passthrough

import (
	"io"
	"net"
	"sync"

	"trellis/internal/proxy/socket"
)

// bufferBytes is how much is moved at once through memory.
const bufferBytes = 64 << 10

// bulkBytes is how much must come at once for a pipe to be used: a peer that sends a whole record of TLS is likely to send
// more. A response of 1 MB then costs 0.39 ms, compared to 0.66 ms through memory.
const bulkBytes = 16 << 10

// Mover moves bytes, and keeps buffers and pipes for that.
type Mover struct {
	buffers sync.Pool // of *[bufferBytes]byte
	pipes   pipes
}

// newMover returns a mover with at most maxPipes pipes; 0 means any number. If none is left, bytes go through memory.
func newMover(maxPipes int) *Mover {
	m := &Mover{pipes: newPipes(maxPipes)}
	m.buffers.New = func() any { return new([bufferBytes]byte) }
	return m
}

// Close frees the kept pipes. Moves under way go on.
func (m *Mover) Close() { m.pipes.close() }

// WriteError says that bytes could not be written. Any other error of Move is one of reading.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return "writing: " + e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// Move moves bytes from src to dst until src ends; then the error is nil. It calls moved after each read with what came, and
// after each write with 0, so that the connection does not seem idle. It does not close anything.
func (m *Mover) Move(dst, src *net.TCPConn, moved func(n int)) error {
	f := flow{mover: m}
	in, out := socket.Raw(src), socket.Raw(dst)
	if in == nil || out == nil {
		return m.copy(dst, src, moved)
	}
	onReadable, onWritable := f.onReadable, f.onWritable
	defer f.release()
	for {
		if err := in.Read(onReadable); err != nil {
			return err
		}
		switch {
		case f.err == io.EOF:
			return nil
		case f.err != nil:
			return f.err
		}
		moved(f.left)
		if err := out.Write(onWritable); err != nil {
			return &WriteError{err}
		}
		if f.err != nil {
			return &WriteError{f.err}
		}
		f.adapt()
		moved(0)
	}
}

// flow is one direction while bytes move.
type flow struct {
	mover *Mover
	// buffer or pipe holds what has been read; both are nil while nothing has.
	buffer *[bufferBytes]byte
	pipe   *pipe
	// at and left say which part of it has not been written. size is how much was read at once.
	at, left, size int
	last           bool // the end follows; the caller of onWritable passes it on at once

	bulk  bool // use a pipe from now on
	small int  // how many small reads in a row
	err   error
}

// onReadable reads what has come. It reports whether there was anything.
func (f *flow) onReadable(fd uintptr) bool {
	f.at, f.left = 0, 0
	var wait bool
	if f.bulk && f.pipe == nil {
		if f.pipe = f.mover.pipes.take(); f.pipe == nil {
			f.bulk = false
		}
	}
	if f.bulk {
		f.left, wait, f.err = f.pipe.fill(fd)
	} else {
		if f.buffer == nil {
			f.buffer = f.mover.buffers.Get().(*[bufferBytes]byte)
		}
		f.left, wait, f.err = socket.Read(fd, f.buffer[:])
	}
	if wait {
		f.release()
		return false
	}
	f.size = f.left
	return true
}

// onWritable writes what has been read. It reports whether all of it has been written.
func (f *flow) onWritable(fd uintptr) bool {
	var n int
	var wait bool
	if f.bulk {
		n, wait, f.err = f.pipe.drain(fd, f.left)
	} else {
		rest := f.buffer[f.at : f.at+f.left]
		if f.last {
			n, wait, f.err = socket.WriteLast(fd, rest)
		} else {
			n, wait, f.err = socket.Write(fd, rest)
		}
	}
	f.at += n
	f.left -= n
	return !wait
}

// smallReads is how many reads in a row must be small until the pipe is given up.
const smallReads = 4

// adapt chooses between memory and a pipe. For a few KB, copying is cheaper than moving pages.
func (f *flow) adapt() {
	switch {
	case !f.bulk:
		f.bulk = f.size >= bulkBytes && splices
		if f.bulk {
			f.release()
			f.small = 0
		}
	case f.size >= bulkBytes/2:
		f.small = 0
	default:
		if f.small++; f.small == smallReads {
			f.release()
			f.bulk = false
		}
	}
}

// release gives back what was held. A pipe that is not empty cannot be used again.
func (f *flow) release() {
	if f.buffer != nil {
		f.mover.buffers.Put(f.buffer)
		f.buffer = nil
	}
	if f.pipe != nil {
		f.mover.pipes.put(f.pipe, f.left == 0)
		f.pipe = nil
	}
}

// copy moves bytes if the connections have no raw access.
func (m *Mover) copy(dst, src *net.TCPConn, moved func(n int)) error {
	buffer := m.buffers.Get().(*[bufferBytes]byte)
	defer m.buffers.Put(buffer)
	for {
		n, err := src.Read(buffer[:])
		if n > 0 {
			moved(n)
			if _, err := dst.Write(buffer[:n]); err != nil {
				return &WriteError{err}
			}
			moved(0)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
