package proxy

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/shape"
	"trellis/internal/tally"
	"trellis/test/trellistest"
)

// resourceRange belongs to the tests of this package alone, since those of other packages run at the same time.
var resourceRange = lattice.ResourceRange{IPv4: trellistest.ResourceRange()}

// deadAddress is where nobody listens: who tries a port there that a peer of the test has at 127.0.0.1 is refused. The port of a
// listener that has been closed could be another process's at once.
const deadAddress = "127.0.0.4"

// peer plays a resource: it serves each connection with a function.
type peer struct {
	listener net.Listener
	port     uint16
}

func newPeer(t testing.TB, address string, serve func(*net.TCPConn)) *peer {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	trellistest.Serve(t, listener, serve)
	return &peer{listener: listener, port: listener.Addr().(*net.TCPAddr).AddrPort().Port()}
}

func (p *peer) ports() string { return strconv.Itoa(int(p.port)) }

// sendBack sends back what comes, and the end after it.
func sendBack(conn *net.TCPConn) {
	io.Copy(conn, conn)
	conn.CloseWrite()
}

// resource makes an association snra-NAME of a resource configuration with the definition and the port ranges, and returns its
// address.
func (w *world) resource(name string, number uint32, definition *shape.ResourceConfigurationDefinition, ports ...string) netip.Addr {
	w.put(append(w.resourceRecords(name, number, definition, ports...), w.resourceGateway())...)
	return resourceRange.Addresses(number)[0]
}

func (w *world) resourceGateway() *lattice.ResourceGateway {
	return &lattice.ResourceGateway{Base: w.base("rgw-1"), VpcID: "vpc-1", IPAddressType: shape.ResourceGatewayIpAddressTypeIpv4}
}

func (w *world) resourceRecords(name string, number uint32, definition *shape.ResourceConfigurationDefinition, ports ...string) []lattice.Record {
	return []lattice.Record{
		&lattice.ResourceConfiguration{Base: w.base("rcfg-" + name), Type: shape.ResourceConfigurationTypeSingle,
			ResourceGatewayID: "rgw-1", PortRanges: ports, Definition: definition},
		&lattice.ServiceNetworkResourceAssociation{Base: w.base("snra-" + name), ServiceNetworkID: "sn-1",
			ResourceConfigurationID: "rcfg-" + name, DomainName: "snra-" + name + ".lattice.test", AddressNumber: number},
	}
}

func atAddress(address string) *shape.ResourceConfigurationDefinition {
	return &shape.ResourceConfigurationDefinition{IpResource: &shape.IpResource{IpAddress: &address}}
}

func named(name string) *shape.ResourceConfigurationDefinition {
	return &shape.ResourceConfigurationDefinition{DnsResource: &shape.DnsResource{DomainName: &name}}
}

// reach connects to a resource.
func reach(t testing.TB, address netip.Addr, port uint16) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", netip.AddrPortFrom(address, port).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(50 * time.Second))
	return conn.(*net.TCPConn)
}

// refusal connects to a resource that cannot be reached, and returns what the client sees.
func refusal(address netip.Addr, port uint16) error {
	conn, err := net.Dial("tcp", netip.AddrPortFrom(address, port).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(50 * time.Second))
	_, err = conn.Read(make([]byte, 1))
	return err
}

// echoLine sends a line and expects it back.
func echoLine(t testing.TB, conn net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(conn, line); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(line))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != line {
		t.Fatalf("%q came back, error %v; want %q", got, err, line)
	}
}

func TestResourceIsReachedAtItsAddress(t *testing.T) {
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", sendBack)
	address := w.resource("db", 1, atAddress("127.0.0.1"), target.ports())
	echoLine(t, reach(t, address, target.port), "hello\n")
}

func TestEndOfOneSideOfAResourceLeavesTheOtherOpen(t *testing.T) {
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", func(conn *net.TCPConn) {
		asked, _ := io.ReadAll(conn) // Up to the client's end.
		conn.Write(append(asked, " answered"...))
	})
	conn := reach(t, w.resource("db", 1, atAddress("127.0.0.1"), target.ports()), target.port)
	io.WriteString(conn, "asked")
	conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "asked answered" {
		t.Errorf("after the client's end %q came, error %v", got, err)
	}
}

