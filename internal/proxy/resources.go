package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/downstream/passthrough"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/steering"
	"trellis/internal/routing"
)

// maxWholePorts is how many ports of one resource are bound at most, each with a socket, where the kernel does not steer
// connections. Of larger ranges, only the ports of Config.ResourcePorts are bound: 65,535 sockets would take more memory than
// everything else together.
const maxWholePorts = 64

// resources are the resources that can be reached, and where the proxy listens for them. Proxy.mu guards all of it.
type resources struct {
	byAddress map[netip.Addr]*routing.Resource
	ports     map[*routing.Resource][]lattice.PortRange // the resources for which the proxy listens
	failures  map[*routing.Resource]*ResourceFailure

	listeners map[netip.AddrPort]*resourceListener // the gates among them
	problems  map[netip.AddrPort]error             // the errors of places that are wanted and not bound
	wanted    map[netip.AddrPort]bool

	steering *steering.Table             // nil if each port is bound separately
	attached bool                        // the table is attached
	refused  map[*routing.Resource]error // the errors of resources that the table does not take
}

func newResources(table *steering.Table) resources {
	return resources{
		ports: map[*routing.Resource][]lattice.PortRange{}, failures: map[*routing.Resource]*ResourceFailure{},
		listeners: map[netip.AddrPort]*resourceListener{}, problems: map[netip.AddrPort]error{}, wanted: map[netip.AddrPort]bool{},
		steering: table, refused: map[*routing.Resource]error{},
	}
}

// has reports whether a resource can be reached.
func (r *resources) has(resource *routing.Resource) bool {
	return r.byAddress[resource.Addresses[0]] == resource
}

// SetResources begins to listen for new resources, and stops listening for those that are gone, whose connections may go on for
// Config.Drain. A change of port ranges leaves connections alone.
func (p *Proxy) SetResources(list []*routing.Resource) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.env.Draining.Load() {
		return
	}
	r := &p.resources
	r.byAddress = make(map[netip.Addr]*routing.Resource, 2*len(list))
	for _, resource := range list {
		for _, address := range resource.Addresses {
			r.byAddress[address] = resource
		}
	}
	maps.DeleteFunc(r.failures, func(resource *routing.Resource, _ *ResourceFailure) bool { return !r.has(resource) })
	// Numbers of addresses are reused, so resources that are gone are removed before new ones are added.
	for resource, ports := range r.ports {
		if !r.has(resource) {
			p.listenNoMore(resource, ports)
		}
	}
	p.listenForResources()
}

// listenForResources listens for all current resources, and for nothing else. The caller holds p.mu.
func (p *Proxy) listenForResources() {
	r := &p.resources
	if len(r.byAddress) > 0 {
		p.openGates()
	}
	for _, resource := range r.byAddress {
		p.listenFor(resource)
	}
	for at, l := range r.listeners {
		if !r.wanted[at] {
			l.close()
			delete(r.listeners, at)
		}
	}
	for at := range r.wanted {
		p.bindResource(at)
	}
}

// openGates binds the gates, which reserve --resource-range for this process, and begins to steer connections to them. The
// caller holds p.mu.
func (p *Proxy) openGates() {
	r := &p.resources
	for _, gate := range p.cfg.ResourceGates {
		r.wanted[gate] = true
		p.bindResource(gate)
	}
	if r.steering == nil || r.attached || p.closedGate() != nil {
		return
	}
	sockets := make([]syscall.Conn, len(p.cfg.ResourceGates))
	for i, gate := range p.cfg.ResourceGates {
		sockets[i] = r.listeners[gate].socket
	}
	err := r.steering.Attach(sockets)
	if r.attached = err == nil; r.attached {
		return
	}
	p.cfg.Log.Warn("connections to resources cannot be steered; their ports are bound one by one", "error", err)
	p.cfg.Unsteered = err
	p.endSteering()
	clear(r.ports) // All ports are bound instead.
}

// endSteering ends the steering of connections. The caller holds p.mu.
func (p *Proxy) endSteering() {
	if p.resources.steering == nil {
		return
	}
	if err := p.resources.steering.Close(); err != nil {
		p.cfg.Log.Warn("ending the steering of connections to resources", "error", err)
	}
	p.resources.steering = nil
}

// closedGate returns why a gate is not bound, or nil. The caller holds p.mu.
func (p *Proxy) closedGate() error {
	for _, gate := range p.cfg.ResourceGates {
		if err := p.resources.problems[gate]; err != nil {
			return err
		}
	}
	return nil
}

