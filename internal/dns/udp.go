package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"codeberg.org/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// servePackets answers queries over UDP, one after another: an answer takes some microseconds. Only what is forwarded
// has a goroutine.
func (s *Server) servePackets(ctx context.Context, port *packetPort) error {
	buffer := make([]byte, 64<<10)
	for {
		p, err := port.read(buffer)
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			// Some errors are about an earlier response, whose client has closed its port.
			pause(ctx)
			continue
		}
		m, ok := read(p.bytes)
		if !ok {
			if m != nil {
				s.sendPacket(port, p, m, minUDPBytes)
			}
			continue
		}
		q := query{Msg: m, client: p.client.Addr().Unmap(), local: p.local}
		response, forward := s.answer(q)
		if !forward {
			s.sendPacket(port, p, response, udpLimit(m))
			continue
		}
		// The buffer is used again for the next query.
		own := p
		own.bytes = append([]byte(nil), p.bytes...)
		if !s.ask.start(func() { s.sendForwarded(ctx, port, own, q) }) {
			s.sendPacket(port, p, failed(m, dns.RcodeServerFailure), minUDPBytes)
		}
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
	bytes, err := pack(response, limit)
	if err != nil {
		s.cfg.Log.Error("packing a DNS response", "error", err)
		return
	}
	s.count(bytes)
	port.write(p, bytes)
}

// packet is a query as it arrived.
type packet struct {
	bytes  []byte
	client netip.AddrPort
	local  netip.Addr // at which it has arrived
	index  int        // of the interface, for addresses that need one
}

// packetPort reads packets with the address at which they have arrived, and sends responses from that address: clients accept no
// other.
type packetPort struct {
	conn  *net.UDPConn
	local netip.Addr
	v4    *ipv4.PacketConn // nil unless the port is bound to all addresses of IPv4
	v6    *ipv6.PacketConn // nil unless the port is bound to all addresses of IPv6
}

// packetBuffer is how many bytes of queries the kernel should keep for us: a burst of queries that are only refused must not push
// others out.
const packetBuffer = 1 << 20

func listenPackets(ctx context.Context, network string, address netip.AddrPort) (*packetPort, error) {
	var config net.ListenConfig
	packets, err := config.ListenPacket(ctx, network, address.String())
	if err != nil {
		return nil, err
	}
	conn := packets.(*net.UDPConn)
	conn.SetReadBuffer(packetBuffer)
	p := &packetPort{conn: conn, local: conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()}
	switch {
	case !p.local.IsUnspecified():
	case p.local.Is4():
		p.v4 = ipv4.NewPacketConn(conn)
		err = p.v4.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	default:
		p.v6 = ipv6.NewPacketConn(conn)
		err = p.v6.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return p, nil
}

func (p *packetPort) read(buffer []byte) (packet, error) {
	var (
		n      int
		source net.Addr
		err    error
		local  net.IP
		index  int
	)
	switch {
	case p.v4 != nil:
		var control *ipv4.ControlMessage
		if n, control, source, err = p.v4.ReadFrom(buffer); control != nil {
			local, index = control.Dst, control.IfIndex
		}
	case p.v6 != nil:
		var control *ipv6.ControlMessage
		if n, control, source, err = p.v6.ReadFrom(buffer); control != nil {
			local, index = control.Dst, control.IfIndex
		}
	default:
		n, client, err := p.conn.ReadFromUDPAddrPort(buffer)
		return packet{bytes: buffer[:n], client: client, local: p.local}, err
	}
	if err != nil {
		return packet{}, err
	}
	address, _ := netip.AddrFromSlice(local)
	return packet{bytes: buffer[:n], client: source.(*net.UDPAddr).AddrPort(), local: address.Unmap(), index: index}, nil
}

// write sends a response. Nobody knows whether it arrives: clients ask again.
func (p *packetPort) write(to packet, response []byte) {
	switch {
	case p.v4 != nil:
		p.v4.WriteTo(response, &ipv4.ControlMessage{Src: to.local.AsSlice(), IfIndex: to.index}, net.UDPAddrFromAddrPort(to.client))
	case p.v6 != nil:
		p.v6.WriteTo(response, &ipv6.ControlMessage{Src: to.local.AsSlice(), IfIndex: to.index}, net.UDPAddrFromAddrPort(to.client))
	default:
		p.conn.WriteToUDPAddrPort(response, to.client)
	}
}
