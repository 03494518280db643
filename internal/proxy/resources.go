package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/downstream/passthrough"
	"trellis/internal/proxy/exchange"
	"trellis/internal/routing"
)

// maxWholePorts is how many ports of one resource are bound each by itself. Of ranges with more, only those of
// Config.ResourcePorts are: a socket for each of 65,535 ports would cost more memory than all else together.
const maxWholePorts = 64

// resources are the resources that can be reached, and where the proxy listens for them. Proxy.mu guards all of it.
type resources struct {
	byAddress map[netip.Addr]*routing.Resource
	ports     map[*routing.Resource][]lattice.PortRange // for which listeners have been chosen
	wanted    map[netip.AddrPort]bool
	listeners map[netip.AddrPort]*resourceListener
	problems  map[netip.AddrPort]error
	failures  map[*routing.Resource]*ResourceFailure
}

func newResources() resources {
	return resources{
		ports: map[*routing.Resource][]lattice.PortRange{}, wanted: map[netip.AddrPort]bool{},
		listeners: map[netip.AddrPort]*resourceListener{}, problems: map[netip.AddrPort]error{},
		failures: map[*routing.Resource]*ResourceFailure{},
	}
}

// SetResources binds the addresses and ports of resources that are new, and unbinds those that are gone. Connections to the
// latter may go on for Config.Drain; a change of port ranges leaves connections alone.
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
	for resource := range r.failures {
		if len(resource.Addresses) > 0 && r.byAddress[resource.Addresses[0]] != resource {
			delete(r.failures, resource)
		}
	}
	for resource, ports := range r.ports {
		current := len(resource.Addresses) > 0 && r.byAddress[resource.Addresses[0]] == resource
		if current && slices.Equal(ports, resource.Route().Ports) {
			continue
		}
		for _, at := range p.placesOf(resource, ports) {
			delete(r.wanted, at)
			delete(r.problems, at)
		}
		delete(r.ports, resource)
	}
	for _, resource := range list {
		if _, known := r.ports[resource]; known {
			continue
		}
		ports := resource.Route().Ports
		r.ports[resource] = ports
		for _, at := range p.placesOf(resource, ports) {
			r.wanted[at] = true
		}
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

// placesOf returns where a resource is listened for.
func (p *Proxy) placesOf(resource *routing.Resource, ranges []lattice.PortRange) []netip.AddrPort {
	var places []netip.AddrPort
	for _, address := range resource.Addresses {
		for _, port := range p.portsOf(ranges) {
			places = append(places, netip.AddrPortFrom(address, uint16(port)))
		}
	}
	return places
}

// portsOf returns the ports of ranges that are bound: all of the small ones, and of others those that are well known.
func (p *Proxy) portsOf(ranges []lattice.PortRange) []int {
	var ports []int
	left := maxWholePorts
	for _, r := range slices.SortedStableFunc(slices.Values(ranges), func(a, b lattice.PortRange) int { return cmp.Compare(a.To-a.From, b.To-b.From) }) {
		if n := r.To - r.From + 1; n <= left {
			left -= n
			for port := r.From; port <= r.To; port++ {
				ports = append(ports, port)
			}
			continue
		}
		left = 0
		for _, port := range p.cfg.ResourcePorts {
			if r.From <= port && port <= r.To {
				ports = append(ports, port)
			}
		}
	}
	return ports
}

// bindResource binds an address and a port, unless that is done. p.mu is held.
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
	l := &resourceListener{net: bound, ended: make(chan struct{})}
	r.listeners[at] = l
	p.running.Go(func() { p.acceptResources(l) })
}

func (p *Proxy) listenResource(at netip.AddrPort) (net.Listener, error) {
	if limit := p.cfg.Limits.ResourceSockets; limit > 0 && len(p.resources.listeners) >= limit {
		return nil, fmt.Errorf("%d addresses and ports of resources are bound, which is as many as there may be; raise the hard limit of open files (docs/resources.md)", limit)
	}
	return p.cfg.ListenResource(at)
}

// ResourceListeners returns the sockets that are bound for resources, by address.
func (p *Proxy) ResourceListeners() map[netip.AddrPort]net.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	sockets := make(map[netip.AddrPort]net.Listener, len(p.resources.listeners))
	for at, l := range p.resources.listeners {
		sockets[at] = l.net
	}
	return sockets
}

// resourceListener is a bound address and port of a resource.
type resourceListener struct {
	net   net.Listener
	ended chan struct{}
}

func (l *resourceListener) close() {
	close(l.ended)
	l.net.Close()
}

// acceptResources accepts connections to resources until the listener is closed.
func (p *Proxy) acceptResources(l *resourceListener) {
	p.accept(l.net, l.ended, func(conn *net.TCPConn) bool {
		at := downstream.AddressOf(conn.LocalAddr())
		p.mu.Lock()
		resource := p.resources.byAddress[at.Addr().Unmap()]
		p.mu.Unlock()
		if resource == nil { // It has gone just now.
			conn.SetLinger(0)
			conn.Close()
			return false
		}
		origin := p.cfg.OriginOf(downstream.AddressOf(conn.RemoteAddr()).Addr())
		c := downstream.NewResourceConn(p.env, conn, origin, resource.Gone, p.cfg.ResourceIdleTimeout, p.cfg.Drain)
		welcome, full := p.add(c)
		if !welcome {
			p.refuse(c)
			return full
		}
		go func() {
			defer func() { p.leave(c, false, recover()) }()
			p.protocols.passthrough.ServeResource(c, resource, &p.reaching)
		}()
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
	// Count is how many have failed since the resource can be reached.
	Count int64 `json:"count"`

	told time.Time
}

// resourceFailed notes that a connection to a resource has failed. The log is told at once, and then now and then.
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

// ResourceState is how a resource is listened for, and what has failed.
type ResourceState struct {
	// Bound lists the ports that are bound, and Problems those that cannot be.
	Bound    []int            `json:"bound,omitempty"`
	Problems map[int]string   `json:"problems,omitempty"`
	Failure  *ResourceFailure `json:"lastFailure,omitempty"`
}

// ResourceState returns how a resource is listened for at an address.
func (p *Proxy) ResourceState(resource *routing.Resource, address netip.Addr) ResourceState {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.resources
	state := ResourceState{Failure: r.failures[resource]}
	for _, port := range p.portsOf(resource.Route().Ports) {
		at := netip.AddrPortFrom(address, uint16(port))
		switch {
		case r.listeners[at] != nil:
			state.Bound = append(state.Bound, port)
		case r.problems[at] != nil:
			if state.Problems == nil {
				state.Problems = map[int]string{}
			}
			state.Problems[port] = r.problems[at].Error()
		}
	}
	slices.Sort(state.Bound)
	return state
}
