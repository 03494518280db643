package passthrough

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"trellis/internal/outbound"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/upstream"
)

// loops has bytes move between pairs of sockets, on one goroutine for each processor. With a goroutine for each direction of
// each connection, starting and waking them took more than a third of the time of a short connection, and their stacks most of
// the memory of an idle one.
type loops struct {
	all     []*loop
	next    atomic.Uint32
	running sync.WaitGroup
}

// newLoops returns loops that use the buffers and pipes of a mover, or none where epoll instances cannot be had.
func newLoops(mover *Mover) *loops {
	l := &loops{}
	for range runtime.GOMAXPROCS(0) {
		one, err := newLoop(mover)
		if err != nil {
			break
		}
		l.all = append(l.all, one)
		l.running.Go(one.run)
	}
	return l
}

// close ends the loops. No connection may be left.
func (l *loops) close() {
	for _, one := range l.all {
		one.epoll.File.Close()
	}
	l.running.Wait()
}

// exist reports whether there are loops.
func (l *loops) exist() bool { return len(l.all) > 0 }

// acceptor returns a socket that accepts connections for carryTo. It takes the listener's place.
func (l *loops) acceptor(listener *net.TCPListener) (socket.Acceptor, error) {
	if l.exist() {
		return socket.AcceptBare(listener)
	}
	return socket.AcceptTCP(listener), nil
}

// bothWays has bytes move both ways between the client and c.Target until both sides have ended.
func (l *loops) bothWays(c *downstream.Conn, received, sent func(n int)) outcome {
	p := l.pair(c, descriptor(c.Target.Transport()), received, sent)
	p.target.writable = true
	return p.await(c.IdleMillis)
}

// carryTo connects to an address, and then does what bothWays does. The error says why there was no connection.
func (l *loops) carryTo(c *downstream.Conn, at netip.AddrPort, pools *upstream.Pools, w way) (outcome, error) {
	speaksFirst := !socket.Silent(uintptr(descriptor(c.Accepted())))
	fd, err := pools.Begin(c.Env.Dialing, at, speaksFirst)
	if err != nil {
		return outcome{}, err
	}
	p := l.pair(c, fd, w.received, w.sent)
	p.connecting, p.address = w.connected, at
	p.client.readable, p.up.delays = speaksFirst, true
	o := p.await(pools.DialTimeout().Milliseconds())
	pools.End(fd, o.broken() != "")
	if p.connecting == nil {
		return o, nil
	}
	if p.problem == nil { // The connection was broken off meanwhile.
		p.problem = os.ErrDeadlineExceeded
	}
	return o, &upstream.DialError{Address: at, Err: outbound.NewConnectError(at, p.problem)}
}

// pair returns a pair of a client and a socket to a target.
func (l *loops) pair(c *downstream.Conn, target int, received, sent func(n int)) *pair {
	p := &pair{loop: l.all[int(l.next.Add(1))%len(l.all)], conn: c, done: make(chan struct{})}
	p.client = side{pair: p, fd: descriptor(c.Accepted()), writable: true}
	p.target = side{pair: p, fd: target}
	p.up = direction{flow: flow{mover: p.loop.mover}, pair: p, from: &p.client, to: &p.target, opposite: &p.down, moved: received}
	p.down = direction{flow: flow{mover: p.loop.mover}, pair: p, from: &p.target, to: &p.client, opposite: &p.up, moved: sent}
	return p
}

// await has bytes move between the pair until both sides have ended. The first bytes must move within the given milliseconds.
func (p *pair) await(millis int64) outcome {
	if p.why = p.conn.Relay(p, millis); p.why != downstream.CauseNone {
		p.broken.Store(true)
	}
	p.loop.add(p)
	<-p.done
	return outcome{max(p.why, p.conn.Enter(downstream.Writing, p.conn.IdleMillis)), p.up.ended, p.down.ended}
}

// descriptor returns the socket of a connection, which is valid until the connection is closed, or -1 if it has been.
func descriptor(conn socket.TCP) int {
	fd := -1
	switch conn := conn.(type) {
	case *socket.Bare:
		fd = conn.FD()
	case *net.TCPConn:
		if raw := socket.Raw(conn); raw != nil {
			_ = raw.Control(func(of uintptr) { fd = int(of) })
		}
	}
	return fd
}

// loop is one of loops. It waits for the events of its epoll instance.
type loop struct {
	mover  *Mover
	epoll  socket.Epoll
	poll   func(uintptr) bool
	events [128]unix.EpollEvent
	ready  int     // how many events there are
	todo   []*pair // the pairs that can go on
	later  []*pair // the pairs among them that have had their turn

	mu     sync.Mutex // mu guards the fields below.
	sides  map[int32]*side
	number int32 // the number of the latest side: a socket's number is soon reused
	woken  []*pair
}

