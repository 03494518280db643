package trellistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Free ports are chosen below those that systems give out by themselves, to connections and to listeners on port 0: Linux
// from 32768 on, others from 49152 on. Any of those could be taken before the program binds it.
const (
	lowestPort  = 12000
	highestPort = 32000
)

// FreePort returns a port of the loopback on which nobody listens, and which nobody else gets from FreePort, or from
// free_port in test/clients/python, until the test is over: it is reserved by a UDP socket of the same number.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if reservation := reserve(address); reservation != nil {
			t.Cleanup(func() { reservation.Close() })
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// reserve reserves an address of TCP by a UDP socket, or returns nil if somebody has it.
func reserve(address string) net.PacketConn {
	reservation, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		reservation.Close()
		return nil
	}
	listener.Close()
	return reservation
}
