package stories_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// The size of the fault tests, which the soak factor multiplies: clients that misbehave at the same time, up to the
// 5,000 of the soak, and how long each fault lasts.
const (
	faultClients    = 500
	maxFaultClients = 5000
	faultTime       = time.Second
	maxFaultTime    = 10 * time.Second
	leastRequests   = 100 // to other services, during each fault
)

// maxFaultBytes is how much memory a client that misbehaves may cost: a connection, its head and a few buffers.
const maxFaultBytes = 200 << 10

// faultWorld is a program with a service whose traffic must not suffer, and one whose targets or clients misbehave.
type faultWorld struct {
	program   *trellistest.Process
	port      int
	good, bad string // hosts
	refused   string // the host of a service with a target that nobody listens for
	target    *faultyTarget
	clients   int
	duration  time.Duration // of each fault
	table     []string
}

// TestFaultsOfTargetsAndClientsHarmNobodyElse lets targets and clients misbehave in each of many ways, and looks at the
// traffic of another service meanwhile, at what the victims see, and at the memory. The times stand in a table; they
// depend on the machine, so nothing is asserted of them.
func TestFaultsOfTargetsAndClientsHarmNobodyElse(t *testing.T) {
	t.Parallel()
	w := newFaultWorld(t)
	w.measure(t, "nothing", "", func(ctx context.Context, t *testing.T) { <-ctx.Done() })
	for _, fault := range targetFaults() {
		host := w.bad
		if fault.behave == nil {
			host = w.refused
		} else {
			w.target.behave(fault.behave)
		}
		w.measure(t, "target "+fault.name, fault.expected, func(ctx context.Context, t *testing.T) {
			w.hit(ctx, t, host, fault)
		})
	}
	for _, fault := range clientFaults() {
		w.target.behave(answer)
		if fault.target != nil {
			w.target.behave(fault.target)
		}
		w.measure(t, fmt.Sprintf("%d clients: %s", w.clients, fault.name), "", func(ctx context.Context, t *testing.T) {
			w.misbehave(ctx, t, fault.misbehave)
		})
	}
	w.target.behave(answer)
	// What misbehaved is gone, and the service that it was aimed at works.
	c := &keptClient{host: w.bad, dial: w.dial}
	defer c.close()
	if err := c.get("/", greeting); err != nil {
		t.Errorf("after all faults: %v", err)
	}
	t.Logf("other traffic, while\n%s", strings.Join(w.table, "\n"))
}

func newFaultWorld(t *testing.T) *faultWorld {
	t.Helper()
	factor := soakFactor(t)
	w := &faultWorld{
		port: trellistest.FreePort(t), clients: min(faultClients*factor, maxFaultClients), duration: min(faultTime*time.Duration(factor), maxFaultTime),
	}
	// Without the race detector, which multiplies the memory.
	w.program = trellistest.Start(t, trellistest.BuildFast(t), "dev", "--port-map", fmt.Sprintf("80=%d", w.port), "--drain-timeout", "1s", "--ca-dir", t.TempDir())
	api := anybody(w.program.API)
	ctx := t.Context()
	network := must(api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("faults")}))(t)
	build := func(name string, port int32) string {
		group := must(api.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{
			Name: &name, Type: types.TargetGroupTypeIp,
			Config: &types.TargetGroupConfig{
				Protocol: types.TargetGroupProtocolHttp, Port: &port, VpcIdentifier: aws.String("vpc-0123456789abcdef0"),
				// The data plane has to find out by itself.
				HealthCheck: &types.HealthCheckConfig{Enabled: aws.Bool(false)},
			},
		}))(t)
		must(api.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: group.Id, Targets: targets(port)}))(t)
		service := must(api.CreateService(ctx, &vpclattice.CreateServiceInput{Name: &name}))(t)
		must(api.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
			ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id}))(t)
		must(api.CreateListener(ctx, &vpclattice.CreateListenerInput{
			ServiceIdentifier: service.Id, Name: aws.String("http"), Protocol: types.ListenerProtocolHttp, Port: aws.Int32(80),
			DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: group.Id}}}},
		}))(t)
		return *service.DnsEntry.DomainName
	}
	w.good = build("good", startBackend(t).port)
	w.target = startFaultyTarget(t)
	w.bad = build("bad", w.target.port)
	w.refused = build("refused", int32(trellistest.FreePort(t)))
	return w
}