func TestLargeTransfersToAndFromAResourceArriveWhole(t *testing.T) {
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", sendBack)
	conn := reach(t, w.resource("db", 1, atAddress("127.0.0.1"), target.ports()), target.port)
	sent := make([]byte, 8<<20)
	rand.NewChaCha8([32]byte{7}).Read(sent)
	var sending sync.WaitGroup
	sending.Go(func() {
		conn.Write(sent)
		conn.CloseWrite()
	})
	got, err := io.ReadAll(conn)
	sending.Wait()
	if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Errorf("%d bytes came back, error %v; want the %d bytes that were sent", len(got), err, len(sent))
	}
}

func TestResetsPassThroughToAndFromAResource(t *testing.T) {
	w := newWorld(t)
	seen := make(chan error, 1)
	target := newPeer(t, "127.0.0.1:0", func(conn *net.TCPConn) {
		line := make([]byte, 1)
		io.ReadFull(conn, line)
		if line[0] == 'r' { // Resets.
			conn.SetLinger(0)
			return
		}
		conn.Write(line)
		_, err := conn.Read(line)
		seen <- err
	})
	address := w.resource("db", 1, atAddress("127.0.0.1"), target.ports())

	conn := reach(t, address, target.port)
	io.WriteString(conn, "r")
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset of the target: %v", err)
	}
	conn = reach(t, address, target.port)
	echoLine(t, conn, "x")
	conn.SetLinger(0)
	conn.Close()
	if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset of the client the target sees %v", err)
	}
}

func TestClientOfAResourceWithoutTargetIsReset(t *testing.T) {
	w := newWorld(t)
	port := trellistest.RefusingAddress(t).AddrPort().Port()
	address := w.resource("db", 1, atAddress("127.0.0.1"), strconv.Itoa(int(port)))
	if err := refusal(address, port); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
	resource, _ := w.router.Resource(address)
	trellistest.Await(t, func() bool { return w.proxy.ResourceState(resource, address).Failure != nil }, "the failure is noted")
	if failure := w.proxy.ResourceState(resource, address).Failure; !strings.Contains(failure.Problem, "connection refused") || failure.Count != 1 {
		t.Errorf("the failure is %+v", failure)
	}
}

func TestDefinitionOfAResourceChangesForNewConnections(t *testing.T) {
	w := newWorld(t)
	answer := func(text string) func(*net.TCPConn) {
		return func(conn *net.TCPConn) {
			for range 2 {
				io.ReadFull(conn, make([]byte, 1))
				io.WriteString(conn, text)
			}
		}
	}
	first := newPeer(t, "127.0.0.1:0", answer("1"))
	newPeer(t, "127.0.0.2:"+first.ports(), answer("2"))
	address := w.resource("db", 1, atAddress("127.0.0.1"), first.ports())
	ask := func(conn net.Conn) string {
		io.WriteString(conn, "?")
		got := make([]byte, 1)
		io.ReadFull(conn, got)
		return string(got)
	}
	old := reach(t, address, first.port)
	if got := ask(old); got != "1" {
		t.Fatalf("the first target answers %q", got)
	}
	w.resource("db", 1, atAddress("127.0.0.2"), first.ports(), "1")
	if got := ask(reach(t, address, first.port)); got != "2" {
		t.Errorf("a new connection goes to %q, want 2", got)
	}
	if got := ask(old); got != "1" {
		t.Errorf("the old connection goes to %q, want 1", got)
	}
}

func TestPortsOutsideTheRangesAreRefused(t *testing.T) {
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", sendBack)
	address := w.resource("db", 1, atAddress("127.0.0.1"), target.ports())
	old := reach(t, address, target.port)
	echoLine(t, old, "before\n")
	w.resource("db", 1, atAddress("127.0.0.1"), "2-3")
	if conn, err := net.Dial("tcp", netip.AddrPortFrom(address, target.port).String()); err == nil {
		conn.Close()
		t.Error("a port that is no longer in the ranges is connected to")
	}
	echoLine(t, old, "after\n")
}

