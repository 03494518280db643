package health

import (
	"context"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"trellis/internal/outbound"
	"trellis/internal/proxy/socket"
)

// poller carries out checks over HTTP/1.1 without TLS, all of them on the goroutine that calls it: it begins connections,
// and goes on with each when epoll says that it can. Neither a check nor a sleep allocates anything.
//
// It is keepSchedule's sleeper too.
type poller struct {
	dialer   *outbound.Dialer
	beginner *outbound.Beginner
	finish   func(*check, outcome, []byte)

	epoll  socket.Epoll
	poll   func(uintptr) bool
	events [128]unix.EpollEvent
	ready  int // how many events there are

	checks  map[int32]*check // the checks by their sockets
	request []byte           // room for one request
	answer  *http1Answer     // for the next check that reads a response
	spare   []*http1Answer
}

// call is the progress of a check.
type call struct {
	fd     int
	phase  string
	sent   int          // the unsent rest of the request
	isOver bool         // the target has closed its side, so a reset does no harm
	answer *http1Answer // nil until a part of the response has come
}

func newPoller(dialer *outbound.Dialer, finish func(*check, outcome, []byte)) (*poller, error) {
	epoll, err := socket.NewEpoll()
	if err != nil {
		return nil, err
	}
	p := &poller{
		dialer: dialer, beginner: outbound.NewBeginner(dialer), finish: finish,
		epoll: epoll, checks: make(map[int32]*check), answer: newHTTP1Answer(),
	}
	p.poll = func(uintptr) bool { return p.look() }
	return p, nil
}

func (p *poller) set(at time.Time) { _ = p.epoll.File.SetReadDeadline(at) }
func (p *poller) wake()            { _ = p.epoll.File.SetReadDeadline(time.Unix(1, 0)) }

// sleep goes on with the checks that can go on.
func (p *poller) sleep() {
	p.ready = 0
	if err := p.epoll.Raw.Read(p.poll); err != nil {
		p.look() // Other probes are due as well.
	}
	for i := range p.events[:p.ready] {
		if k := p.checks[p.events[i].Fd]; k != nil {
			p.advance(k, p.events[i].Events)
		}
	}
}

// look asks epoll which checks can go on, and reports whether any can.
func (p *poller) look() bool {
	n, err := unix.EpollWait(p.epoll.FD, p.events[:], 0)
	p.ready = max(n, 0)
	return n > 0 || err != nil && err != unix.EINTR
}

// begin begins a check.
func (p *poller) begin(ctx context.Context, k *check) {
	fd, err := p.beginner.Begin(ctx, k.address)
	if err != nil {
		p.finish(k, failed(connecting, err), nil)
		return
	}
	k.call = call{fd: fd, phase: connecting}
	p.checks[int32(fd)] = k
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)}
	if err := unix.EpollCtl(p.epoll.FD, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		p.end(k, failed(connecting, err), nil)
	}
}

// advance takes a check as far as it gets without waiting.
func (p *poller) advance(k *check, events uint32) {
	at := &k.call
	at.isOver = events&unix.EPOLLRDHUP != 0
	if at.phase == connecting {
		if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
			if err := socket.Err(uintptr(at.fd)); err != nil {
				p.end(k, failed(connecting, err), nil)
				return
			}
		}
		at.phase = sending
	}
	if at.phase == sending {
		p.request = appendRequest(p.request[:0], k.question.target, k.address)
		n, wait, err := socket.Write(uintptr(at.fd), p.request[at.sent:])
		if at.sent += n; wait {
			return
		}
		if err != nil {
			p.end(k, failed(sending, err), nil)
			return
		}
		at.phase = awaiting
	}
	if at.answer == nil {
		at.answer, p.answer = p.answer, nil
		at.answer.reset()
	}
	p.read(k)
	if p.answer == nil {
		if last := len(p.spare) - 1; last >= 0 {
			p.answer, p.spare = p.spare[last], p.spare[:last]
		} else {
			p.answer = newHTTP1Answer()
		}
	}
}

// read reads what has arrived of a response.
func (p *poller) read(k *check) {
	at := &k.call
	for {
		n, wait, err := socket.Read(uintptr(at.fd), at.answer.room())
		if wait {
			at.phase = at.answer.phase()
			return
		}
		done := false
		switch err {
		case nil:
			done, err = at.answer.take(n)
		case io.EOF:
			done, err = true, at.answer.finish()
		}
		if err != nil {
			p.end(k, failed(at.answer.phase(), err), nil)
			return
		}
		if done {
			p.end(k, outcome{status: at.answer.response.Status}, at.answer.kept)
			return
		}
	}
}

// end ends a check with an outcome.
func (p *poller) end(k *check, o outcome, body []byte) {
	answer := k.call.answer
	p.forget(k)
	p.finish(k, o, body)
	p.keep(answer)
}

// drop ends a check without one, and returns how far it has come.
func (p *poller) drop(k *check) string {
	answer := k.call.answer
	p.forget(k)
	p.keep(answer)
	return k.call.phase
}

func (p *poller) forget(k *check) {
	p.beginner.End(k.call.fd, k.call.isOver) // Closing removes the socket from the epoll instance.
	delete(p.checks, int32(k.call.fd))
	k.call.answer = nil
}

// keep keeps a response's memory, to be used again.
func (p *poller) keep(answer *http1Answer) {
	if answer != nil {
		answer.rest()
		p.spare = append(p.spare, answer)
	}
}

// close ends all checks and the poller, without reporting outcomes.
func (p *poller) close() {
	for _, k := range p.checks {
		p.forget(k)
	}
	p.epoll.File.Close()
}
