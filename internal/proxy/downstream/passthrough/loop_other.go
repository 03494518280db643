//go:build !linux

package passthrough

import (
	"errors"
	"net"
	"net/netip"

	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/upstream"
)

// loops exist on Linux only. Elsewhere a goroutine moves the bytes of each direction.
type loops struct{}

func newLoops(*Mover) *loops { return &loops{} }

func (l *loops) close() {}

func (l *loops) exist() bool { return false }

func (l *loops) acceptor(listener *net.TCPListener) (socket.Acceptor, error) {
	return socket.AcceptTCP(listener), nil
}

func (l *loops) bothWays(*downstream.Conn, func(n int), func(n int)) outcome { return outcome{} }

func (l *loops) carryTo(*downstream.Conn, netip.AddrPort, *upstream.Pools, way) (outcome, error) {
	return outcome{}, errors.ErrUnsupported
}
