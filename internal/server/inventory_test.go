package server

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// inventoryFile is an inventory with one VPC and what a test writes into it.
type inventoryFile string

func newInventoryFile(t *testing.T) inventoryFile {
	t.Helper()
	f := inventoryFile(filepath.Join(t.TempDir(), "inventory.yaml"))
	f.write(t, "")
	return f
}

func (f inventoryFile) write(t *testing.T, lists string, args ...any) {
	t.Helper()
	text := "vpcs:\n  - {id: vpc-0123456789abcdef0, cidrs: [127.0.0.0/8, '::1/128']}\n" + fmt.Sprintf(lists, args...)
	if err := os.WriteFile(string(f), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// naming serves its name on an address, at any port if that is 0, and returns the port.
func naming(t *testing.T, address string, port int, name string) int {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, fmt.Sprint(port)))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-target", name)
		w.Header().Set("x-asked-for", r.Host)
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return listener.Addr().(*net.TCPAddr).Port
}

// statuses are the statuses and reason codes of a group's targets.
func statuses(t *testing.T, api *vpclattice.Client, group string) []string {
	t.Helper()
	out, err := api.ListTargets(t.Context(), &vpclattice.ListTargetsInput{TargetGroupIdentifier: &group})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, target := range out.Items {
		status := string(target.Status)
		if target.ReasonCode != nil {
			status += " " + *target.ReasonCode
		}
		list = append(list, status)
	}
	return list
}

func registerAll(t *testing.T, api *vpclattice.Client, group string, targets ...types.Target) {
	t.Helper()
	out, err := api.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &group, Targets: targets})
	if err != nil || len(out.Unsuccessful) > 0 {
		t.Fatal(err, out)
	}
}

// TestMachinesFollowTheInventoryFile starts with a target that the file does not have, adds it, moves it, and takes it away.
func TestMachinesFollowTheInventoryFile(t *testing.T) {
	port := naming(t, "127.0.0.1", 0, "first")
	naming(t, "127.0.0.2", port, "second")
	for _, test := range []struct {
		groupType types.TargetGroupType
		id, list  string
		stopped   string // the problem of a machine that exists but does not run, if there is one
		healthy   string
	}{
		{types.TargetGroupTypeInstance, "i-0123456789abcdef0",
			"instances:\n  - {id: i-0123456789abcdef0, vpc: vpc-0123456789abcdef0, address: %s, state: %s}\n", "i-0123456789abcdef0 is stopped; targets must be running", "HEALTHY"},
		{types.TargetGroupTypeAlb, "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/app/web/0123456789abcdef",
			"loadBalancers:\n  - {arn: 'arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/app/web/0123456789abcdef', address: %s} # %s\n", "", "UNAVAILABLE HealthCheckNotSupported"},
	} {
		t.Run(string(test.groupType), func(t *testing.T) {
			file := newInventoryFile(t)
			node := start(t, "dev", "--inventory", string(file), "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
			api := node.client(anybody())
			group, host := serviceInFront(t, api, test.groupType, types.ListenerProtocolHttp, types.TargetGroupConfig{})
			registerAll(t, api, group, types.Target{Id: &test.id, Port: new(int32(port))})
			lost := func(problem string) {
				t.Helper()
				if got := statuses(t, api, group); len(got) != 1 || got[0] != "UNHEALTHY HealthCheckFailed" {
					t.Errorf("%s: the status is %v", problem, got)
				}
				if response := node.ask(t, host, "/"); response.StatusCode != http.StatusServiceUnavailable {
					t.Errorf("%s: a request is answered %d", problem, response.StatusCode)
				}
				for _, query := range []string{"host=" + host, "targetGroup=" + group} {
					if _, text := get(t, node.admin()+"/explain?"+query); !strings.Contains(text, problem) {
						t.Errorf("/explain?%s does not say %q: %s", query, problem, text)
					}
				}
				if !strings.Contains(node.log.String(), problem) {
					t.Errorf("the log does not say %q", problem)
				}
			}
			served := func(by string) {
				t.Helper()
				trellistest.Await(t, func() bool {
					return node.ask(t, host, "/").Header.Get("x-target") == by && statuses(t, api, group)[0] == test.healthy
				}, "the %s machine serves, and is %s", by, test.healthy)
			}
			unknown := test.id + `"`
			if lost("the inventory (--inventory, --inventory-from) has no "); !strings.Contains(node.log.String(), unknown) {
				t.Errorf("the log does not name %s", unknown)
			}
			file.write(t, test.list, "127.0.0.1", "running")
			served("first")
			file.write(t, test.list, "127.0.0.2", "running")
			served("second")
			if test.stopped != "" {
				file.write(t, test.list, "127.0.0.2", "stopped")
				node.explained(t, host, test.stopped)
				lost(test.stopped)
				file.write(t, test.list, "127.0.0.2", "running")
				served("second")
			}
			file.write(t, "")
			trellistest.Await(t, func() bool { return statuses(t, api, group)[0] != test.healthy }, "the machine is gone")
			lost("the inventory (--inventory, --inventory-from) has no ")
		})
	}
}

// TestUnusedTargetGroupSaysWhichTargetsAreUnknown asks before there is a service.
func TestUnusedTargetGroupSaysWhichTargetsAreUnknown(t *testing.T) {
	node := start(t, "dev")
	api := node.client(anybody())
	group, err := api.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{Name: new("machines"), Type: types.TargetGroupTypeInstance,
		Config: &types.TargetGroupConfig{Protocol: types.TargetGroupProtocolHttp, Port: new(int32(80)), VpcIdentifier: new("vpc-0123456789abcdef0")}})
	if err != nil {
		t.Fatal(err)
	}
	registerAll(t, api, *group.Id, types.Target{Id: new("i-0123456789abcdef0")})
	if _, text := get(t, node.admin()+"/explain?targetGroup="+*group.Id); !strings.Contains(text, "UNUSED") || !strings.Contains(text, "has no instance i-0123456789abcdef0") {
		t.Errorf("/explain says %s", text)
	}
}

