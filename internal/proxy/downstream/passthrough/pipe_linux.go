package passthrough

import (
	"io"
	"sync"
	"syscall"
)

const splices = true

const (
	// pipeBytes is what a pipe holds (pipe(7)). Pipes of 256 KB and 1 MB were measured to cost the same per byte.
	pipeBytes = 64 << 10
	// maxKept bounds the pipes that are kept while they are not in use.
	maxKept = 64

	spliceMove   = 1 // SPLICE_F_MOVE
	spliceNoWait = 2 // SPLICE_F_NONBLOCK
)

// pipe is where bytes are on their way from one socket to another.
type pipe struct{ out, in int }

// pipes keeps pipes for their next use.
type pipes struct {
	max int // 0 means any number

	mu     sync.Mutex // mu guards the fields below.
	open   int        // how many pipes are kept or in use
	kept   []*pipe
	closed bool
}

func newPipes(limit int) pipes { return pipes{max: limit} }

// take returns an empty pipe, or nil if there is none left.
func (p *pipes) take() *pipe {
	p.mu.Lock()
	if n := len(p.kept); n > 0 {
		taken := p.kept[n-1]
		p.kept = p.kept[:n-1]
		p.mu.Unlock()
		return taken
	}
	if p.max > 0 && p.open >= p.max {
		p.mu.Unlock()
		return nil
	}
	p.open++
	p.mu.Unlock()
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
		return nil
	}
	return &pipe{out: ends[0], in: ends[1]}
}

// put takes a pipe back.
func (p *pipes) put(back *pipe, empty bool) {
	p.mu.Lock()
	keep := empty && !p.closed && len(p.kept) < maxKept
	if keep {
		p.kept = append(p.kept, back)
	} else {
		p.open--
	}
	p.mu.Unlock()
	if !keep {
		back.close()
	}
}

func (p *pipes) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, kept := range p.kept {
		kept.close()
	}
	p.kept = nil
}

func (p *pipe) close() {
	syscall.Close(p.out)
	syscall.Close(p.in)
}

// fill moves what a socket has into the empty pipe. wait says that there is nothing yet; the end of the stream is
// io.EOF.
func (p *pipe) fill(fd uintptr) (n int, wait bool, err error) {
	n, err = splice(int(fd), p.in, pipeBytes)
	switch {
	case n > 0:
		return n, false, nil
	case err == syscall.EAGAIN:
		return 0, true, nil
	case err != nil:
		return 0, false, err
	default:
		return 0, false, io.EOF
	}
}

// drain moves n bytes from the pipe into a socket, or as many as it takes. wait says that it takes no more for now.
func (p *pipe) drain(fd uintptr, n int) (moved int, wait bool, err error) {
	for moved < n {
		m, err := splice(p.out, int(fd), n-moved)
		if err == syscall.EAGAIN {
			return moved, true, nil
		}
		if err != nil {
			return moved, false, err
		}
		moved += m
	}
	return moved, false, nil
}

// splice never blocks, so the scheduler is not told of the call, for the reason that package socket gives.
func splice(from, to, limit int) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(limit), spliceMove|spliceNoWait)
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, errno
		}
	}
}
