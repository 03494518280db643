package dns

import (
	"net/netip"
	"strings"

	"codeberg.org/miekg/dns"
	"codeberg.org/miekg/dns/rdata"

	"trellis/internal/lattice"
)

const (
	// ttl is how many seconds others may keep an answer: here, names follow changes at once, and elsewhere they should do so soon
	//
	ttl = 5
	// maxUDPBytes bounds a response over UDP, whatever the client accepts: a larger one would be sent in fragments, which get
	// lost (DNS Flag Day 2020).
	maxUDPBytes = 1232
	minUDPBytes = 512 // which every client takes (RFC 1035 4.2.1)
)

// query is a question and its sender.
type query struct {
	*dns.Msg
	client netip.Addr
	local  netip.Addr // the address at which it has arrived
}

// read reads a query. ok is false for a message that is not a query and gets no response at all, since it may be the
// response to another one.
func read(message []byte) (m *dns.Msg, ok bool) {
	m = &dns.Msg{Data: message}
	if err := m.Unpack(); err != nil {
		// With a complete head, the response can say that the rest is malformed.
		head := &dns.Msg{Data: message, Options: dns.MsgOptionUnpackHeader}
		if len(message) < headerBytes || head.Unpack() != nil || head.Response {
			return nil, false
		}
		return failed(head, dns.RcodeFormatError), false
	}
	return m, !m.Response
}

const headerBytes = 12

// lookup returns what the name of a query stands for. known is false, too, if the query is not about a name.
func (s *Server) lookup(q query) (name string, entry Entry, known bool) {
	if q.Opcode != dns.OpcodeQuery || len(q.Question) != 1 || q.Version != 0 || q.Question[0].Header().Class != dns.ClassINET {
		return "", Entry{}, false
	}
	name = nameOf(q.Msg)
	entry, known = s.cfg.Names.Find(name, q.client)
	return name, entry, known
}

// nameOf returns the name of a query, in lower case and without a dot at its end.
func nameOf(q *dns.Msg) string {
	return strings.TrimSuffix(strings.ToLower(q.Question[0].Header().Name), ".")
}

// nameIn returns the name that a message asks for, in lower case and without a dot at its end, if the message looks like an
// ordinary query. It costs a fraction of reading the message.
func nameIn(message []byte) (string, bool) {
	const opcodeAndResponse = 0xf8
	if len(message) < headerBytes || message[2]&opcodeAndResponse != 0 || message[4] != 0 || message[5] != 1 {
		return "", false
	}
	var room [255]byte // RFC 1035 2.3.4
	name := room[:0]
	for rest := message[headerBytes:]; len(rest) > 0; {
		n := int(rest[0])
		switch {
		case n == 0:
			return string(name), true
		case n > 63 || len(rest) <= n || len(name)+1+n > len(room):
			return "", false
		case len(name) > 0:
			name = append(name, '.')
		}
		for _, b := range rest[1 : 1+n] {
			if 'A' <= b && b <= 'Z' {
				b += 'a' - 'A'
			}
			name = append(name, b)
		}
		rest = rest[1+n:]
	}
	return "", false
}

// answer answers queries for the names that this server knows. forward says that other servers should be asked.
func (s *Server) answer(q query) (response *dns.Msg, forward bool) {
	if name, entry, known := s.lookup(q); known {
		return s.found(q, name, entry), false
	}
	return s.deny(q)
}

// deny answers a query for a name that is not known. forward says that other servers should be asked.
func (s *Server) deny(q query) (response *dns.Msg, forward bool) {
	switch {
	case q.Opcode != dns.OpcodeQuery:
		return failed(q.Msg, dns.RcodeNotImplemented), false
	case len(q.Question) != 1:
		return failed(q.Msg, dns.RcodeFormatError), false
	case q.Version != 0:
		return failed(q.Msg, dns.RcodeBadVers), false // RFC 6891 6.1.3
	case q.Question[0].Header().Class != dns.ClassINET:
		return failed(q.Msg, dns.RcodeRefused), false
	}
	name := nameOf(q.Msg)
	if zone, isParent := zoneOf(name, s.cfg.Domain); zone != "" {
		return missing(q.Msg, name, zone, isParent), false
	}
	if len(s.cfg.Forward) > 0 && q.RecursionDesired {
		return nil, true
	}
	return failed(q.Msg, dns.RcodeRefused), false
}