// pair is a client and a target between which bytes move. It belongs to the goroutine of its loop once it is added.
type pair struct {
	loop           *loop
	conn           *downstream.Conn
	client, target side
	up, down       direction
	// connecting is called when the target is connected, and nil from then on. problem says why it cannot be connected.
	connecting func(gateway, target netip.AddrPort)
	address    netip.AddrPort // of the target
	problem    error
	why        downstream.Cause // the sweeper's cause, if it has ended the pair
	done       chan struct{}    // closed when both directions have ended

	broken atomic.Bool // broken off from outside the loop
	queued bool        // it is in todo
	over   bool
	added  bool // It is guarded by loop.mu.
}

// side is the socket of one of the two.
type side struct {
	pair   *pair
	fd     int
	number int32
	// readable and writable say that a read or a write may succeed. closed says that the peer's end has arrived, after all
	// that it has sent. urgent says that there were urgent data, at whose mark a read stops.
	readable, writable, closed, failed, urgent bool
}

// direction is the bytes that move one way.
type direction struct {
	flow
	pair     *pair
	from, to *side
	opposite *direction
	moved    func(n int)
	total    int   // how much has been read, counted up to what may wait in the kernel
	delays   bool  // Nagle's algorithm is on, which does nothing to the first piece
	over     bool  // src has ended in order, and dst has all of it
	ended    error // why it has not ended in order
}

func newLoop(mover *Mover) (*loop, error) {
	epoll, err := socket.NewEpoll()
	if err != nil {
		return nil, err
	}
	l := &loop{mover: mover, epoll: epoll, sides: make(map[int32]*side)}
	l.poll = func(uintptr) bool { return l.look() }
	return l, nil
}

// add has bytes move between a pair.
func (l *loop) add(p *pair) {
	l.mu.Lock()
	for _, s := range []*side{&p.client, &p.target} {
		l.number++
		s.number = l.number
		l.sides[int32(s.fd)] = s
	}
	p.added = true
	if p.broken.Load() {
		l.wake(p)
	}
	client, target := event(&p.client), event(&p.target)
	l.mu.Unlock()
	// Once its first side is watched, the pair may end, and another one may take its place.
	err := unix.EpollCtl(l.epoll.FD, unix.EPOLL_CTL_ADD, int(client.Fd), &client)
	if err == nil {
		err = unix.EpollCtl(l.epoll.FD, unix.EPOLL_CTL_ADD, int(target.Fd), &target)
	}
	if err != nil {
		p.BreakOff()
	}
}

// event selects the events of a side. The kernel reports each state once, and again after a change, so the selection never
// changes.
func event(s *side) unix.EpollEvent {
	return unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET, Fd: int32(s.fd), Pad: s.number}
}

// BreakOff ends the pair, whatever it waits for.
func (p *pair) BreakOff() {
	p.loop.mu.Lock()
	defer p.loop.mu.Unlock()
	p.broken.Store(true)
	if p.added {
		p.loop.wake(p)
	}
}

// wake has the loop look at a pair. l.mu is held.
func (l *loop) wake(p *pair) {
	l.woken = append(l.woken, p)
	_ = l.epoll.File.SetReadDeadline(downstream.Past)
}

// run moves bytes until the loop is closed.
func (l *loop) run() {
	for l.wait() {
		l.mu.Lock()
		for _, event := range l.events[:l.ready] {
			if s := l.sides[event.Fd]; s != nil && s.number == event.Pad {
				s.note(event.Events)
				l.goOn(s.pair)
			}
		}
		for _, p := range l.woken {
			l.goOn(p)
		}
		clear(l.woken)
		l.woken = l.woken[:0]
		l.mu.Unlock()
		for _, p := range l.todo {
			p.queued = false
			if p.advance() {
				l.later = append(l.later, p)
			}
		}
		clear(l.todo)
		l.todo, l.later = l.later, l.todo[:0]
		for _, p := range l.todo {
			p.queued = true
		}
	}
}

// goOn adds a pair to those that go on in this round.
func (l *loop) goOn(p *pair) {
	if !p.queued && !p.over {
		p.queued = true
		l.todo = append(l.todo, p)
	}
}

// wait waits until a pair can go on. It reports whether the loop is still open.
func (l *loop) wait() bool {
	l.ready = 0
	if len(l.todo) > 0 {
		runtime.Gosched()
		l.look()
		return true
	}
	err := l.epoll.Raw.Read(l.poll)
	if errors.Is(err, os.ErrDeadlineExceeded) { // wake has been called.
		err = l.epoll.File.SetReadDeadline(time.Time{})
		l.look()
	}
	return err == nil
}

// look asks epoll which sides can go on, and reports whether any can.
func (l *loop) look() bool {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll.FD), uintptr(unsafe.Pointer(&l.events)), uintptr(len(l.events)), 0, 0, 0)
	if errno != 0 {
		n = 0
	}
	l.ready = int(n)
	return n > 0
}

