package stories_test

import (
	"fmt"
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

// The size of the fault tests, which the soak factor multiplies: clients that misbehave at the same time, up to the
// 5,000 of the soak, how long each fault lasts, and how long it is looked before it at how things normally are.
const (
	faultClients    = 500
	maxFaultClients = 5000
	faultTime       = time.Second
	maxFaultTime    = 10 * time.Second
	normalTime      = 300 * time.Millisecond
)

// What a client that misbehaves may cost, a connection, its head and a few buffers, and what anything may.
const (
	maxFaultBytes    = 128 << 10
	maxBytesAnywhere = 32 << 20
)

// faultWorld is a program with a service whose traffic must not suffer, and one whose targets or clients misbehave.
// Three processes of their own are the program, what measures, and what misbehaves.
type faultWorld struct {
	program   *trellistest.Process
	prober    *subprocess
	faults    *subprocess
	port      int
	good, bad string // hosts
	refused   string // the host of a service with a target that nobody listens for
	clients   int
	duration  time.Duration // of each fault
	normal    time.Duration
	table     []string
}

// TestFaultsOfTargetsAndClientsHarmNobodyElse lets targets and clients misbehave in each of many ways, and looks at the
// traffic of another service meanwhile, at what the victims see, and at the memory. The times stand in a table; they
// depend on the machine, so nothing is asserted of them.
func TestFaultsOfTargetsAndClientsHarmNobodyElse(t *testing.T) {
	t.Parallel()
	w := newFaultWorld(t)
	w.measure(t, "nothing", FaultArgs{})
	for _, fault := range targetFaults() {
		host := w.bad
		if fault.behave == nil {
			host = w.refused
		}
		w.measure(t, "target "+fault.name, FaultArgs{TargetFault: fault.name, Host: host})
	}
	for _, fault := range clientFaults() {
		w.measure(t, fmt.Sprintf("%d clients %s", w.clients, fault.name), FaultArgs{ClientFault: fault.name, Clients: w.clients, Host: w.bad})
	}
	// What misbehaved is gone, and the service that it was aimed at works.
	c := &keptClient{host: w.bad, dial: dialTCP(local(w.port))}
	defer c.close()
	if err := c.get("/", greeting); err != nil {
		t.Errorf("after all faults: %v", err)
	}
	t.Logf("the traffic of another service, %d requests a second, milliseconds; and the program's memory, MB\n%s\n%s\n%s", probeRate,
		fmt.Sprintf(rowFormat, "", "", "normally", "", "meanwhile", "", "", "", "memory", ""),
		fmt.Sprintf(rowFormat, "while", "requests", "p50", "p99", "p50", "p99", "ratio", "longest", "before", "peak"), strings.Join(w.table, "\n"))
}

// rowFormat is a line of the table.
const rowFormat = "  %-50s %8v %8v %8v %9v %8v %6v %8v %6v %6v"

func newFaultWorld(t *testing.T) *faultWorld {
	t.Helper()
	factor := soakFactor(t)
	w := &faultWorld{
		port: trellistest.FreePort(t), clients: affordableClients(t, min(faultClients*factor, maxFaultClients)),
		duration: min(faultTime*time.Duration(factor), maxFaultTime),
	}
	w.normal = normalTime * w.duration / faultTime
	w.prober, w.faults = startSubprocess(t, proberProcess), startSubprocess(t, faultsProcess)
	var goodPort, badPort int32
	w.prober.call(t, "Prober.Open", struct{}{}, &goodPort)
	w.faults.call(t, "Faults.Open", struct{}{}, &badPort)
	// Without the race detector, which multiplies the memory.
	w.program = trellistest.Start(t, trellistest.BuildFast(t), "dev", "--port-map", fmt.Sprintf("80=%d", w.port), "--drain-timeout", "1s", "--ca-dir", t.TempDir())
	api := anybody(w.program.API)
	network := must(api.CreateServiceNetwork(t.Context(), &vpclattice.CreateServiceNetworkInput{Name: aws.String("faults")}))(t)
	build := func(name string, port int32) string { return buildFaultService(t, api, *network.Id, name, port) }
	w.good, w.bad, w.refused = build("good", goodPort), build("bad", badPort), build("refused", int32(trellistest.FreePort(t)))
	return w
}

// affordableClients says how many clients there can be: each needs two files in the program, for its own connection and
// for the one to the target, and two in the process of the clients and the target. Go programs raise the soft limit of
// open files to the hard one by themselves.
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
			// The data plane has to find out by itself.
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

// measure looks at the traffic of the good service before something happens and meanwhile, and adds a line to the table.
func (w *faultWorld) measure(t *testing.T, name string, fault FaultArgs) {
	t.Helper()
	time.Sleep(w.normal / 3) // What the fault before has left behind is not normal.
	normally := w.probe(t, name, w.normal)
	before := residentBytes(t, w.program)
	fault.Port, fault.Duration = w.port, w.duration
	w.faults.call(t, "Faults.Begin", fault, new(struct{}))
	highest := w.watchMemory(t)
	meanwhile := w.probe(t, name, w.duration)
	var report FaultReport
	w.faults.call(t, "Faults.End", struct{}{}, &report)
	peak := highest()
	for _, problem := range report.Problems {
		t.Errorf("while %s: %s", name, problem)
	}
	if report.Began < fault.Clients || fault != (FaultArgs{Port: fault.Port, Duration: fault.Duration}) && report.Began == 0 {
		t.Errorf("while %s: %d of %d clients got to misbehave", name, report.Began, fault.Clients)
	}
	millis := func(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1e3) }
	ratio := fmt.Sprintf("%.1f", float64(meanwhile.P99)/float64(normally.P99))
	w.table = append(w.table, fmt.Sprintf(rowFormat, name, meanwhile.Requests, millis(normally.P50), millis(normally.P99),
		millis(meanwhile.P50), millis(meanwhile.P99), ratio, millis(meanwhile.Max), before>>20, peak>>20))
	if allowed := int64(fault.Clients)*maxFaultBytes + maxBytesAnywhere; peak-before > allowed {
		t.Errorf("while %s the memory grew by %d MB, from %d MB; more than %d MB is too much", name, (peak-before)>>20, before>>20, allowed>>20)
	}
}

func (w *faultWorld) probe(t *testing.T, name string, duration time.Duration) (probed Probed) {
	t.Helper()
	w.prober.call(t, "Prober.Probe", ProbeArgs{Host: w.good, Port: w.port, Duration: duration}, &probed)
	for _, failure := range probed.Failures {
		t.Errorf("a request to another service, before or while %s: %s", name, failure)
	}
	return probed
}

// watchMemory watches how much memory the program has; highest ends that and tells the most.
func (w *faultWorld) watchMemory(t *testing.T) (highest func() int64) {
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
				peak = max(peak, residentBytes(t, w.program))
			}
		}
	}()
	return func() int64 {
		close(end)
		return max(<-most, residentBytes(t, w.program))
	}
}

// residentBytes returns how much memory the program has, or 0 where that cannot be found out.
func residentBytes(t *testing.T, p *trellistest.Process) int64 {
	t.Helper()
	if runtime.GOOS != "linux" {
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
