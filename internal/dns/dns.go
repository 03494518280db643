// Package dns answers queries for the names of services, and for all other names that routing knows, over UDP and TCP.
//
// A query for a name that the data plane knows gets an authoritative answer from what routing has compiled, at once after a
// change. Names below the generated domains that do not exist get NXDOMAIN. All other queries go to the servers of
// Config.Forward, or are refused.
//
// codeberg.org/miekg/dns reads and writes the messages. Its server is not used: it starts a goroutine for each packet and
// each connection without a bound, and spins when accepting fails.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a Server needs.
type Config struct {
	// Address is where queries are taken, over UDP and TCP. Port 0 is any that is free for both.
	Address netip.AddrPort
	// Domain is the parent of generated names, such as "localhost".
	Domain string
	// Names knows the names.
	Names Names
	// Addresses are those of the data plane. Without any, it is the address at which the query has arrived.
	Addresses []netip.Addr
	// Forward are the servers that are asked for all other names, in turn. Without any, such queries are refused.
	Forward []netip.AddrPort
	// Log gets errors. Nil means slog.Default.
	Log *slog.Logger
}

// Names knows which names exist.
type Names interface {
	// Find returns what a name stands for, as a client sees it. The name is in lower case and has no dot at its end.
	// Find is called for each query, by several goroutines.
	Find(name string, client netip.Addr) (Entry, bool)
}

// Entry is what a name stands for.
type Entry struct {
	// Canonical is the name whose alias this one is (a CNAME record), or "".
	Canonical string
	// Addresses are what the name, or the canonical one, leads to. None means the data plane's.
	Addresses []netip.Addr
}

// Server answers queries. It is ready once Listen has returned.
type Server struct {
	cfg     Config
	packets []*packetPort // one socket for each version of IP
	stream  net.Listener
	ask     forwarder

	responses [1 << rcodeBits]atomic.Int64 // by code
	dropped   atomic.Int64
}

// Listen opens the sockets.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	// The port may be free for TCP and taken for UDP: try others then.
	for tries := 10; ; tries-- {
		s := &Server{cfg: cfg, ask: newForwarder(cfg.Forward)}
		err := s.listen(ctx)
		if err == nil {
			return s, nil
		}
		s.Close()
		if tries == 1 || cfg.Address.Port() != 0 {
			return nil, err
		}
	}
}

func (s *Server) listen(ctx context.Context) (err error) {
	address, tcp, udp := s.cfg.Address, "tcp6", []string{"udp6"}
	switch {
	case address.Addr().Is4():
		tcp, udp = "tcp4", []string{"udp4"}
	case address.Addr().IsUnspecified():
		// One UDP socket for both could not choose the address from which it sends by IPv4.
		tcp, udp = "tcp", []string{"udp6", "udp4"}
	}
	var config net.ListenConfig
	if s.stream, err = config.Listen(ctx, tcp, address.String()); err != nil {
		return err
	}
	port := s.stream.Addr().(*net.TCPAddr).AddrPort().Port()
	s.packets = nil
	for _, network := range udp {
		own := netip.AddrPortFrom(address.Addr(), port)
		if network == "udp4" && !address.Addr().Is4() {
			own = netip.AddrPortFrom(netip.IPv4Unspecified(), port)
		}
		packets, err := listenPackets(ctx, network, own)
		if err != nil {
			return err
		}
		s.packets = append(s.packets, packets)
	}
	return nil
}

// Addr returns where queries are taken.
func (s *Server) Addr() netip.AddrPort { return s.stream.Addr().(*net.TCPAddr).AddrPort() }

// Serve answers queries until ctx ends, and closes the sockets.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	for _, port := range s.packets {
		parts.Go(func() { cancel(s.servePackets(ctx, port)) })
	}
	parts.Go(func() { cancel(s.serveConnections(ctx)) })
	<-ctx.Done()
	s.Close()
	parts.Wait()
	s.ask.wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, net.ErrClosed) {
		return fmt.Errorf("answering DNS queries: %w", cause)
	}
	return nil
}

// Close closes the sockets. A server that serves ends.
func (s *Server) Close() error {
	var problems []error
	if s.stream != nil {
		problems = append(problems, s.stream.Close())
	}
	for _, port := range s.packets {
		problems = append(problems, port.conn.Close())
	}
	return errors.Join(problems...)
}

// pause waits after an error that may come again at once.
func pause(ctx context.Context) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
	}
}