func (w *faultWorld) dial() (net.Conn, error) { return net.Dial("tcp", local(w.port)) }

// measure sends requests to the good service while something else happens, and adds a line to the table.
func (w *faultWorld) measure(t *testing.T, name, expected string, during func(ctx context.Context, t *testing.T)) {
	t.Helper()
	before := residentBytes(t, w.program)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { during(ctx, t) })
	var times []time.Duration
	c := &keptClient{host: w.good, dial: w.dial}
	defer c.close()
	started := time.Now()
	for failures := 0; failures < 3 && (time.Since(started) < w.duration || len(times) < leastRequests); {
		began := time.Now()
		if err := c.get("/", greeting); err != nil {
			t.Errorf("a request to another service, while %s: %v", name, err)
			failures++
			c.close()
		}
		times = append(times, time.Since(began))
		time.Sleep(200 * time.Microsecond) // Other tests need the processors too.
	}
	after := residentBytes(t, w.program)
	cancel()
	running.Wait()
	after = max(after, residentBytes(t, w.program))
	slices.Sort(times)
	w.table = append(w.table, fmt.Sprintf("  %-48s p50 %6.2f ms, p99 %6.2f ms, memory %4d to %4d MB  %s", name,
		times[len(times)/2].Seconds()*1e3, times[len(times)*99/100].Seconds()*1e3, before>>20, after>>20, expected))
	if allowed := int64(w.clients)*maxFaultBytes + 32<<20; after-before > allowed {
		t.Errorf("while %s the memory grew by %d MB, from %d MB; more than %d MB is too much", name, (after-before)>>20, before>>20, allowed>>20)
	}
}

// hit sends requests to the bad service from several clients, each of which gives up after a while, and compares what
// they see with what they should.
func (w *faultWorld) hit(ctx context.Context, t *testing.T, host string, fault targetFault) {
	var running sync.WaitGroup
	for range 16 {
		running.Go(func() {
			for ctx.Err() == nil {
				if seen := w.see(host); seen != fault.expected {
					t.Errorf("a target %s: the client sees %s; expected is %s", fault.name, seen, fault.expected)
					return
				}
				time.Sleep(20 * time.Millisecond) // The fault is to be seen in the times, not the load.
			}
		})
	}
	running.Wait()
}

// patience is after what time a client gives up.
const patience = 300 * time.Millisecond

// see makes a request to the bad service on a new connection and says in a word what comes of it.
func (w *faultWorld) see(host string) string {
	conn, err := w.dial()
	if err != nil {
		return "no connection: " + err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if isTimeout(err) {
		return "nothing"
	}
	if err != nil {
		return "a broken head: " + err.Error()
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	switch {
	case isTimeout(err):
		return strconv.Itoa(response.StatusCode) + " and a part of the body"
	case err != nil:
		return strconv.Itoa(response.StatusCode) + " and a broken body"
	default:
		return strconv.Itoa(response.StatusCode)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// misbehave runs clients that misbehave at the same time, until ctx ends.
func (w *faultWorld) misbehave(ctx context.Context, t *testing.T, fn func(ctx context.Context, w *faultWorld, conn net.Conn)) {
	var running sync.WaitGroup
	for range w.clients {
		running.Go(func() {
			time.Sleep(rand.N(w.duration / 2))
			conn, err := w.dial()
			if err != nil {
				t.Errorf("connecting: %v", err)
				return
			}
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
			defer stop()
			fn(ctx, w, conn)
		})
	}
	running.Wait()
}

// residentBytes returns how much memory the program has, or 0 where that cannot be found out.
func residentBytes(t *testing.T, p *trellistest.Process) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	statm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID()), "statm"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(statm))
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
