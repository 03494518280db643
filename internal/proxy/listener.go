package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"trellis/internal/proxy/buffer"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/socket"
	"trellis/internal/routing"
)

// listener is a bound port.
type listener struct {
	proxy *Proxy
	port  *routing.Port
	net   net.Listener
	ended chan struct{} // closed when the port is no longer wanted
}

// SetPorts binds the ports that are new and unbinds those that are gone, whose connections finish their exchanges. A port that
// cannot be bound is logged, listed by Problems, and tried again regularly.
func (p *Proxy) SetPorts(ports []*routing.Port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.env.Draining.Load() {
		return
	}
	p.wanted = slices.DeleteFunc(slices.Clone(ports), func(port *routing.Port) bool { return !p.protocols.serves(port) })
	wanted := make(map[int]*routing.Port, len(p.wanted))
	for _, port := range p.wanted {
		wanted[port.Number] = port
	}
	for number, l := range p.listeners {
		if wanted[number] != l.port {
			l.close()
			delete(p.listeners, number)
			p.cfg.Log.Info("port closed", "port", number, "address", l.net.Addr().String())
		}
	}
	maps.DeleteFunc(p.problems, func(number int, _ error) bool { return wanted[number] == nil })
	p.bind()
	p.tellBound()
}

// tellBound tells Statistics and Config.OnBound what is bound. The caller holds p.mu.
func (p *Proxy) tellBound() {
	ports := make([]PortState, len(p.wanted))
	for i, port := range p.wanted {
		ports[i] = PortState{Port: port, Bound: p.listeners[port.Number] != nil}
	}
	p.ports.Store(&ports)
	if p.cfg.OnBound == nil {
		return
	}
	bound := make([]net.Addr, 0, len(p.listeners))
	for _, l := range p.listeners {
		bound = append(bound, l.net.Addr())
	}
	p.cfg.OnBound(bound)
}

// bind binds the wanted ports that are not bound. The caller holds p.mu.
func (p *Proxy) bind() {
	for _, port := range p.wanted {
		if p.listeners[port.Number] != nil {
			continue
		}
		l, err := p.listen(port)
		if err != nil {
			if p.problems[port.Number] == nil {
				problem := p.problem(port, err)
				p.cfg.Log.Error("port cannot be bound; trying again", "port", port.Number, "address", problem.Address, "listeners", someOf(problem.Listeners), "error", err)
			}
			p.problems[port.Number] = err
			continue
		}
		delete(p.problems, port.Number)
		p.listeners[port.Number] = l
		p.running.Go(l.accept)
		p.cfg.Log.Info("port open", "port", port.Number, "address", l.net.Addr().String())
	}
}

func (p *Proxy) listen(port *routing.Port) (*listener, error) {
	for number := range p.listeners {
		if same := p.cfg.BoundPort(number); same != 0 && same == p.cfg.BoundPort(port.Number) {
			return nil, fmt.Errorf("%s is already bound for listener port %d", p.address(number), number)
		}
	}
	bound, err := p.cfg.Listen(port.Number, p.address(port.Number))
	if err != nil {
		return nil, err
	}
	if socketOf, ok := bound.(syscall.Conn); ok {
		socket.BoundUnsent(socketOf, buffer.Bytes) // Accepted connections inherit the option.
	}
	return &listener{proxy: p, port: port, net: bound, ended: make(chan struct{})}, nil
}

// someOf shortens a list for a line of the log.
func someOf(arns []string) []string { return arns[:min(len(arns), 3)] }

// address returns the address at which a listener's port is bound.
func (p *Proxy) address(listenerPort int) string {
	return net.JoinHostPort(p.cfg.Address, strconv.Itoa(p.cfg.BoundPort(listenerPort)))
}

// ListenConfig returns the configuration with which the ports of the data plane are bound.
func ListenConfig() net.ListenConfig {
	// The sweeper ends idle connections, so TCP's keep-alive probes would be system calls for nothing.
	config := net.ListenConfig{KeepAlive: -1}
	// A socket of Multipath TCP, Go's default, passes no options on to the connections that it accepts.
	config.SetMultipathTCP(false)
	return config
}

func listen(_ int, address string) (net.Listener, error) {
	config := ListenConfig()
	return config.Listen(context.Background(), "tcp", address)
}

// retryBinding tries again to bind the ports that could not be bound.
func (p *Proxy) retryBinding() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.env.Draining.Load() {
		return
	}
	if len(p.problems) > 0 {
		p.bind()
		p.tellBound()
	}
	if len(p.resources.problems) > 0 {
		p.listenForResources()
	}
}

// Problem is a port that cannot be bound. It is tried again regularly.
type Problem struct {
	Port    int    // of the listeners
	Address string // that cannot be bound
	// Listeners are the ARNs of those that answer on the port, in order.
	Listeners []string
	Err       error
}

func (p Problem) String() string {
	listeners := ""
	switch n := len(p.Listeners); {
	case n == 1:
		listeners = fmt.Sprintf(" (%s)", p.Listeners[0])
	case n > 1:
		listeners = fmt.Sprintf(" (%s and %d more)", p.Listeners[0], n-1)
	}
	return fmt.Sprintf("listener port %d%s cannot be bound: %v", p.Port, listeners, p.Err)
}

// Problems returns the ports that cannot be bound, in order.
func (p *Proxy) Problems() []Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	var problems []Problem
	for _, port := range p.wanted {
		if err := p.problems[port.Number]; err != nil {
			problems = append(problems, p.problem(port, err))
		}
	}
	slices.SortFunc(problems, func(a, b Problem) int { return a.Port - b.Port })
	return problems
}

func (p *Proxy) problem(port *routing.Port, err error) Problem {
	return Problem{Port: port.Number, Address: p.address(port.Number), Listeners: port.Listeners(), Err: err}
}

func (l *listener) close() {
	close(l.ended)
	l.net.Close()
}

// accept accepts connections until the listener is closed.
func (l *listener) accept() {
	p := l.proxy
	accept(p, l.net, l.ended, func(conn net.Conn) (full bool) {
		l.port.Accepted.Add(1)
		c := downstream.NewConn(p.env, conn.(*net.TCPConn), l.port, l.ended)
		welcome, full := p.add(c)
		if welcome {
			p.workers.take(func() { p.serve(c) })
		} else {
			p.refuse(c)
		}
		return full
	})
}

// refuse closes a connection whose source has reached its limit.
func (p *Proxy) refuse(c *downstream.Conn) {
	// This is counted before the client can see it.
	p.crowd.refused.Happened(1, "source", c.Client.Source.Addr(), "limit", p.cfg.Limits.PerSource)
	c.Reset()
}

// acceptor is a listening socket, and C what it accepts.
type acceptor[C any] interface {
	Accept() (C, error)
	Addr() net.Addr
}

// accept accepts connections on a socket until it is closed, and with it ended. take reports whether there are as many
// connections as there may be.
func accept[C any](p *Proxy, from acceptor[C], ended <-chan struct{}, take func(C) (full bool)) {
	pause := time.Duration(0)
	for {
		conn, err := from.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// The usual reason is too many open files, in this process or on the machine.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			p.crowd.failed.Happened(1, "address", from.Addr().String(), "error", err)
			if isShortage(err) {
				p.squeeze()
			}
			select {
			case <-time.After(pause):
			case <-ended:
			}
			continue
		}
		pause = 0
		full := take(conn)
		// When thousands connect at once, those who are connected already get their turns in between.
		runtime.Gosched()
		if full {
			p.awaitRoom(ended)
		}
	}
}
