package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"trellis/internal/dns"
	"trellis/internal/routing"
)

// hosts are the names that routing knows, as package dns asks for them.
type hosts struct{ router *routing.Router }

func (h hosts) Find(name string, _ netip.Addr) (dns.Entry, bool) {
	host, ok := h.router.Host(name)
	return dns.Entry{Canonical: host.Generated}, ok
}

// bindAgain is how long to wait before a port of DNS is tried again that could not be bound.
const bindAgain = 100 * time.Millisecond

// names answers the names of services by DNS.
type names struct {
	cfg    dns.Config
	off    bool        // nobody wants it
	server *dns.Server // nil until its port is bound
	// where tells the operator at the start where names are answered.
	where string
}

// openNames binds the port of DNS, if names are to be answered.
func (s *Server) openNames(ctx context.Context) (err error) {
	n := &names{off: s.cfg.DNSAddr == "none"}
	s.names = n
	if n.off {
		return nil
	}
	n.cfg = dns.Config{
		Address:   netip.MustParseAddrPort(s.cfg.DNSAddr), // Package configuration has checked it.
		Domain:    s.cfg.Domain,
		Names:     hosts{s.router},
		Addresses: dataAddresses(s.cfg.DataAddr),
		Forward:   s.cfg.DNSForward,
		Log:       s.log.With("part", "dns"),
	}
	s.atClose(n.close)
	if n.server, err = dns.Listen(ctx, n.cfg); err != nil {
		n.where = "not yet: " + n.cfg.Address.String() + " cannot be bound"
		n.cfg.Log.Warn("names are not answered: the port of --dns-addr cannot be bound; it is tried again until it can", "address", n.cfg.Address.String(), "error", err)
		return nil
	}
	n.where = n.server.Addr().String() + " (DNS)"
	return nil
}

// close closes the port. serve has closed it already, if it came to that.
func (n *names) close() error {
	if n.server == nil {
		return nil
	}
	if err := n.server.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// dataAddresses returns what names lead to. Without any it is the address that the query was sent to.
func dataAddresses(dataAddr string) []netip.Addr {
	if address, err := netip.ParseAddr(dataAddr); err == nil && !address.IsUnspecified() {
		return []netip.Addr{address.Unmap()}
	}
	return nil
}

// serve answers names until ctx ends. A port that cannot be bound stops nothing else: it is tried again and again.
// In an upgrade that is how the new process gets it from the old one.
func (n *names) serve(ctx context.Context) error {
	if n.off {
		return nil
	}
	for n.server == nil {
		select {
		case <-time.After(bindAgain):
		case <-ctx.Done():
			return nil
		}
		n.server, _ = dns.Listen(ctx, n.cfg)
	}
	n.cfg.Log.Info("names are answered", "address", n.server.Addr().String())
	return n.server.Serve(ctx)
}
