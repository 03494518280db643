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

// visitor is a connection to a door.
type visitor struct {
	idle  bool // no request is under way; one whose head has not come yet is not
	used  bool // it has carried a request
	since time.Time
}

// goesBefore reports whether a visitor makes room sooner than another: as in the data plane, those that have carried no
// request go first, then those that have been idle for longest.
func (v *visitor) goesBefore(other *visitor) bool {
	if v.used != other.used {
		return !v.used
	}
	return v.since.Before(other.since)
}

// admit lets a connection in. When there are as many as there may be, an idle one makes room, or else it waits for
// another to end. It reports whether the door is still there.
func (d *door) admit(conn net.Conn) bool {
	isOpen := false
	enter := func() bool {
		switch {
		case d.isClosed:
			return true
		case len(d.visitors) >= d.limit && !d.makeRoom():
			return false
		}
		d.visitors[conn] = &visitor{idle: true, since: time.Now()}
		isOpen = true
		return true
	}
	for {
		// Connections that have just come may make room a moment later, which nobody tells.
		ctx, cancel := context.WithTimeout(context.Background(), arrival)
		err := d.await(ctx, enter)
		cancel()
		if err == nil {
			return isOpen
		}
	}
}

// makeRoom closes an idle connection, if there is one. d.mu is held.
func (d *door) makeRoom() bool {
	var first net.Conn
	latest := time.Now().Add(-arrival)
	for conn, v := range d.visitors {
		if v.idle && v.since.Before(latest) && (first == nil || v.goesBefore(d.visitors[first])) {
			first = conn
		}
	}
	if first == nil {
		return false
	}
	delete(d.visitors, first)
	first.Close()
	d.closed.Happened(1, "limit", d.limit)
	return true
}

// note takes up what the HTTP server says of a connection.
func (d *door) note(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		d.mu.Lock()
		defer d.mu.Unlock()
		if v := d.visitors[conn]; v != nil {
			v.idle, v.used = false, true
		}
	case http.StateIdle:
		d.update(func() {
			if v := d.visitors[conn]; v != nil {
				v.idle, v.since = true, time.Now()
			}
		})
	case http.StateClosed, http.StateHijacked:
		d.update(func() { delete(d.visitors, conn) })
	}
}

// usage returns how many connections there are.
func (d *door) usage() proxy.Usage {
	d.mu.Lock()
	defer d.mu.Unlock()
	return proxy.Usage{Open: len(d.visitors), Limit: d.limit, Closed: d.closed.Total()}
}