// listenFor listens for a resource at its present ports. The caller holds p.mu.
func (p *Proxy) listenFor(resource *routing.Resource) {
	r, ports := &p.resources, resource.Route().Ports
	before, known := r.ports[resource]
	if known && slices.Equal(before, ports) {
		return
	}
	if r.steering != nil {
		r.ports[resource] = ports
		if err := r.steering.Set(resource.Addresses[0], ports); err != nil {
			r.refused[resource] = err
			p.narrowed.Happened(1, "name", resource.ID, "error", err)
		} else {
			delete(r.refused, resource)
		}
		return
	}
	p.listenNoMore(resource, before)
	r.ports[resource] = ports
	bound, all := p.portsOf(ports)
	for _, at := range placesOf(resource, bound) {
		r.wanted[at] = true
	}
	if !all {
		p.narrowed.Happened(1, "name", resource.ID, "error", p.cfg.Unsteered)
	}
}

// listenNoMore forgets a resource that was listened for at some ports. The caller holds p.mu.
func (p *Proxy) listenNoMore(resource *routing.Resource, ports []lattice.PortRange) {
	r := &p.resources
	delete(r.ports, resource)
	delete(r.refused, resource)
	if r.steering != nil {
		r.steering.Remove(resource.Addresses[0])
		return
	}
	bound, _ := p.portsOf(ports)
	for _, at := range placesOf(resource, bound) {
		delete(r.wanted, at)
		delete(r.problems, at)
	}
}

// placesOf returns the places of a resource at some ports.
func placesOf(resource *routing.Resource, ports []int) []netip.AddrPort {
	var places []netip.AddrPort
	for _, address := range resource.Addresses {
		for _, port := range ports {
			places = append(places, netip.AddrPortFrom(address, uint16(port)))
		}
	}
	return places
}

// portsOf returns the ports to bind if the kernel does not steer: all of small ranges, and the well-known ones of others. It
// reports whether these are all ports of the ranges.
func (p *Proxy) portsOf(ranges []lattice.PortRange) (ports []int, all bool) {
	all = true
	left := maxWholePorts
	for _, r := range slices.SortedStableFunc(slices.Values(ranges), func(a, b lattice.PortRange) int { return cmp.Compare(a.To-a.From, b.To-b.From) }) {
		if n := r.To - r.From + 1; n <= left {
			left -= n
			for port := r.From; port <= r.To; port++ {
				ports = append(ports, port)
			}
			continue
		}
		left, all = 0, false
		for _, port := range p.cfg.ResourcePorts {
			if r.From <= port && port <= r.To {
				ports = append(ports, port)
			}
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports), all
}

// bindResource binds a gate, or an address and a port of a resource, unless it is bound. The caller holds p.mu.
func (p *Proxy) bindResource(at netip.AddrPort) {
	r := &p.resources
	if r.listeners[at] != nil {
		return
	}
	before := r.problems[at]
	bound, err := p.listenResource(at)
	if err != nil {
		r.problems[at] = err
		if before == nil && !errors.Is(err, fs.ErrPermission) { // Ports below 1024 need a privilege, and few resources have one.
			p.unbound.Happened(1, "address", at.String(), "error", err)
		}
		return
	}
	delete(r.problems, at)
	l := &resourceListener{socket: bound, ended: make(chan struct{})}
	r.listeners[at] = l
	p.running.Go(func() { p.acceptResources(l) })
}

func (p *Proxy) listenResource(at netip.AddrPort) (socket.Acceptor, error) {
	if limit := p.cfg.Limits.ResourceSockets; limit > 0 && len(p.resources.listeners) >= limit {
		return nil, fmt.Errorf("%d addresses and ports of resources are bound, the most that are possible; raise the hard limit of open files (docs/resources.md)", limit)
	}
	gate := slices.Contains(p.cfg.ResourceGates, at)
	if err := p.closedGate(); err != nil && !gate {
		return nil, err
	}
	listener, err := p.cfg.ListenResource(at)
	switch {
	case gate && errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%w: whoever has this port has --resource-range; each node on a machine needs a range of its own", err)
	case err != nil:
		return nil, err
	}
	return p.protocols.passthrough.Acceptor(listener.(*net.TCPListener))
}

// ResourceListeners returns the sockets that are bound for resources, by address.
func (p *Proxy) ResourceListeners() map[netip.AddrPort]syscall.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	sockets := make(map[netip.AddrPort]syscall.Conn, len(p.resources.listeners))
	for at, l := range p.resources.listeners {
		sockets[at] = l.socket
	}
	return sockets
}

// resourceListener is a bound address and port of a resource.
type resourceListener struct {
	socket socket.Acceptor
	ended  chan struct{}
}

func (l *resourceListener) close() {
	close(l.ended)
	l.socket.Close()
}

