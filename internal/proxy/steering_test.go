package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/proxy/steering"
	"trellis/test/trellistest"
)

// steered has the kernel bring connections to resources to the proxy.
func steered(t *testing.T) func(*Config) {
	t.Helper()
	table, err := steering.New(resourceRange)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func(cfg *Config) { cfg.Steering, cfg.ResourceGates = table, steering.Gates(resourceRange) }
}

func TestAllPortsOfAResourceAreOpen(t *testing.T) {
	target := newPeer(t, "127.0.0.1:0", sendBack)
	w := newWorld(t, steered(t))
	address := w.resource("db", 1, atAddress("127.0.0.1"), "1-65535")
	old := reach(t, address, target.port)
	echoLine(t, old, "hello\n")
	other := w.resource("cache", 2, atAddress("127.0.0.1"), target.ports(), "9-10")
	echoLine(t, reach(t, other, target.port), "hello\n")
	if conn, err := net.Dial("tcp", netip.AddrPortFrom(other, 8).String()); err == nil {
		conn.Close()
		t.Error("a port outside the ranges is connected to")
	}
	if sockets := w.proxy.ResourceListeners(); len(sockets) != 1 {
		t.Errorf("there are the sockets %v", sockets)
	}
	resource, _ := w.router.Resource(address)
	if state := w.proxy.ResourceState(resource, address); !state.IsOpen(1) || !state.IsOpen(65535) || state.Closed != "" || len(state.Problems) != 0 {
		t.Errorf("the state is %+v", state)
	}
	w.resource("db", 1, atAddress("127.0.0.1"), "2-3")
	if conn, err := net.Dial("tcp", netip.AddrPortFrom(address, target.port).String()); err == nil {
		conn.Close()
		t.Error("a port that is no longer in the ranges is connected to")
	}
	echoLine(t, old, "after a change of the ranges\n")
	// The number of a resource that is gone is given to another one.
	w.delete(lattice.ServiceNetworkResourceAssociationKey(scope, "snra-db"))
	address = w.resource("next", 1, atAddress("127.0.0.1"), "1-65535")
	echoLine(t, reach(t, address, target.port), "hello\n")
	w.delete(lattice.ServiceNetworkResourceAssociationKey(scope, "snra-next"))
	if conn, err := net.Dial("tcp", netip.AddrPortFrom(address, target.port).String()); err == nil {
		conn.Close()
		t.Error("a resource that is gone is connected to")
	}
}

func TestThousandResourcesWithAllPortsTakeOneSocket(t *testing.T) {
	target := newPeer(t, "127.0.0.1:0", sendBack)
	w := newWorld(t, steered(t))
	records := []lattice.Record{w.resourceGateway()}
	for number := range uint32(1000) {
		records = append(records, w.resourceRecords(fmt.Sprintf("db%d", number), number+1, atAddress("127.0.0.1"), "1-65535")...)
	}
	w.put(records...)
	if sockets := w.proxy.ResourceListeners(); len(sockets) != 1 {
		t.Errorf("there are %d sockets, want one", len(sockets))
	}
	for _, number := range []uint32{1, 500, 1000} {
		echoLine(t, reach(t, resourceRange.Addresses(number)[0], target.port), "hello\n")
	}
}

func TestRangeOfAnotherProcessIsLeftAlone(t *testing.T) {
	at := netip.AddrPortFrom(resourceRange.IPv4.Addr(), 7659)
	for name, change := range map[string]func(*Config){
		"steered": steered(t), "bound": func(cfg *Config) { cfg.ResourceGates = []netip.AddrPort{at} },
	} {
		t.Run(name, func(t *testing.T) {
			target := newPeer(t, "127.0.0.1:0", sendBack)
			gate, err := net.Listen("tcp", at.String())
			if err != nil {
				t.Fatal(err)
			}
			defer gate.Close()
			w := newWorld(t, change)
			address := w.resource("db", 1, atAddress("127.0.0.1"), target.ports())
			if conn, err := net.Dial("tcp", netip.AddrPortFrom(address, target.port).String()); err == nil {
				conn.Close()
				t.Error("the resource is connected to")
			}
			resource, _ := w.router.Resource(address)
			if state := w.proxy.ResourceState(resource, address); len(state.Open) != 0 || !strings.Contains(state.Closed, "each node on a machine needs a range of its own") {
				t.Errorf("the state is %+v", state)
			}
			gate.Close()
			trellistest.Await(t, func() bool { return w.proxy.ResourceState(resource, address).Closed == "" }, "the range is taken once it is free")
			echoLine(t, reach(t, address, target.port), "hello\n")
		})
	}
}

func TestShutdownEndsTheSteering(t *testing.T) {
	target := newPeer(t, "127.0.0.1:0", sendBack)
	w := newWorld(t, steered(t))
	address := w.resource("db", 1, atAddress("127.0.0.1"), "1-65535")
	echoLine(t, reach(t, address, target.port), "hello\n")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.proxy.Shutdown(ctx); err == nil {
		t.Error("nothing was broken off")
	}
	everywhere := newPeer(t, "0.0.0.0:0", sendBack)
	echoLine(t, reach(t, address, everywhere.port), "nobody steers any more\n")
}
