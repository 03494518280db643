package proxy

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"syscall"

	"trellis/internal/proxy/downstream"
	"trellis/internal/summary"
)

// Limits bound connections, each of which is an open file. 0 means any number.
type Limits struct {
	// Clients is how many connections of clients there may be, on all ports together. When there is one more, the accept
	// loops wait, and idle connections are closed to make room: first those that have carried no request yet, in the order
	// in which they came, then those that were idle longest.
	Clients int
	// PerSource is how many connections of clients may come from one IPv4 address or IPv6 /64. More are reset at once
	//
	PerSource int
	// Targets is how many connections to targets there may be.
	Targets int
	// ResourceSockets is how many addresses and ports of resources may be bound.
	ResourceSockets int
	// Pipes is how many pipes may be used to pass TLS connections through. Without one, bytes go through memory.
	Pipes int
}

// roomShare is the share of all connections that is closed at once to make room: to find those that have been idle longest,
// the sweeper must look at all of them.
const roomShare = 32

// crowd enforces Limits.Clients and Limits.PerSource.
type crowd struct {
	limits Limits
	full   chan struct{} // wakes the sweeper, which makes room

	closed  *summary.Summary // counts connections that were closed to make room
	refused *summary.Summary // counts connections beyond the limit of their source
	failed  *summary.Summary // accepting

	// Proxy.mu guards the fields below.

	accepted uint64 // the number of the latest connection
	sources  map[netip.Prefix]int
	short    bool          // files have run out although the limit is not reached
	freed    chan struct{} // closed when there is room; nil while nobody waits
}

func newCrowd(cfg *Config) crowd {
	told := func(first, again string) *summary.Summary {
		return summary.New(summary.Config{Log: cfg.Log, First: first, Again: again})
	}
	c := crowd{
		limits:  cfg.Limits,
		full:    make(chan struct{}, 1),
		closed:  told("there are as many connections of clients as there may be; idle ones are closed to make room", "more idle connections of clients were closed to make room"),
		refused: told("a source has reached its limit of connections; further ones are closed at once", "more connections were closed at once, since their sources had reached the limit"),
		failed:  told("a connection cannot be accepted; trying again", "more connections could not be accepted"),
	}
	if c.limits.PerSource > 0 {
		c.sources = make(map[netip.Prefix]int)
	}
	return c
}

func (c *crowd) close() {
	c.closed.Close()
	c.refused.Close()
	c.failed.Close()
}

// enter counts a connection, unless its source has reached its limit. The caller holds Proxy.mu.
func (c *crowd) enter(conn *downstream.Conn) bool {
	if c.sources != nil {
		source := sourceOf(conn)
		if c.sources[source] >= c.limits.PerSource {
			return false
		}
		c.sources[source]++
	}
	c.accepted++
	conn.Number = c.accepted
	return true
}

// leave takes a connection out of the count; open are left. The caller holds Proxy.mu.
func (c *crowd) leave(conn *downstream.Conn, open int) {
	if c.sources != nil {
		source := sourceOf(conn)
		if c.sources[source]--; c.sources[source] == 0 {
			delete(c.sources, source)
		}
	}
	if c.freed != nil && c.over(open) <= 0 {
		close(c.freed)
		c.freed = nil
	}
}

// sourceOf returns the source as which a connection counts: an IPv4 address, or the /64 of an IPv6 address, since one host may
// use all addresses of a /64 (RFC 4291 2.5.4, A-442).
func sourceOf(conn *downstream.Conn) netip.Prefix {
	address := conn.Client.Source.Addr().Unmap().WithZone("")
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	source, _ := address.Prefix(bits) // It cannot fail: the address has that many bits.
	return source
}

// over returns by how many connections the limit is exceeded.
func (c *crowd) over(open int) int {
	if c.limits.Clients == 0 {
		return 0
	}
	return open - c.limits.Clients
}

// awaitRoom waits until there are not too many connections, or a listener has ended.
func (p *Proxy) awaitRoom(ended <-chan struct{}) {
	p.mu.Lock()
	if p.crowd.over(len(p.connections)) <= 0 {
		p.mu.Unlock()
		return
	}
	if p.crowd.freed == nil {
		p.crowd.freed = make(chan struct{})
	}
	freed := p.crowd.freed
	p.mu.Unlock()
	p.crowd.wake()
	select {
	case <-freed:
	case <-ended:
	}
}

// squeeze makes room although the limit is not reached, since other parts or processes have taken the files.
func (p *Proxy) squeeze() {
	p.mu.Lock()
	p.crowd.short = true
	p.mu.Unlock()
	p.crowd.wake()
}

// wake tells the sweeper to make room.
func (c *crowd) wake() {
	select {
	case c.full <- struct{}{}:
	default:
	}
}

// isShortage reports whether something failed because of too many open files, here or on the machine.
func isShortage(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// idleConnection is a connection that may be closed to make room.
type idleConnection struct {
	*downstream.Conn
	downstream.Idleness
}

// before compares connections: the one that is closed first is less.
func (a idleConnection) before(b idleConnection) int {
	switch {
	case a.Served != b.Served:
		if b.Served {
			return -1
		}
		return 1
	case a.Served:
		return cmp.Or(b.Ticks-a.Ticks, cmp.Compare(a.Number, b.Number))
	default:
		return cmp.Compare(a.Number, b.Number)
	}
}

// newcomers is the share of all connections, the latest ones, that is spared until a tick has passed, since their requests may
// be on their way. The newest one, for which room is made, is spared for newestTicks, and no longer: if no other is idle and it
// sends nothing, all that connect next would wait.
const (
	newcomers   = 8
	newestTicks = 4
)

// makeRoom closes idle connections if there are too many connections.
func (p *Proxy) makeRoom() {
	p.sweeping.Lock()
	defer p.sweeping.Unlock()
	p.mu.Lock()
	open, newest := len(p.connections), p.crowd.accepted
	over := p.crowd.over(open)
	if p.crowd.short {
		over = max(over, 1)
	}
	p.crowd.short = false
	if over <= 0 {
		p.mu.Unlock()
		return
	}
	connections := slices.AppendSeq(p.swept[:0], maps.Keys(p.connections))
	p.mu.Unlock()
	idle := p.idle[:0]
	wanted := over + open/roomShare
	for i, c := range connections {
		if i%sweptAtOnce == sweptAtOnce-1 {
			runtime.Gosched()
		}
		if c.IsLeaving() {
			wanted--
			continue
		}
		idleness, ok := c.Idleness()
		if ok && (c.Number+uint64(open/newcomers) < newest || idleness.Ticks > 0 && c.Number < newest || idleness.Ticks >= newestTicks) {
			idle = append(idle, idleConnection{c, idleness})
		}
	}
	slices.SortFunc(idle, idleConnection.before)
	for _, c := range idle {
		if wanted <= 0 {
			break
		}
		if c.Evict(c.Idleness) {
			wanted--
		}
	}
	clear(connections)
	clear(idle)
	p.swept, p.idle = connections, idle
}

// Usage is how many connections of clients there are, and what became of others.
type Usage struct {
	Open    int   `json:"open"`
	Limit   int   `json:"limit"`   // 0 means no limit
	Closed  int64 `json:"closed"`  // closed to make room for others, idle or just after a response
	Refused int64 `json:"refused"` // closed since their source had reached its limit
}

// Usage returns how many connections of clients there are.
func (p *Proxy) Usage() Usage {
	return Usage{Open: int(p.open.Load()), Limit: p.cfg.Limits.Clients, Closed: p.crowd.closed.Total(), Refused: p.crowd.refused.Total()}
}