func TestWidePortRangesAreBoundAtWellKnownPorts(t *testing.T) {
	target := newPeer(t, "127.0.0.1:0", sendBack)
	w := newWorld(t, func(cfg *Config) {
		cfg.ResourcePorts, cfg.Unsteered = []int{int(target.port), 7}, errors.New("not here")
	})
	address := w.resource("db", 1, atAddress("127.0.0.1"), "20010-65535", "20000-20001")
	echoLine(t, reach(t, address, target.port), "hello\n")
	resource, _ := w.router.Resource(address)
	state := w.proxy.ResourceState(resource, address)
	want := []lattice.PortRange{{From: 20000, To: 20001}, {From: int(target.port), To: int(target.port)}}
	if !slices.Equal(state.Open, want) {
		t.Errorf("the ports %v are open, want %v; the problems are %v", state.Open, want, state.Problems)
	}
	if !strings.Contains(state.Closed, "--resource-ports are open: not here") {
		t.Errorf("the reason why others are closed is %q, want one with --resource-ports", state.Closed)
	}
}

func TestResourceSocketsAreBounded(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Limits.ResourceSockets = 3 })
	address := w.resource("db", 1, atAddress("127.0.0.1"), "20000-20009")
	resource, _ := w.router.Resource(address)
	state := w.proxy.ResourceState(resource, address)
	open := 0
	for _, r := range state.Open {
		open += r.To - r.From + 1
	}
	if open != 3 || len(state.Problems) != 7 {
		t.Errorf("%d ports are open, %d are a problem; want 3 and 7", open, len(state.Problems))
	}
}

func TestIdleConnectionToAResourceEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *Config) { cfg.ResourceIdleTimeout = 5 * time.Second })
	target := newPeer(t, "127.0.0.1:0", sendBack)
	conn := reach(t, w.resource("db", 1, atAddress("127.0.0.1"), target.ports()), target.port)
	echoLine(t, conn, "hello\n")
	expectEnd(t, conn)
}

// The clock is the sweeper's, so that 350 seconds need not pass.
func TestConnectionToAResourceEndsAfter350SecondsWithoutBytes(t *testing.T) {
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", sendBack)
	conn := reach(t, w.resource("db", 1, atAddress("127.0.0.1"), target.ports()), target.port)
	echoLine(t, conn, "hello\n")
	w.sweepIn(349 * time.Second)
	echoLine(t, conn, "before the timeout\n")
	w.sweepIn(351 * time.Second)
	expectEnd(t, conn)
}

func TestClientSeesThatATargetHasDiedInTheMiddle(t *testing.T) {
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", func(conn *net.TCPConn) {
		io.ReadFull(conn, make([]byte, 1))
		conn.Write(make([]byte, 300<<10))
		conn.SetLinger(0) // As the kernel does for a process that is killed with something unread.
	})
	conn := reach(t, w.resource("db", 1, atAddress("127.0.0.1"), target.ports()), target.port)
	io.WriteString(conn, "?")
	if n, err := io.Copy(io.Discard, conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after %d bytes: error %v", n, err)
	}
}