// note notes the kernel's event about a side.
func (s *side) note(events uint32) {
	if events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.readable = true
	}
	if events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		s.writable = true
	}
	s.closed = s.closed || events&unix.EPOLLRDHUP != 0
	s.failed = s.failed || events&unix.EPOLLERR != 0
	s.urgent = s.urgent || events&unix.EPOLLPRI != 0
}

// advance moves bytes both ways as far as that can be done without waiting. It reports whether the pair has only had its turn.
func (p *pair) advance() (again bool) {
	if p.over {
		return false
	}
	ok := false
	defer func() {
		if !ok { // a panic
			p.up.fail(os.ErrDeadlineExceeded)
			p.down.fail(os.ErrDeadlineExceeded)
			p.end()
		}
	}()
	defer p.conn.Recovered("a move of bytes")
	switch {
	case p.broken.Load():
	case p.connecting != nil && !p.connect():
	default:
		again = p.up.run()
		again = p.down.run() || again
	}
	if p.broken.Load() || p.problem != nil || p.up.ended != nil || p.down.ended != nil {
		p.up.fail(os.ErrDeadlineExceeded)
		p.down.fail(os.ErrDeadlineExceeded)
	}
	ok = true
	if p.up.isDone() && p.down.isDone() {
		p.end()
		return false
	}
	return again
}

// connect reports whether the target is connected.
func (p *pair) connect() bool {
	if !p.target.writable {
		return false
	}
	if p.target.failed {
		p.problem = socket.Err(uintptr(p.target.fd))
	}
	gateway := socket.LocalAddress(uintptr(p.target.fd))
	if gateway == p.address { // TCP can connect a port of the machine's to itself, where nobody listens.
		p.problem = syscall.ECONNREFUSED
	}
	if p.problem != nil {
		return false
	}
	p.connecting(gateway, p.address)
	p.connecting = nil
	p.why = max(p.why, p.conn.Enter(downstream.Relaying, p.conn.IdleMillis))
	return true
}

// end gives the pair back to the goroutine that added it.
func (p *pair) end() {
	p.over = true
	p.up.release()
	p.down.release()
	l := p.loop
	l.mu.Lock()
	for _, s := range []*side{&p.client, &p.target} {
		if l.sides[int32(s.fd)] == s {
			delete(l.sides, int32(s.fd))
		}
	}
	l.mu.Unlock()
	close(p.done)
}

// isDone reports whether nothing moves this way any more.
func (d *direction) isDone() bool { return d.over || d.ended != nil }

// fail ends the direction with an error, unless it has ended.
func (d *direction) fail(err error) {
	if !d.isDone() {
		d.ended = err
	}
}

// tell reports bytes that have moved, so that the connection does not count as idle.
func (d *direction) tell(n int) {
	d.moved(n)
	c := d.pair.conn
	d.pair.why = max(d.pair.why, c.Enter(downstream.Relaying, c.IdleMillis))
}

// atOnce is how many reads one direction may make before others have their turn.
const atOnce = 16

// run moves bytes until it would have to wait. It reports whether it has stopped only to let others have their turn.
func (d *direction) run() (again bool) {
	for range atOnce {
		if d.isDone() || d.left == 0 && !d.read() || !d.write() {
			return false
		}
	}
	return !d.isDone()
}

// read reads what has come. It reports whether there was anything.
func (d *direction) read() bool {
	if !d.from.readable {
		d.release()
		return false
	}
	if !d.onReadable(uintptr(d.from.fd)) {
		d.from.readable = false
		return false
	}
	switch {
	case d.err == io.EOF:
		d.finish()
		return false
	case d.err != nil:
		d.fail(d.err)
		return false
	}
	if !d.bulk && d.left < bufferBytes && !d.from.urgent {
		// A short read means that no more has come (epoll(7)). If the end had arrived before the read, nothing will.
		d.from.readable, d.last = false, d.from.closed
	}
	if d.total <= unsentBytes {
		if d.total += d.left; d.total > unsentBytes { // Most connections never move that much.
			socket.BoundUnsentAt(d.to.fd, unsentBytes)
		}
	}
	d.tell(d.left)
	return true
}

// write writes what has been read. It reports whether the destination has taken all of it.
func (d *direction) write() bool {
	if !d.to.writable {
		return false
	}
	if d.delays && d.total > d.left {
		d.delays = false
		socket.SendAtOnce(uintptr(d.to.fd))
	}
	done := d.onWritable(uintptr(d.to.fd))
	switch {
	case d.err != nil:
		d.fail(&WriteError{d.err})
		return false
	case !done:
		d.to.writable = false
		return false
	}
	d.adapt()
	d.tell(0)
	if d.last {
		d.finish()
	}
	return true
}

// finish passes the end on. If the other direction has ended too, closing the sockets does that.
func (d *direction) finish() {
	d.release()
	if !d.opposite.over {
		if err := socket.CloseWrite(uintptr(d.to.fd)); err != nil {
			d.fail(&WriteError{err})
			return
		}
	}
	d.over = true
}
