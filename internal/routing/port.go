package routing

import (
	"maps"
	"slices"
	"sync/atomic"

	"trellis/internal/shape"
)

// maxHostBytes bounds a host name: a custom domain name has at most 255 characters (API ServiceCustomDomainName).
const maxHostBytes = 255

// Port is a port number with the services that answer on it.
type Port struct {
	Number int
	// Accepted counts the connections of clients that have been accepted on the port.
	Accepted atomic.Int64

	origins *origins
	entries shards[*entry] // by host name
	// protocols are those of the listeners that answer to a name.
	protocols atomic.Pointer[[]shape.ListenerProtocol]

	// The router's lock guards the fields below.

	names   int                            // the number of entries
	claimed map[shape.ListenerProtocol]int // the number of claims by listeners of each protocol
}

// entry is the service of a host name. A recompilation swaps its pointer.
type entry struct {
	service atomic.Pointer[Service]
	// claims are the listeners that answer to the name, all of one account, the first of which serves it: that of the
	// service that was created first. The router's lock guards claims.
	claims []*listenerNode
}

// claim is a host name to which a listener answers on a port.
type claim struct {
	port     int
	protocol shape.ListenerProtocol
	name     string
}

func newPort(number int, origins *origins) *Port {
	p := &Port{Number: number, origins: origins, entries: newShards[*entry](), claimed: map[shape.ListenerProtocol]int{}}
	p.protocols.Store(new([]shape.ListenerProtocol))
	return p
}

// Lookup returns the service that answers to a host, as it is reached through the network of its first association; nil when
// there is none. The host is as it stands in a Host header (with or without a port, in whatever case), in :authority or in a
// TLS server name. The port in it is not compared, since a port may be bound under another number.
func (p *Port) Lookup(host []byte) *Service {
	name := hostName(host)
	if len(name) == 0 || len(name) > maxHostBytes {
		return nil
	}
	// Stored names are in lower case, and so are nearly all that clients ask for: fold only what is not found unchanged.
	e, ok := p.entries.find(name)
	if !ok {
		var folded [maxHostBytes]byte
		n := copy(folded[:], name)
		if !foldInPlace(folded[:n]) {
			return nil
		}
		if e, ok = p.entries.find(folded[:n]); !ok {
			return nil
		}
	}
	return e.service.Load()
}

// Serves reports whether a service of a protocol answers on the port.
func (p *Port) Serves(protocol shape.ListenerProtocol) bool {
	return slices.Contains(*p.protocols.Load(), protocol)
}

// count adds to the claims of listeners of a protocol.
func (p *Port) count(protocol shape.ListenerProtocol, n int) {
	before := p.claimed[protocol]
	p.claimed[protocol] = before + n
	switch {
	case before+n == 0:
		delete(p.claimed, protocol)
	case before > 0:
		return
	}
	protocols := slices.Collect(maps.Keys(p.claimed))
	p.protocols.Store(&protocols)
}

// Listeners returns the ARNs of the listeners that serve a name on the port, in order. It goes through all names.
func (p *Port) Listeners() []string {
	var arns []string
	for _, e := range p.entries.all() {
		if service := e.service.Load(); service != nil {
			arns = append(arns, service.ListenerARN)
		}
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}

// claim makes a compiled listener answer to a name, unless the listener of an older service does. It returns the listener that
// answers to the name.
func (p *Port) claim(name string, protocol shape.ListenerProtocol, l *listenerNode) *listenerNode {
	draft := p.entries.draft(name)
	e := draft[name]
	if e == nil {
		e = &entry{}
		draft[name] = e
		p.names++
	}
	at, _ := slices.BinarySearchFunc(e.claims, l, func(a, b *listenerNode) int {
		return older(a.compiled.origin, b.compiled.origin)
	})
	e.claims = slices.Insert(e.claims, at, l)
	e.service.Store(e.claims[0].compiled)
	p.count(protocol, 1)
	return e.claims[0]
}

// swap makes requests for a name follow the listener's new compilation, if it is the one that answers to the name.
func (p *Port) swap(name string, l *listenerNode) {
	if e, _ := p.entries.drafted(name); e.claims[0] == l {
		e.service.Store(l.compiled)
	}
}

// unclaim undoes claim; the next oldest service takes over.
func (p *Port) unclaim(name string, protocol shape.ListenerProtocol, l *listenerNode) {
	draft := p.entries.draft(name)
	e := draft[name]
	at := slices.Index(e.claims, l)
	e.claims = slices.Delete(e.claims, at, at+1)
	p.count(protocol, -1)
	if len(e.claims) == 0 {
		e.service.Store(nil)
		delete(draft, name)
		p.names--
		return
	}
	e.service.Store(e.claims[0].compiled)
}

// hostName strips the port and one trailing dot from a host; the brackets of an IPv6 literal stay. It returns nil if the port
// is malformed.
func hostName(host []byte) []byte {
	end := len(host)
	if end > 0 && host[0] == '[' {
		for end = 1; end < len(host) && host[end] != ']'; end++ {
		}
		if end == len(host) {
			return nil
		}
		end++
		if end < len(host) && !isPort(host[end:]) {
			return nil
		}
		return host[:end]
	}
	for i, c := range host {
		if c == ':' {
			if !isPort(host[i:]) { // also an IPv6 literal without brackets
				return nil
			}
			end = i
			break
		}
	}
	if end > 0 && host[end-1] == '.' {
		end--
	}
	return host[:end]
}

// isPort reports whether b is a colon and up to five digits. RFC 3986 3.2.3 admits none.
func isPort(b []byte) bool {
	if len(b) > 6 || b[0] != ':' {
		return false
	}
	for _, c := range b[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