// found answers a query for an existing name.
func (s *Server) found(q query, name string, entry Entry) *dns.Msg {
	zone, _ := zoneOf(name, s.cfg.Domain)
	r := reply(q.Msg)
	r.Authoritative = true
	asked := dns.RRToType(q.Question[0])
	owner := q.Question[0].Header().Name // The name is written as in the question, since some clients check the case of letters.
	if entry.Canonical != "" {
		r.Answer = append(r.Answer, &dns.CNAME{Hdr: header(owner), CNAME: rdata.CNAME{Target: entry.Canonical + "."}})
		owner = entry.Canonical + "."
		zone, _ = zoneOf(entry.Canonical, s.cfg.Domain) // The authority record is that of the last name (RFC 2308 2.1).
		if asked == dns.TypeCNAME {
			return r
		}
	}
	addresses := entry.Addresses
	if len(addresses) == 0 {
		addresses = s.cfg.Addresses
	}
	if len(addresses) == 0 {
		addresses = []netip.Addr{q.local}
	}
	count := len(r.Answer)
	for _, address := range addresses {
		switch {
		case address.Is4() && (asked == dns.TypeA || asked == dns.TypeANY):
			r.Answer = append(r.Answer, &dns.A{Hdr: header(owner), A: rdata.A{Addr: address}})
		case address.Is6() && (asked == dns.TypeAAAA || asked == dns.TypeANY):
			r.Answer = append(r.Answer, &dns.AAAA{Hdr: header(owner), AAAA: rdata.AAAA{Addr: address}})
		}
	}
	if len(r.Answer) == count {
		// The name exists, but has no record of that type (RFC 2308 2.2).
		if zone == "" {
			zone = name // Like the zones that Lattice makes for names of resources.
		}
		r.Ns = append(r.Ns, authority(zone))
	}
	return r
}

// missing answers a query for a name that does not exist, or, if it is a parent of names, that has no records.
func missing(q *dns.Msg, name, zone string, isParent bool) *dns.Msg {
	r := reply(q)
	r.Authoritative = true
	switch asked := dns.RRToType(q.Question[0]); {
	case name == zone && asked == dns.TypeSOA:
		r.Answer = append(r.Answer, authority(zone))
		return r
	case name == zone && asked == dns.TypeNS:
		r.Answer = append(r.Answer, &dns.NS{Hdr: header(zone + "."), NS: rdata.NS{Ns: "ns." + zone + "."}})
		return r
	case !isParent:
		r.Rcode = dns.RcodeNameError
	}
	r.Ns = append(r.Ns, authority(zone))
	return r
}

// generated are the labels that all generated names of a kind have: the kind in front of the Region, the cell in front of
// the kind.
var generated = [...]struct{ kind, cell string }{
	{lattice.ServiceNameKind, lattice.ServiceNameCell},
	{lattice.ResourceNameKind, lattice.ResourceNameCell},
}

// zoneOf returns the zone of generated names that contains a name, such as vpc-lattice-svcs.us-west-2.localhost, or "".
// isParent reports whether there are names below the name, which itself cannot have records (RFC 8020).
func zoneOf(name, domain string) (zone string, isParent bool) {
	below, ok := strings.CutSuffix(name, "."+domain)
	if !ok {
		return "", false
	}
	labels := strings.Split(below, ".")
	n := len(labels)
	if n < 2 {
		return "", false
	}
	for _, g := range generated {
		if labels[n-2] == g.kind {
			isCell := n > 2 && labels[n-3] == g.cell
			// Names of resources have one label more: {association}.{resource configuration}.{cell}.
			isParent = n == 2 || isCell && n == 3 || isCell && n == 4 && strings.HasPrefix(labels[0], "rcfg-")
			return g.kind + "." + labels[n-1] + "." + domain, isParent
		}
	}
	return "", false
}

func header(name string) dns.Header {
	return dns.Header{Name: name, TTL: ttl, Class: dns.ClassINET}
}

// authority returns the record that tells clients how long they may cache that a name does not exist.
func authority(zone string) *dns.SOA {
	return &dns.SOA{Hdr: header(zone + "."), SOA: rdata.SOA{
		Ns: "ns." + zone + ".", Mbox: "hostmaster." + zone + ".", Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl,
	}}
}

// reply returns a response without records.
func reply(q *dns.Msg) *dns.Msg {
	r := &dns.Msg{MsgHeader: dns.MsgHeader{
		ID: q.ID, Response: true, Opcode: q.Opcode, RecursionDesired: q.RecursionDesired,
	}}
	r.Question = q.Question
	if q.UDPSize > 0 {
		r.UDPSize = maxUDPBytes // This tells the client that the server supports EDNS (RFC 6891 7).
	}
	return r
}

func failed(q *dns.Msg, code uint16) *dns.Msg {
	r := reply(q)
	r.Rcode = code
	return r
}

// pack returns the bytes of a response, which is cut if it is larger than limit: its client asks again over TCP.
func pack(r *dns.Msg, limit int) ([]byte, error) {
	switch err := r.Pack(); {
	case err != nil:
		// The library reads some names that it does not write: those with a dot within a label.
		malformed := &dns.Msg{MsgHeader: r.MsgHeader}
		malformed.Rcode = dns.RcodeFormatError
		err := malformed.Pack()
		return malformed.Data, err
	case len(r.Data) <= limit:
		return r.Data, nil
	}
	cut := &dns.Msg{MsgHeader: r.MsgHeader, Question: r.Question}
	cut.Truncated = true
	err := cut.Pack()
	return cut.Data, err
}

// udpLimit returns how large a response to a query over UDP may be.
func udpLimit(q *dns.Msg) int {
	return min(max(int(q.UDPSize), minUDPBytes), maxUDPBytes)
}
