package stories_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// The size of the fault tests, which the soak factor multiplies: how many clients misbehave at the same time, up to the
// 5,000 of the soak, how long each fault lasts, and how long normal operation is measured before it.
const (
	faultClients    = 500
	maxFaultClients = 5000
	faultTime       = time.Second
	maxFaultTime    = 10 * time.Second
	normalTime      = 300 * time.Millisecond
)

// What a misbehaving client may cost (a connection, its head and a few buffers), and what anything may cost.
const (
	maxFaultBytes    = 128 << 10
	maxBytesAnywhere = 32 << 20
)

// faultWorld is a program with a service whose traffic must not suffer, and one whose targets or clients misbehave. The
// program, the measurement and the misbehaviour have a process each.
type faultWorld struct {
	prober   *subprocess
	faults   *subprocess
	servers  []*faultServer // the program, and what it is compared with
	clients  int
	duration time.Duration // of each fault
	normal   time.Duration
	table    []string
}

// faultServer is a proxy with these services.
type faultServer struct {
	name      string
	program   *trellistest.Process // nil for one that is not ours
	port      int
	good, bad string // hosts
	refused   string // the host of a service with a target that nobody listens for
}

// TestFaultsOfTargetsAndClientsHarmNobodyElse makes targets and clients misbehave in many ways, and measures the traffic of
// another service at the same time, what the victims see, and the memory. A table shows the times; they depend on the
// machine, so the test asserts nothing about them.
func TestFaultsOfTargetsAndClientsHarmNobodyElse(t *testing.T) {
	t.Parallel()
	w := newFaultWorld(t)
	measure := func(name string, fault FaultArgs) {
		t.Run(name, func(t *testing.T) {
			for _, server := range w.servers {
				w.measureQuietly(t, server, name, fault)
			}
		})
	}
	measure("nothing", FaultArgs{})
	for _, fault := range targetFaults() {
		measure("target "+fault.name, FaultArgs{TargetFault: fault.name, Refused: fault.behave == nil})
	}
	for _, fault := range clientFaults() {
		measure(fmt.Sprintf("%d clients %s", w.clients, fault.name), FaultArgs{ClientFault: fault.name, Clients: w.clients})
	}
	// The misbehaving side has gone, and the service that it was aimed at works.
	c := &keptClient{host: w.servers[0].bad, dial: dialTCP(local(w.servers[0].port))}
	defer c.close()
	if err := c.get("/", greeting); err != nil {
		t.Errorf("after all faults: %v", err)
	}
	t.Logf("the traffic of another service, %d requests a second, milliseconds; and the program's memory, MB\n%s\n%s\n%s", probeRate,
		fmt.Sprintf(rowFormat, "", "", "", "normally", "", "arriving", "meanwhile", "", "", "", "memory", "", ""),
		fmt.Sprintf(rowFormat, "while", "", "requests", "p50", "p99", "p99", "p50", "p99", "ratio", "longest", "before", "peak", "stolen"),
		strings.Join(w.table, "\n"))
}

// rowFormat is a line of the table.
const rowFormat = "  %-50s %-8s %8v %8v %8v %9v %9v %8v %6v %8v %6v %6v %7v"

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1e3) }

func newFaultWorld(t *testing.T) *faultWorld {
	t.Helper()
	factor := soakFactor(t)
	w := &faultWorld{
		clients:  affordableClients(t, min(faultClients*factor, maxFaultClients)),
		duration: min(faultTime*time.Duration(factor), maxFaultTime),
	}
	w.normal = normalTime * w.duration / faultTime
	w.prober, w.faults = startSubprocess(t, proberProcess), startSubprocess(t, faultsProcess)
	var goodPort, badPort int32
	w.prober.call(t, "Prober.Open", struct{}{}, &goodPort)
	w.faults.call(t, "Faults.Open", struct{}{}, &badPort)
	ports := faultTargets{good: goodPort, bad: badPort, refused: int32(trellistest.FreePort(t))}
	w.servers = append([]*faultServer{startFaultProgram(t, ports)}, startFaultPeers(t, ports)...)
	return w
}

// faultTargets are the ports of the services' targets.
type faultTargets struct{ good, bad, refused int32 }

