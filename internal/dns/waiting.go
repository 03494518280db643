package dns

import (
	"net/netip"
	"sync"

	"codeberg.org/miekg/dns"
)

const (
	// maxWaiting is how many queries wait at most, and maxOfSource how many of one source: a client asks for a few names at
	// a time. So many are also forwarded, and so many connections served, of one source at most.
	maxWaiting  = 1024
	maxOfSource = 32
)

// waiting holds the queries for names that do not exist. Sources take turns, so that one that floods the server keeps only
// itself waiting.
type waiting struct {
	turns []netip.Prefix // the sources with waiting queries, the next one first
	of    map[netip.Prefix][]pending
	count int
}

// pending is a query that has been read.
type pending struct {
	query
	packet   packet
	response *dns.Msg // set if its name is known already
}

func newWaiting() *waiting { return &waiting{of: make(map[netip.Prefix][]pending)} }

// hasRoom reports whether one more query of a client may wait. If not, its client asks again.
func (w *waiting) hasRoom(client netip.Addr) bool {
	return w.count < maxWaiting && len(w.of[sourceOf(client)]) < maxOfSource
}

// add lets a query wait. There must be room.
func (w *waiting) add(q pending) {
	source := sourceOf(q.client)
	line := w.of[source]
	if len(line) == 0 {
		w.turns = append(w.turns, source)
	}
	w.of[source] = append(line, q)
	w.count++
}

// next returns the query whose turn it is. There must be one.
func (w *waiting) next() pending {
	source := w.turns[0]
	w.turns = w.turns[1:]
	line := w.of[source]
	q := line[0]
	if len(line) == 1 {
		delete(w.of, source)
	} else {
		w.of[source] = line[1:]
		w.turns = append(w.turns, source)
	}
	w.count--
	return q
}

// shares counts what is under way for each source. None may have more than maxOfSource, so that it leaves others a place.
type shares struct {
	mu sync.Mutex
	of map[netip.Prefix]int
}

func newShares() *shares { return &shares{of: make(map[netip.Prefix]int)} }

// enter counts one more for a client, unless its source has its share already.
func (s *shares) enter(client netip.Addr) bool {
	source := sourceOf(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[source] >= maxOfSource {
		return false
	}
	s.of[source]++
	return true
}

// leave takes one of a client out of the count.
func (s *shares) leave(client netip.Addr) {
	source := sourceOf(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of[source]--; s.of[source] == 0 {
		delete(s.of, source)
	}
}

// sourceOf returns the source as which a client counts: an IPv4 address, or the /64 of an IPv6 address, since one host may use all
// addresses of a /64 (RFC 4291 2.5.4).
func sourceOf(client netip.Addr) netip.Prefix {
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	source, _ := client.WithZone("").Prefix(bits) // It cannot fail: the address has that many bits.
	return source
}
