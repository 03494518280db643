package server

import (
	"context"
	"net"
	"net/http"
	"time"

	"trellis/internal/proxy"
)

// arrival is how long a new connection is spared: its first request follows at once.
const arrival = 10 * time.Millisecond

// goesBefore reports whether a connection is closed before another to make room: as in the data plane, first those that have
// carried no request, then those that have been idle longest.
func (v *portConnection) goesBefore(other *portConnection) bool {
	if v.used != other.used {
		return !v.used
	}
	return v.since.Before(other.since)
}

// admit admits a connection. When there are as many as there may be, an idle one makes room, or else the new one waits for
// another to end. It reports whether the port is still open.
func (p *httpPort) admit(conn *portConnection) bool {
	isOpen := false
	enter := func() bool {
		switch {
		case p.isClosed:
			return true
		case len(p.connections) >= p.limit && !p.makeRoom():
			return false
		}
		conn.idle, conn.since = true, time.Now()
		p.connections[conn] = struct{}{}
		isOpen = true
		return true
	}
	for {
		// New connections may be closed for room a moment later, and nothing signals that.
		ctx, cancel := context.WithTimeout(context.Background(), arrival)
		err := p.await(ctx, enter)
		cancel()
		if err == nil {
			return isOpen
		}
	}
}

// makeRoom closes an idle connection, if there is one. The caller holds p.mu.
func (p *httpPort) makeRoom() bool {
	var first *portConnection
	latest := time.Now().Add(-arrival)
	for conn := range p.connections {
		if conn.idle && conn.since.Before(latest) && (first == nil || conn.goesBefore(first)) {
			first = conn
		}
	}
	if first == nil {
		return false
	}
	delete(p.connections, first)
	first.abort()
	p.closed.Happened(1, "limit", p.limit)
	return true
}

// note counts what the HTTP server reports about a connection.
func (p *httpPort) note(reported net.Conn, state http.ConnState) {
	conn := reported.(*portConnection) // Accept returns no other type.
	switch state {
	case http.StateActive:
		p.mu.Lock()
		defer p.mu.Unlock()
		conn.idle, conn.used = false, true
	case http.StateIdle:
		p.update(func() { conn.idle, conn.since = true, time.Now() })
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