// acceptResources accepts connections to resources until the listener is closed.
func (p *Proxy) acceptResources(l *resourceListener) {
	accept(p, l.socket, l.ended, func(conn socket.Accepted) bool {
		p.mu.Lock()
		resource := p.resources.byAddress[conn.Destination.Addr().Unmap()]
		p.mu.Unlock()
		if resource == nil { // The resource has just been removed.
			conn.SetLinger(0)
			conn.Close()
			return false
		}
		origin := p.cfg.OriginOf(conn.Source.Addr())
		c := downstream.NewResourceConn(p.env, conn, origin, resource.Gone, p.cfg.ResourceIdleTimeout, p.cfg.Drain)
		welcome, full := p.add(c)
		if !welcome {
			p.refuse(c)
			return full
		}
		p.workers.take(func() {
			defer func() { p.leave(c, false, recover()) }()
			p.protocols.passthrough.ServeResource(c, resource, &p.reaching)
		})
		return full
	})
}

// ResourceFailure is the last connection to a resource that failed.
type ResourceFailure struct {
	Time   time.Time      `json:"time"`
	Source netip.AddrPort `json:"source"`
	// Destination is the address and the port of the resource that the client asked for.
	Destination netip.AddrPort `json:"destination"`
	Problem     string         `json:"problem"`
	// Count is how many have failed since the resource became reachable.
	Count int64 `json:"count"`

	told time.Time
}

// resourceFailed notes that a connection to a resource has failed. The first failure is logged at once, others at intervals.
func (p *Proxy) resourceFailed(resource *routing.Resource, c *downstream.Conn, err error) {
	failure := &ResourceFailure{Time: time.Now(), Source: c.Client.Source, Destination: c.Client.Destination, Problem: err.Error(), Count: 1}
	failure.told = failure.Time
	p.mu.Lock()
	var untold int64
	if before := p.resources.failures[resource]; before != nil {
		failure.Count = before.Count + 1
		if failure.Time.Sub(before.told) < exchange.FailureInterval {
			failure.told, untold = before.told, 1
		}
	}
	p.resources.failures[resource] = failure
	p.mu.Unlock()
	if _, broken := errors.AsType[*passthrough.BrokenError](err); broken || untold > 0 {
		p.cfg.Log.Debug("connection to a resource failed", "name", resource.ID, "source", failure.Source, "address", failure.Destination, "error", err)
		return
	}
	p.cfg.Log.Warn("connection to a resource failed", "name", resource.ID, "source", failure.Source, "address", failure.Destination, "count", failure.Count, "error", err)
}

// ResourceState says how a resource can be reached, and what has failed.
type ResourceState struct {
	// Open lists the ports at which connections are accepted, and Problems those that cannot be bound. Closed says why other
	// ports of the ranges are not open.
	Open     []lattice.PortRange `json:"open,omitempty"`
	Problems map[int]string      `json:"problems,omitempty"`
	Closed   string              `json:"closed,omitempty"`
	Failure  *ResourceFailure    `json:"lastFailure,omitempty"`
}

// IsOpen reports whether connections to a port are accepted.
func (s *ResourceState) IsOpen(port int) bool {
	return slices.ContainsFunc(s.Open, func(r lattice.PortRange) bool { return r.From <= port && port <= r.To })
}

// ResourceState returns how a resource can be reached at an address.
func (p *Proxy) ResourceState(resource *routing.Resource, address netip.Addr) ResourceState {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.resources
	state := ResourceState{Failure: r.failures[resource]}
	closed := func(err error) ResourceState {
		state.Closed = err.Error()
		return state
	}
	if err := p.closedGate(); err != nil {
		return closed(err)
	}
	ranges := resource.Route().Ports
	if r.steering != nil {
		if err := r.refused[resource]; err != nil {
			return closed(err)
		}
		state.Open = ranges
		return state
	}
	ports, all := p.portsOf(ranges)
	if !all {
		state.Closed = "of wide port ranges, only the ports of --resource-ports are open"
		if p.cfg.Unsteered != nil {
			state.Closed += ": " + p.cfg.Unsteered.Error()
		}
	}
	for _, port := range ports {
		at := netip.AddrPortFrom(address, uint16(port))
		switch n := len(state.Open); {
		case r.problems[at] != nil:
			if state.Problems == nil {
				state.Problems = map[int]string{}
			}
			state.Problems[port] = r.problems[at].Error()
		case r.listeners[at] == nil:
		case n > 0 && state.Open[n-1].To == port-1:
			state.Open[n-1].To = port
		default:
			state.Open = append(state.Open, lattice.PortRange{From: port, To: port})
		}
	}
	return state
}
