package server

import (
	"context"
	"net"
	"net/http"
	"time"

	"trellis/internal/proxy"
)

// arrival is how long a connection may be idle before it makes room: its first request comes right behind it.
const arrival = 10 * time.Millisecond

// portConnection is a connection of a client.
type portConnection struct {
	idle  bool // no request is under way; one whose head has not come yet is not
	used  bool // it has carried a request
	since time.Time
}

// goesBefore reports whether a connection makes room sooner than another: as in the data plane, first those that have
// carried no request, then those that have been idle longest.
func (v *portConnection) goesBefore(other *portConnection) bool {
	if v.used != other.used {
		return !v.used
	}
	return v.since.Before(other.since)
}

// admit admits a connection. When there are as many as there may be, an idle one makes room, or else the new one waits for
// another to end. It reports whether the port is still open.
func (p *httpPort) admit(conn net.Conn) bool {
	isOpen := false
	enter := func() bool {
		switch {
		case p.isClosed:
			return true
		case len(p.connections) >= p.limit && !p.makeRoom():
			return false
		}
		p.connections[conn] = &portConnection{idle: true, since: time.Now()}
		isOpen = true
		return true
	}
	for {
		// Connections that have just come may make room a moment later, which nobody tells.
		ctx, cancel := context.WithTimeout(context.Background(), arrival)
		err := p.await(ctx, enter)
		cancel()
		if err == nil {
			return isOpen
		}
	}
}

// makeRoom closes an idle connection, if there is one. p.mu is held.
func (p *httpPort) makeRoom() bool {
	var first net.Conn
	latest := time.Now().Add(-arrival)
	for conn, v := range p.connections {
		if v.idle && v.since.Before(latest) && (first == nil || v.goesBefore(p.connections[first])) {
			first = conn
		}
	}
	if first == nil {
		return false
	}
	delete(p.connections, first)
	first.Close()
	p.closed.Happened(1, "limit", p.limit)
	return true
}

// note records what the HTTP server reports about a connection.
func (p *httpPort) note(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		p.mu.Lock()
		defer p.mu.Unlock()
		if v := p.connections[conn]; v != nil {
			v.idle, v.used = false, true
		}
	case http.StateIdle:
		p.update(func() {
			if v := p.connections[conn]; v != nil {
				v.idle, v.since = true, time.Now()
			}
		})
	case http.StateClosed, http.StateHijacked:
		p.update(func() { delete(p.connections, conn) })
	}
}

// usage returns how many connections there are.
func (p *httpPort) usage() proxy.Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return proxy.Usage{Open: len(p.connections), Limit: p.limit, Closed: p.closed.Total()}
}