func startFaultProgram(t *testing.T, ports faultTargets) *faultServer {
	t.Helper()
	s := &faultServer{name: "trellis", port: trellistest.FreePort(t)}
	// Without the race detector, which multiplies the memory.
	s.program = trellistest.Start(t, trellistest.BuildFast(t), "dev", "--port-map", fmt.Sprintf("80=%d", s.port), "--drain-timeout", "1s", "--ca-dir", t.TempDir())
	api := anybody(s.program.API)
	network := must(api.CreateServiceNetwork(t.Context(), &vpclattice.CreateServiceNetworkInput{Name: aws.String("faults")}))(t)
	build := func(name string, port int32) string { return buildFaultService(t, api, *network.Id, name, port) }
	s.good, s.bad, s.refused = build("good", ports.good), build("bad", ports.bad), build("refused", ports.refused)
	return s
}

// affordableClients returns how many clients there can be: each needs two files in the program, for its own connection and
// for the one to the target, and two in the process of the clients and the target. Go programs raise the soft limit of open
// files to the hard one by themselves.
func affordableClients(t *testing.T, wanted int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	const others = 500 // files
	if affordable := (int(min(limit.Max, 1<<20)) - others) / 2; affordable < wanted {
		t.Logf("ONLY %d CLIENTS INSTEAD OF %d MISBEHAVE, since a process may open %d files (ulimit -Hn); they need %d",
			affordable, wanted, limit.Max, 2*wanted+others)
		return affordable
	}
	return wanted
}

// buildFaultService creates a service with a target and returns its host.
func buildFaultService(t *testing.T, api *vpclattice.Client, network, name string, port int32) string {
	t.Helper()
	ctx := t.Context()
	group := must(api.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{
		Name: &name, Type: types.TargetGroupTypeIp,
		Config: &types.TargetGroupConfig{
			Protocol: types.TargetGroupProtocolHttp, Port: &port, VpcIdentifier: aws.String("vpc-0123456789abcdef0"),
			// the data plane must find out by itself
			HealthCheck: &types.HealthCheckConfig{Enabled: aws.Bool(false)},
		},
	}))(t)
	must(api.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: group.Id, Targets: targets(port)}))(t)
	service := must(api.CreateService(ctx, &vpclattice.CreateServiceInput{Name: &name}))(t)
	must(api.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: service.Id, ServiceNetworkIdentifier: &network}))(t)
	must(api.CreateListener(ctx, &vpclattice.CreateListenerInput{
		ServiceIdentifier: service.Id, Name: aws.String("http"), Protocol: types.ListenerProtocolHttp, Port: aws.Int32(80),
		DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: group.Id}}}},
	}))(t)
	return *service.DnsEntry.DomainName
}

// What share of the processors' time may be stolen during a measurement, which is otherwise repeated, and how often it is
// made at most.
const (
	maxStolen   = 0.002
	maxMeasured = 3
)

// measureQuietly measures, and again if much of the machine was taken away during the measurement: on a virtual machine
// others may have their turns, in which everything stands still. The quietest measurement counts.
func (w *faultWorld) measureQuietly(t *testing.T, server *faultServer, name string, fault FaultArgs) {
	t.Helper()
	quietest := math.Inf(1)
	var row string
	for measured := 0; quietest > maxStolen && measured < maxMeasured; measured++ {
		if another, stolen := w.measure(t, server, name, fault); stolen < quietest {
			row, quietest = another, stolen
		}
		if w.duration < maxFaultTime {
			break // In a short run it is what the victims see that counts.
		}
	}
	w.table = append(w.table, row)
}

