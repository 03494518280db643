package trellistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
)

// networks are the sockets that reserve networks, which would be closed if nothing referred to them.
var networks struct {
	sync.Mutex
	reserved []net.PacketConn
}

// ResourceRange returns a network of the loopback for the resources of a node. Until the process ends no other node has it: tests of
// other packages, or of another working tree, may run on the machine at the same time.
func ResourceRange() netip.Prefix {
	for range 1000 {
		network := fmt.Sprintf("127.%d.0.0", 100+rand.IntN(150))
		// A node binds this port of the first address before it has resources (internal/proxy/steering).
		if reservation := reserve(network + ":7659"); reservation != nil {
			networks.Lock()
			defer networks.Unlock()
			networks.reserved = append(networks.reserved, reservation)
			return netip.MustParsePrefix(network + "/16")
		}
	}
	panic("no network of the loopback is free for resources")
}