func TestPortsOfOneAddressAreSeparateTargets(t *testing.T) {
	node := start(t, "dev", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	api := node.client(anybody())
	group, host := serviceInFront(t, api, types.TargetGroupTypeIp, types.ListenerProtocolHttp, types.TargetGroupConfig{})
	var targets []types.Target
	for _, name := range []string{"a", "b", "c"} {
		targets = append(targets, types.Target{Id: new("127.0.0.1"), Port: new(int32(naming(t, "127.0.0.1", 0, name)))})
	}
	registerAll(t, api, group, targets...)
	share := func() map[string]int {
		counts := map[string]int{}
		for range 12 {
			counts[node.ask(t, host, "/").Header.Get("x-target")]++
		}
		return counts
	}
	trellistest.Await(t, func() bool { return strings.Join(statuses(t, api, group), "") == "HEALTHYHEALTHYHEALTHY" }, "all ports are healthy")
	trellistest.Await(t, func() bool { got := share(); return got["a"] == 4 && got["b"] == 4 && got["c"] == 4 }, "the ports share the requests")
	if _, err := api.DeregisterTargets(t.Context(), &vpclattice.DeregisterTargetsInput{TargetGroupIdentifier: &group, Targets: targets[:1]}); err != nil {
		t.Fatal(err)
	}
	if got := share(); got["a"] != 0 || got["b"] != 6 || got["c"] != 6 {
		t.Errorf("without the first port, the requests go to %v", got)
	}
}

func TestTargetsHaveTheAddressTypeOfTheirGroup(t *testing.T) {
	trellistest.NeedAddress(t, "::1")
	for _, test := range []struct {
		addressType  types.IpAddressType
		right, wrong string
	}{{types.IpAddressTypeIpv4, "127.0.0.1", "::1"}, {types.IpAddressTypeIpv6, "::1", "127.0.0.1"}} {
		t.Run(string(test.addressType), func(t *testing.T) {
			node := start(t, "dev", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
			api := node.client(anybody())
			group, host := serviceInFront(t, api, types.TargetGroupTypeIp, types.ListenerProtocolHttp, types.TargetGroupConfig{IpAddressType: test.addressType})
			port := new(int32(naming(t, test.right, 0, test.right)))
			out, err := api.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &group, Targets: []types.Target{
				{Id: &test.wrong, Port: port}, {Id: &test.right, Port: port},
			}})
			if err != nil || len(out.Successful) != 1 || *out.Successful[0].Id != test.right || len(out.Unsuccessful) != 1 ||
				*out.Unsuccessful[0].Id != test.wrong || *out.Unsuccessful[0].FailureCode != "UnsupportedTarget" {
				t.Fatalf("%v, %+v", err, out)
			}
			trellistest.Await(t, func() bool { return statuses(t, api, group)[0] == "HEALTHY" }, "the target is healthy")
			if response := node.ask(t, host, "/"); response.Header.Get("x-target") != test.right {
				t.Errorf("a request is answered %d %v", response.StatusCode, response.Header)
			}
		})
	}
}

// TestAnotherTrellisIsALoadBalancer sends requests through two nodes, the second of which is the target.
func TestAnotherTrellisIsALoadBalancer(t *testing.T) {
	const host, balancer = "shop.example.test", "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/app/web/0123456789abcdef"
	named := func(in *vpclattice.CreateServiceInput) { in.CustomDomainName = new(host) }
	back := start(t, "dev", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	group, _ := serviceInFront(t, back.client(anybody()), types.TargetGroupTypeIp, types.ListenerProtocolHttp, types.TargetGroupConfig{}, named)
	registerAll(t, back.client(anybody()), group, types.Target{Id: new("127.0.0.1"), Port: new(int32(naming(t, "127.0.0.1", 0, "behind both")))})

	file := newInventoryFile(t)
	file.write(t, "loadBalancers:\n  - {arn: '%s', address: 127.0.0.1, vpc: vpc-0123456789abcdef0}\n", balancer)
	front := start(t, "dev", "--inventory", string(file), "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	api := front.client(anybody())
	group, _ = serviceInFront(t, api, types.TargetGroupTypeAlb, types.ListenerProtocolHttp, types.TargetGroupConfig{}, named)
	registerAll(t, api, group, types.Target{Id: new(balancer), Port: new(int32(back.server.proxy.Addr(80).(*net.TCPAddr).Port))})
	if response := front.ask(t, host, "/"); response.Header.Get("x-target") != "behind both" || response.Header.Get("x-asked-for") != host {
		t.Errorf("a request is answered %d %v", response.StatusCode, response.Header)
	}
}
