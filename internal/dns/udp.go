package dns

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"codeberg.org/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// answeredAtOnce is how many queries are answered before the server looks for others that have come.
const answeredAtOnce = 4

// servePackets answers queries over UDP on this goroutine: an answer takes some microseconds. Only what is forwarded has a
// goroutine.
//
// Queries wait until nothing is left to read, or enough have been read. Then those for names that exist come first, and in both
// lines sources take turns. Reading takes a fraction of the time of an answer, so a storm hardly delays the queries of other
// sources, and does not push them out of the kernel's buffer.
func (s *Server) servePackets(ctx context.Context, port *packetPort) error {
	known, unknown := newWaiting(), newWaiting()
	for {
		if known.count+unknown.count == 0 || port.hasMore() {
			err := port.read(func(p packet) { s.take(p, known, unknown) })
			switch {
			case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
				return err
			case err != nil:
				// Some errors are about an earlier response, whose client has closed its port.
				pause(ctx)
			}
		}
		for i := range answeredAtOnce {
			line := known
			// The last is one of the other line even in a storm of known names, which would shut it out.
			if last := i == answeredAtOnce-1; known.count == 0 || last && unknown.count > 0 {
				line = unknown
			}
			if line.count > 0 {
				s.answerPacket(ctx, port, line.next())
			}
		}
	}
}

// take lets a query wait among those for names that exist, or the others, if there is room.
func (s *Server) take(p packet, known, unknown *waiting) {
	client, line := p.from(), unknown
	if name, ok := nameIn(p.bytes); ok {
		if _, exists := s.cfg.Names.Find(name, client); exists {
			line = known
		}
	}
	if !line.hasRoom(client) {
		s.dropped.Add(1)
		return
	}
	p.bytes = bytes.Clone(p.bytes) // The buffer is used again for the next query.
	line.add(p)
}

func (s *Server) answerPacket(ctx context.Context, port *packetPort, p packet) {
	m, ok := read(p.bytes)
	if !ok {
		if m != nil {
			s.sendPacket(port, p, m, minUDPBytes)
		}
		return
	}
	q := query{Msg: m, client: p.from(), local: p.local}
	response, forward := s.answer(q)
	if !forward {
		s.sendPacket(port, p, response, udpLimit(m))
		return
	}
	if !s.ask.start(q.client, func() { s.sendForwarded(ctx, port, p, q) }) {
		s.sendPacket(port, p, failed(m, dns.RcodeServerFailure), minUDPBytes)
	}
}

func (s *Server) sendForwarded(ctx context.Context, port *packetPort, p packet, q query) {
	response, err := s.ask.forward(ctx, "udp", p.bytes)
	if err != nil {
		s.cfg.Log.Debug("a query could not be forwarded", "name", q.Question[0].Header().Name, "error", err)
		s.sendPacket(port, p, failed(q.Msg, dns.RcodeServerFailure), minUDPBytes)
		return
	}
	s.count(response)
	port.write(p, response)
}

func (s *Server) sendPacket(port *packetPort, p packet, response *dns.Msg, limit int) {
	packed, err := pack(response, limit)
	if err != nil {
		s.cfg.Log.Error("packing a DNS response", "error", err)
		return
	}
	s.count(packed)
	port.write(p, packed)
}

// packet is a query as it arrived.
type packet struct {
	bytes  []byte
	client netip.AddrPort
	local  netip.Addr // at which it has arrived
	index  int        // the index of the interface, for addresses that need one
}

// from returns the address of the client.
func (p packet) from() netip.Addr { return p.client.Addr().Unmap() }

// packetPort reads packets with the address at which they have arrived, and sends responses from that address: clients accept no
// other.
type packetPort struct {
	conn    *net.UDPConn
	local   netip.Addr // the address at which all packets arrive, unless it is unspecified
	batch   batch
	raw     syscall.RawConn
	packets []ipv4.Message // batch has the same messages for IPv6
}

// batch is an *ipv4.PacketConn or an *ipv6.PacketConn.
type batch interface {
	ReadBatch(packets []ipv4.Message, flags int) (int, error)
}

const (
	// packetBuffer is how many bytes of queries the kernel should keep: a burst of queries that are only refused must not push
	// others out.
	packetBuffer = 1 << 20
	// packetsAtOnce is how many packets are read at once, and maxQueryBytes how much of each: we tell clients to send no more
	// than maxUDPBytes.
	packetsAtOnce = 64
	maxQueryBytes = 4 << 10
)

func listenPackets(ctx context.Context, network string, address netip.AddrPort) (*packetPort, error) {
	var config net.ListenConfig
	listener, err := config.ListenPacket(ctx, network, address.String())
	if err != nil {
		return nil, err
	}
	conn := listener.(*net.UDPConn)
	conn.SetReadBuffer(packetBuffer)
	p := &packetPort{conn: conn, local: conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), packets: make([]ipv4.Message, packetsAtOnce)}
	var control []byte
	if p.local.Is4() {
		v4 := ipv4.NewPacketConn(conn)
		if p.batch = v4; p.local.IsUnspecified() {
			control = ipv4.NewControlMessage(ipv4.FlagDst | ipv4.FlagInterface)
			err = v4.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
		}
	} else {
		v6 := ipv6.NewPacketConn(conn)
		if p.batch = v6; p.local.IsUnspecified() {
			control = ipv6.NewControlMessage(ipv6.FlagDst | ipv6.FlagInterface)
			err = v6.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
		}
	}
	if err == nil {
		p.raw, err = conn.SyscallConn()
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	for i := range p.packets {
		p.packets[i] = ipv4.Message{Buffers: [][]byte{make([]byte, maxQueryBytes)}, OOB: bytes.Clone(control)}
	}
	return p, nil
}

// read reads packets that have come, of which there is at least one. Their bytes can be used until take returns.
func (p *packetPort) read(take func(packet)) error {
	n, err := p.batch.ReadBatch(p.packets, 0)
	if err != nil {
		return err
	}
	for i := range p.packets[:n] {
		m := &p.packets[i]
		q := packet{bytes: m.Buffers[0][:m.N], client: m.Addr.(*net.UDPAddr).AddrPort(), local: p.local}
		if p.local.IsUnspecified() {
			q.local, q.index = p.arrivedAt(m.OOB[:m.NN])
		}
		take(q)
	}
	return nil
}

// arrivedAt returns the address at which a packet has arrived, and the index of the interface.
func (p *packetPort) arrivedAt(control []byte) (netip.Addr, int) {
	var at net.IP
	var index int
	if p.local.Is4() {
		var c ipv4.ControlMessage
		if c.Parse(control) == nil {
			at, index = c.Dst, c.IfIndex
		}
	} else {
		var c ipv6.ControlMessage
		if c.Parse(control) == nil {
			at, index = c.Dst, c.IfIndex
		}
	}
	address, _ := netip.AddrFromSlice(at)
	return address.Unmap(), index
}

// write sends a response. It may get lost: clients ask again.
func (p *packetPort) write(to packet, response []byte) {
	var control []byte
	switch {
	case !p.local.IsUnspecified():
	case p.local.Is4():
		control = (&ipv4.ControlMessage{Src: to.local.AsSlice(), IfIndex: to.index}).Marshal()
	default:
		control = (&ipv6.ControlMessage{Src: to.local.AsSlice(), IfIndex: to.index}).Marshal()
	}
	p.conn.WriteMsgUDPAddrPort(response, control, to.client)
}