func TestNoWayToEndAConnectionToAResourceLeavesAnythingBehind(t *testing.T) {
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", func(conn *net.TCPConn) {
		kind := make([]byte, 1)
		io.ReadFull(conn, kind)
		switch kind[0] {
		case 'r':
			conn.SetLinger(0)
		case 'e': // Ends, and reads on.
			conn.CloseWrite()
			io.Copy(io.Discard, conn)
		case 'm': // Much, through a pipe.
			conn.Write(make([]byte, 1<<20))
		default:
			sendBack(conn)
		}
	})
	address, none := w.resource("db", 1, atAddress("127.0.0.1"), target.ports()), w.resource("none", 2, atAddress(deadAddress), target.ports())
	round := func() {
		for _, kind := range []string{"r", "e", "m", "half", "reset", "close", "none"} {
			if kind == "none" {
				refusal(none, target.port)
				continue
			}
			conn := reach(t, address, target.port)
			io.WriteString(conn, kind)
			switch kind {
			case "half":
				conn.CloseWrite()
				io.Copy(io.Discard, conn)
			case "r", "m", "e":
				io.Copy(io.Discard, conn)
			case "reset":
				conn.SetLinger(0)
			}
			conn.Close()
		}
		trellistest.Await(t, func() bool { return w.proxy.Usage().Open == 0 }, "all connections have ended")
	}
	round()
	files, goroutines := trellistest.OpenFiles(t, os.Getpid()), runtime.NumGoroutine()
	for range 20 {
		round()
	}
	// Pipes of splice are kept for later, a few of them.
	trellistest.Await(t, func() bool {
		return trellistest.OpenFiles(t, os.Getpid()) <= files+8 && runtime.NumGoroutine() <= goroutines+4
	}, "nothing is left of 140 connections")
}

func TestDeletedResourceEndsConnectionsAfterTheDrainTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *Config) { cfg.Drain = 5 * time.Second })
	target := newPeer(t, "127.0.0.1:0", sendBack)
	address := w.resource("db", 1, atAddress("127.0.0.1"), target.ports())
	conn := reach(t, address, target.port)
	echoLine(t, conn, "before\n")
	w.delete(lattice.ServiceNetworkResourceAssociationKey(scope, "snra-db"))
	if again, err := net.Dial("tcp", netip.AddrPortFrom(address, target.port).String()); err == nil {
		again.Close()
		t.Error("a new connection was made")
	}
	echoLine(t, conn, "while it drains\n")
	expectEnd(t, conn)
}

func TestAddressesOfANameAreTriedInTurn(t *testing.T) {
	target := newPeer(t, "127.0.0.1:0", sendBack)
	var mu sync.Mutex
	answer := []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.0.1")} // Nobody listens at the first.
	w := newWorld(t, func(cfg *Config) {
		cfg.Resolve = func(_ context.Context, target *routing.ResourceTarget) ([]netip.Addr, error) {
			mu.Lock()
			defer mu.Unlock()
			if target.Name != "db.test" {
				return nil, errors.New("another name")
			}
			return answer, nil
		}
	})
	address := w.resource("db", 1, named("db.test"), target.ports())
	echoLine(t, reach(t, address, target.port), "hello\n")

	newPeer(t, "127.0.0.3:"+target.ports(), func(conn *net.TCPConn) { io.WriteString(conn, "moved") })
	mu.Lock()
	answer = []netip.Addr{netip.MustParseAddr("127.0.0.3")}
	mu.Unlock()
	if got, err := io.ReadAll(reach(t, address, target.port)); string(got) != "moved" {
		t.Errorf("after the name has another address: %q, error %v", got, err)
	}
}

func TestConnectionsToResourcesCountAgainstTheLimits(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Limits.PerSource = 1 })
	target := newPeer(t, "127.0.0.1:0", sendBack)
	address := w.resource("db", 1, atAddress("127.0.0.1"), target.ports())
	echoLine(t, reach(t, address, target.port), "one\n")
	if err := refusal(address, target.port); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a second connection from the source: %v", err)
	}
	if usage := w.proxy.Usage(); usage.Open != 1 || usage.Refused != 1 {
		t.Errorf("usage %+v", usage)
	}
}

func TestShutdownEndsConnectionsToResources(t *testing.T) {
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", sendBack)
	conn := reach(t, w.resource("db", 1, atAddress("127.0.0.1"), target.ports()), target.port)
	echoLine(t, conn, "hello\n")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.proxy.Shutdown(ctx); err == nil {
		t.Error("nothing was broken off")
	}
	expectEnd(t, conn)
}

