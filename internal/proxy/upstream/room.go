package upstream

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"
)

// room bounds how many connections there are to all targets together. When there is no place left, idle connections make room
// . A nil room has no bound.
type room struct {
	places    chan struct{} // has an element for each connection
	closeIdle func(n int)
}

// newRoom returns a room with a number of places, or nil for 0. closeIdle closes up to n idle connections.
func newRoom(places int, closeIdle func(n int)) *room {
	if places == 0 {
		return nil
	}
	return &room{places: make(chan struct{}, places), closeIdle: closeIdle}
}

var errNoRoom = errors.New("there are as many connections to targets as there may be")

// roomInterval is how often enter looks for idle connections while there is no place.
const roomInterval = 50 * time.Millisecond

// enter takes a place for a connection, and waits for one until ctx ends. leave gives it back.
func (r *room) enter(ctx context.Context) error {
	if r.tryEnter() {
		return nil
	}
	return r.await(ctx)
}

// tryEnter takes a place for a connection, if there is one.
func (r *room) tryEnter() bool {
	if r == nil {
		return true
	}
	select {
	case r.places <- struct{}{}:
		return true
	default:
		return false
	}
}

func (r *room) await(ctx context.Context) error {
	again := time.NewTicker(roomInterval)
	defer again.Stop()
	for {
		r.closeIdle(cap(r.places)/32 + 1) // Several are closed at once, since looking for them costs more than closing them.
		select {
		case r.places <- struct{}{}:
			return nil
		case <-again.C:
		case <-ctx.Done():
			return errNoRoom
		}
	}
}

// leave gives a place back.
func (r *room) leave() {
	if r != nil {
		<-r.places
	}
}

// hasPlace reports whether there is a place.
func (r *room) hasPlace() bool { return r == nil || len(r.places) < cap(r.places) }

// closeIdle closes up to n idle connections: of HTTP/1.1 those that have been idle for longest, one of each pool, and then
// those of HTTP/2 that have no streams.
func (p *Pools) closeIdle(n int) {
	p.mu.Lock()
	idling := slices.Collect(maps.Keys(p.idling))
	open := slices.Collect(maps.Keys(p.open))
	p.mu.Unlock()
	type candidate struct {
		pool  *HTTP1Pool
		since int64
	}
	var candidates []candidate
	for _, pool := range idling {
		if since, any := pool.idleLongest(); any {
			candidates = append(candidates, candidate{pool, since})
		}
	}
	slices.SortFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.since, b.since) })
	for _, c := range candidates[:min(n, len(candidates))] {
		if c.pool.closeOldest() {
			n--
		}
	}
	for _, pool := range open {
		if n <= 0 {
			return
		}
		n -= pool.closeQuiet(n)
	}
}
