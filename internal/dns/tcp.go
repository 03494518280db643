package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"codeberg.org/miekg/dns"
)

const (
	// maxConnections bounds the connections of TCP, which few clients use. Others wait in the kernel.
	maxConnections = 256
	// idleTimeout is how long a connection may be idle, and a message may take (RFC 7766 6.2.3 proposes some seconds).
	idleTimeout = 10 * time.Second
	maxTCPBytes = 64 << 10
)

// serveConnections answers queries over TCP.
func (s *Server) serveConnections(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	places, shares := make(chan struct{}, maxConnections), newShares()
	for {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		conn, err := s.stream.Accept()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if err == nil {
				conn.Close()
			}
			return ctx.Err()
		case err != nil:
			<-places
			s.cfg.Log.Warn("accepting a connection for DNS", "error", err)
			pause(ctx)
			continue
		}
		client := addressOf(conn.RemoteAddr())
		if !shares.enter(client) {
			conn.Close()
			<-places
			s.dropped.Add(1)
			continue
		}
		running.Go(func() {
			defer func() { <-places }()
			defer shares.leave(client)
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			s.serveConnection(ctx, conn)
		})
	}
}

// serveConnection answers queries of a connection one after another until its client ends it or is idle for too long.
func (s *Server) serveConnection(ctx context.Context, conn net.Conn) {
	client, local := addressOf(conn.RemoteAddr()), addressOf(conn.LocalAddr())
	for {
		runtime.Gosched() // Connections take turns, and other parts of the node too: with many queries waiting, no read would block.
		conn.SetDeadline(time.Now().Add(idleTimeout))
		bytes, err := readMessage(conn)
		if err != nil {
			return
		}
		m, ok := read(bytes)
		if !ok {
			if m == nil || !s.sendMessage(conn, m) {
				return
			}
			continue
		}
		response, forward := s.answer(query{Msg: m, client: client, local: local})
		if !forward {
			if !s.sendMessage(conn, response) {
				return
			}
			continue
		}
		var forwarded []byte
		if s.ask.take(client) {
			forwarded, err = s.ask.forward(ctx, "tcp", bytes)
			s.ask.give(client)
		} else {
			err = errBusy
		}
		if err != nil {
			s.cfg.Log.Debug("a query could not be forwarded", "name", m.Question[0].Header().Name, "error", err)
			if !s.sendMessage(conn, failed(m, dns.RcodeServerFailure)) {
				return
			}
			continue
		}
		s.count(forwarded)
		if writeMessage(conn, forwarded) != nil {
			return
		}
	}
}

func addressOf(end net.Addr) netip.Addr { return end.(*net.TCPAddr).AddrPort().Addr().Unmap() }

func (s *Server) sendMessage(conn net.Conn, response *dns.Msg) bool {
	bytes, err := pack(response, maxTCPBytes-1)
	if err != nil {
		s.cfg.Log.Error("packing a DNS response", "error", err)
		return false
	}
	s.count(bytes)
	return writeMessage(conn, bytes) == nil
}

// readMessage reads a message with its length in front (RFC 1035 4.2.2). It allocates memory as bytes arrive.
func readMessage(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	want := int64(binary.BigEndian.Uint16(length[:]))
	bytes, err := io.ReadAll(io.LimitReader(r, want))
	if err == nil && int64(len(bytes)) < want {
		err = io.ErrUnexpectedEOF
	}
	return bytes, err
}

func writeMessage(w io.Writer, bytes []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(bytes))), bytes...))
	return err
}