func TestIdleConnectionsToResourcesAreManyAndLeaveNothing(t *testing.T) {
	const count = 400 // More than a loop is told of at once, and more than there may be workers that wait.
	before := runtime.NumGoroutine()
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", sendBack)
	address := w.resource("db", 1, atAddress("127.0.0.1"), target.ports())
	conns := make([]*net.TCPConn, count)
	for i := range conns {
		conns[i] = reach(t, address, target.port)
	}
	for _, conn := range conns {
		echoLine(t, conn, "x")
	}
	if usage := w.proxy.Usage(); usage.Open != count {
		t.Errorf("%d connections are open", usage.Open)
	}
	for _, conn := range conns {
		conn.Close()
	}
	trellistest.Await(t, func() bool { return w.proxy.Usage().Open == 0 }, "all connections have ended")
	trellistest.Await(t, func() bool { return runtime.NumGoroutine() < before+int(w.proxy.workers.idle.Load())+50 }, "their goroutines have ended, or wait for a connection")
}

// connections returns what is known of connections to resources, once there are so many and all have ended.
func (w *world) connections(n int, resource *routing.Resource) (records []accesslog.ResourceRecord, totals tally.Totals) {
	w.t.Helper()
	trellistest.Await(w.t, func() bool {
		resource.Exchanges.Read(&totals)
		return totals.Active == 0 && totals.Outcomes[tally.Passed] == uint64(n)
	}, "%d connections have ended", n)
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.reached), totals
}

func TestConnectionsToAResourceAreRecordedAndCounted(t *testing.T) {
	w := newWorld(t)
	target := newPeer(t, "127.0.0.1:0", func(conn *net.TCPConn) {
		io.ReadFull(conn, make([]byte, len("question")))
		io.WriteString(conn, "answer")
	})
	address := w.resource("db", 1, atAddress("127.0.0.1"), target.ports())
	resource, _ := w.router.Resource(address)
	conn := reach(t, address, target.port)
	io.WriteString(conn, "question")
	if got, err := io.ReadAll(conn); string(got) != "answer" || err != nil {
		t.Fatalf("%q came, error %v", got, err)
	}
	conn.Close()
	records, totals := w.connections(1, resource)
	if len(records) != 1 {
		t.Fatalf("there are %d records", len(records))
	}
	r, client := records[0], conn.LocalAddr().(*net.TCPAddr).AddrPort()
	if r.Problem != nil || r.Source != client || r.Destination != netip.AddrPortFrom(address, target.port) || r.Resource.Port() != target.port ||
		!r.Gateway.IsValid() || r.AssociationID != "snra-db" || r.EndpointID != "" || r.NetworkARN == "" || r.ConfigurationARN == "" || r.Name != "the-rcfg-db" ||
		r.Start.IsZero() {
		t.Errorf("the record is %+v", r)
	}
	if totals.Received != int64(len("question")) || totals.Sent != int64(len("answer")) || totals.Failures != [tally.MaxFailures]int64{} {
		t.Errorf("the counters are %+v", totals)
	}

	// The record of a connection that lasts is there at once.
	newPeer(t, "127.0.0.2:"+target.ports(), func(conn *net.TCPConn) {
		io.ReadFull(conn, make([]byte, 1))
		conn.SetLinger(0)
	})
	w.resource("db", 1, atAddress("127.0.0.2"), target.ports())
	conn = reach(t, address, target.port)
	trellistest.Await(t, func() bool {
		resource.Exchanges.Read(&totals)
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.reached) == 2 && totals.Active == 1
	}, "the open connection has a record")
	io.WriteString(conn, "x")
	conn.Read(make([]byte, 1))
	w.resource("db", 1, atAddress(deadAddress), target.ports())
	refusal(address, target.port)
	records, totals = w.connections(3, resource)
	if len(records) != 3 || records[1].Problem != nil || records[2].Problem == nil || records[2].Resource.IsValid() {
		t.Errorf("the records are %+v", records)
	}
	if totals.Failures[accesslog.TargetConnectionClosed.Number()] != 1 || totals.Failures[accesslog.TargetConnectionError.Number()] != 1 {
		t.Errorf("the failures are %v", totals.Failures)
	}
}
