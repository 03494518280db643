package trellistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
)

// ResourceRange returns a network of the loopback for the resources of a node. No other node has it: tests of other packages, or
// of another working tree, may run on the machine at the same time.
func ResourceRange() netip.Prefix {
	for {
		network := fmt.Sprintf("127.%d.0.0", 100+rand.IntN(150))
		// A node binds this port of the first address before it has resources (internal/proxy/steering).
		gate, err := net.Listen("tcp", network+":7659")
		if err == nil {
			gate.Close()
			return netip.MustParsePrefix(network + "/16")
		}
	}
}