// measure looks at the traffic of the good service before something happens, while the faulty clients arrive, and with
// all of them there. It returns a line of the table, and what share of the processors' time was stolen.
func (w *faultWorld) measure(t *testing.T, server *faultServer, name string, fault FaultArgs) (row string, stolen float64) {
	t.Helper()
	fault.Port, fault.Duration, fault.Host = server.port, w.duration, server.bad
	if fault.Refused {
		fault.Host = server.refused
	}
	time.Sleep(w.normal / 3) // Sleeps: a measurement's pause. What the fault before has left behind is not normal.
	stolenSince := stolenTime(t)
	normally := w.probe(t, server, name, w.normal)
	before := residentBytes(t, server.program)
	w.faults.call(t, "Faults.Begin", fault, new(struct{}))
	highest := w.watchMemory(t, server.program)
	arriving := "" // Only clients arrive.
	if fault.Clients > 0 {
		arriving = millis(w.probe(t, server, name, w.duration/2).P99)
	}
	meanwhile := w.probe(t, server, name, w.duration)
	var report FaultReport
	w.faults.call(t, "Faults.End", struct{}{}, &report)
	peak := highest()
	stolen = stolenSince()
	if server.program != nil {
		for _, problem := range report.Problems {
			t.Errorf("while %s: %s", name, problem)
		}
		if report.Began < fault.Clients || fault.TargetFault != "" && report.Began == 0 {
			t.Errorf("while %s: %d of %d clients got to misbehave", name, report.Began, fault.Clients)
		}
		if allowed := int64(fault.Clients)*maxFaultBytes + maxBytesAnywhere; peak-before > allowed {
			t.Errorf("while %s the memory grew by %d MB, from %d MB; more than %d MB is too much", name, (peak-before)>>20, before>>20, allowed>>20)
		}
	}
	ratio := fmt.Sprintf("%.1f", float64(meanwhile.P99)/float64(normally.P99))
	return fmt.Sprintf(rowFormat, name, server.name, meanwhile.Requests, millis(normally.P50), millis(normally.P99),
		arriving, millis(meanwhile.P50), millis(meanwhile.P99), ratio, millis(meanwhile.Max), before>>20, peak>>20,
		fmt.Sprintf("%.1f %%", stolen*100)), stolen
}

func (w *faultWorld) probe(t *testing.T, server *faultServer, name string, duration time.Duration) (probed Probed) {
	t.Helper()
	w.prober.call(t, "Prober.Probe", ProbeArgs{Host: server.good, Port: server.port, Duration: duration}, &probed)
	for _, failure := range probed.Failures {
		t.Errorf("a request to another service of %s, before or while %s: %s", server.name, name, failure)
	}
	return probed
}

// stolenTime notes how long the processors were wanted, but taken away from this machine. What it returns reports the share
// of that since.
func stolenTime(t *testing.T) (since func() float64) {
	t.Helper()
	read := func() time.Duration {
		if runtime.GOOS != "linux" {
			return 0
		}
		stat, err := os.ReadFile("/proc/stat")
		if err != nil {
			t.Error(err)
			return 0
		}
		// cpu user nice system idle iowait irq softirq steal, in hundredths of a second (proc(5))
		var ticks [8]int64
		if _, err := fmt.Sscanf(string(stat), "cpu %d %d %d %d %d %d %d %d", &ticks[0], &ticks[1], &ticks[2], &ticks[3],
			&ticks[4], &ticks[5], &ticks[6], &ticks[7]); err != nil {
			t.Error(err)
		}
		return time.Duration(ticks[7]) * 10 * time.Millisecond
	}
	began, before := time.Now(), read()
	return func() float64 {
		return float64(read()-before) / (float64(time.Since(began)) * float64(runtime.NumCPU()))
	}
}

// watchMemory watches how much memory the program has; highest ends that and returns the maximum.
func (w *faultWorld) watchMemory(t *testing.T, program *trellistest.Process) (highest func() int64) {
	t.Helper()
	end, most := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		for {
			select {
			case <-end:
				most <- peak
				return
			case <-time.After(50 * time.Millisecond):
				peak = max(peak, residentBytes(t, program))
			}
		}
	}()
	return func() int64 {
		close(end)
		return max(<-most, residentBytes(t, program))
	}
}

// residentBytes returns how much memory the program has, or 0 where that cannot be found out.
func residentBytes(t *testing.T, p *trellistest.Process) int64 {
	t.Helper()
	if runtime.GOOS != "linux" || p == nil {
		return 0
	}
	statm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID()), "statm"))
	if err != nil {
		t.Error(err)
		return 0
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		t.Error(err)
	}
	return pages * int64(os.Getpagesize())
}
