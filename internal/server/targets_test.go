package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/internal/outbound/outboundtest"
	"trellis/test/trellistest"
)

// serviceInFront makes a service with a listener on the port of its protocol in front of a target group, which it returns with the
// service's generated name.
func serviceInFront(t *testing.T, api *vpclattice.Client, groupType types.TargetGroupType, protocol types.ListenerProtocol, config types.TargetGroupConfig,
	edits ...func(*vpclattice.CreateServiceInput)) (group, host string) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	config.VpcIdentifier, config.Port = new("vpc-0123456789abcdef0"), new(int32(80))
	if config.Protocol == "" {
		config.Protocol = types.TargetGroupProtocolHttp
	}
	created, err := api.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{Name: new("files"), Type: groupType,
		Config: &config})
	must(err)
	network, err := api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: new("home")})
	must(err)
	in := &vpclattice.CreateServiceInput{Name: new("files")}
	for _, edit := range edits {
		edit(in)
	}
	service, err := api.CreateService(ctx, in)
	must(err)
	_, err = api.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id})
	must(err)
	_, err = api.CreateServiceNetworkVpcAssociation(ctx, &vpclattice.CreateServiceNetworkVpcAssociationInput{
		ServiceNetworkIdentifier: network.Id, VpcIdentifier: config.VpcIdentifier})
	must(err)
	_, err = api.CreateListener(ctx, &vpclattice.CreateListenerInput{ServiceIdentifier: service.Id, Name: new("front"), Protocol: protocol,
		DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: created.Id}}}}})
	must(err)
	return *created.Id, *service.DnsEntry.DomainName
}

// register makes an address the only target of a group, and returns the failure message if it cannot be one.
func register(t *testing.T, api *vpclattice.Client, group string, address net.Addr) string {
	t.Helper()
	before, err := api.ListTargets(t.Context(), &vpclattice.ListTargetsInput{TargetGroupIdentifier: &group})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range before.Items {
		if _, err := api.DeregisterTargets(t.Context(), &vpclattice.DeregisterTargetsInput{TargetGroupIdentifier: &group,
			Targets: []types.Target{{Id: target.Id, Port: target.Port}}}); err != nil {
			t.Fatal(err)
		}
	}
	tcp := address.(*net.TCPAddr)
	out, err := api.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &group,
		Targets: []types.Target{{Id: new(tcp.IP.String()), Port: new(int32(tcp.Port))}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Unsuccessful) > 0 {
		return *out.Unsuccessful[0].FailureMessage
	}
	return ""
}

// ask sends a request to the service on port 80.
func (r *running) ask(t *testing.T, host, path string) *http.Response {
	t.Helper()
	request, err := http.NewRequest("GET", "http://"+r.server.proxy.Addr(80).String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
	return response
}

// explained waits until /explain says something about the service.
func (r *running) explained(t *testing.T, host, want string) {
	t.Helper()
	trellistest.Await(t, func() bool {
		response, err := http.Get("http://" + r.server.adminListener.Addr().String() + "/explain?host=" + host)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !json.Valid(text) {
			t.Fatalf("/explain: %v %s", err, text)
		}
		return strings.Contains(string(text), want)
	}, "/explain says %q of %s", want, host)
}

func TestServeDoesNotReachItselfThroughTargets(t *testing.T) {
	node, credentials, _ := documented(t, "--allow-targets", "127.0.0.0/8", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	api := node.client(profile(t, credentials, "operator"))
	group, host := serviceInFront(t, api, types.TargetGroupTypeIp, types.ListenerProtocolHttp, types.TargetGroupConfig{HealthCheck: &types.HealthCheckConfig{HealthCheckIntervalSeconds: new(int32(5)), Path: new("/healthz")}})
	for what, address := range map[string]net.Addr{
		"API":        node.server.apiListener.Addr(),
		"admin":      node.server.adminListener.Addr(),
		"data-plane": node.server.proxy.Addr(80),
	} {
		if problem := register(t, api, group, address); problem != "" {
			t.Fatalf("%s: %s", what, problem)
		}
		problem := address.String() + " is the " + what + " port of this node, which cannot be a target"
		if response := node.ask(t, host, "/healthz"); response.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s: a request is answered %d", what, response.StatusCode)
		}
		node.explained(t, host, problem)
	}
	if !strings.Contains(node.log.String(), "port of this node, which cannot be a target") {
		t.Error("the log does not say that a port of this node cannot be a target")
	}
}

func TestServeRefusesLoopbackTargets(t *testing.T) {
	node, credentials, _ := documented(t)
	api := node.client(profile(t, credentials, "operator"))
	group, _ := serviceInFront(t, api, types.TargetGroupTypeIp, types.ListenerProtocolHttp, types.TargetGroupConfig{})
	for _, address := range []string{"127.0.0.1", "127.9.9.9", "169.254.169.254"} {
		problem := register(t, api, group, &net.TCPAddr{IP: net.ParseIP(address), Port: 80})
		if !strings.HasPrefix(problem, address+" is a ") || !strings.Contains(problem, "--allow-targets") {
			t.Errorf("%s: %q", address, problem)
		}
	}
	gateway, err := api.CreateResourceGateway(t.Context(), &vpclattice.CreateResourceGatewayInput{Name: new("gateway"),
		VpcIdentifier: new("vpc-0123456789abcdef0"), SubnetIds: []string{"subnet-0123456789abcdef0"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.CreateResourceConfiguration(t.Context(), &vpclattice.CreateResourceConfigurationInput{Name: new("store"), Type: types.ResourceConfigurationTypeSingle,
		ResourceGatewayIdentifier: gateway.Id, PortRanges: []string{"2379"},
		ResourceConfigurationDefinition: &types.ResourceConfigurationDefinitionMemberIpResource{Value: types.IpResource{IpAddress: new("127.0.0.1")}}})
	if got := code(t, err); got != "ValidationException" || !strings.Contains(err.Error(), "--allow-targets") {
		t.Errorf("a resource on the loopback gives %v", err)
	}
}

func TestServeSendsNothingToAnInstanceOnTheLoopback(t *testing.T) {
	file := filepath.Join(t.TempDir(), "inventory.yaml")
	text := "vpcs:\n  - id: vpc-0123456789abcdef0\n    cidrs: [127.0.0.0/8]\n" +
		"instances:\n  - id: i-0123456789abcdef0\n    vpc: vpc-0123456789abcdef0\n    address: ::1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	node, credentials, _ := documented(t, "--inventory", file, "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	api := node.client(profile(t, credentials, "operator"))
	group, host := serviceInFront(t, api, types.TargetGroupTypeInstance, types.ListenerProtocolHttp, types.TargetGroupConfig{HealthCheck: &types.HealthCheckConfig{HealthCheckIntervalSeconds: new(int32(5))}})
	if _, err := api.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &group, Targets: []types.Target{{Id: new("i-0123456789abcdef0")}}}); err != nil {
		t.Fatal(err)
	}
	if response := node.ask(t, host, "/"); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a request is answered %d", response.StatusCode)
	}
	const problem = "::1 is a loopback address, which targets must not have unless trellis serve is started with --allow-targets"
	node.explained(t, host, `"problem": "`+problem)
	if !strings.Contains(node.log.String(), problem) {
		t.Errorf("the log does not say %q", problem)
	}
}

func TestDevReachesItsDataPlaneThroughTargetsButNotItsAPI(t *testing.T) {
	node := start(t, "dev", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	api := node.client(anybody())
	group, host := serviceInFront(t, api, types.TargetGroupTypeIp, types.ListenerProtocolHttp, types.TargetGroupConfig{})
	for what, address := range map[string]net.Addr{"API": node.server.apiListener.Addr(), "admin": node.server.adminListener.Addr()} {
		if problem := register(t, api, group, address); problem != "" {
			t.Fatalf("%s: %s", what, problem)
		}
		response := node.ask(t, host, "/healthz")
		if problem := response.Header.Get("x-trellis-problem"); response.StatusCode != http.StatusInternalServerError || !strings.Contains(problem, "is the "+what+" port of this node") {
			t.Errorf("%s: a request is answered %d, problem %q", what, response.StatusCode, problem)
		}
	}
	if problem := register(t, api, group, node.server.proxy.Addr(80)); problem != "" {
		t.Fatal(problem)
	}
	response := node.ask(t, host, "/")
	if problem := response.Header.Get("x-trellis-problem"); response.StatusCode != http.StatusLoopDetected || !strings.Contains(problem, "leads back") {
		t.Errorf("a request that loops is answered %d, problem %q", response.StatusCode, problem)
	}
}

func TestTargetWhoseSerialNumberIsNegativeServesAndPassesItsChecks(t *testing.T) {
	for _, version := range []types.TargetGroupProtocolVersion{types.TargetGroupProtocolVersionHttp1, types.TargetGroupProtocolVersionHttp2} {
		t.Run(string(version), func(t *testing.T) {
			backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
			backend.TLS = &tls.Config{Certificates: []tls.Certificate{outboundtest.WithNegativeSerial(t)}}
			backend.EnableHTTP2 = true
			backend.StartTLS()
			defer backend.Close()
			node := start(t, "dev", "--port-map", fmt.Sprintf("443=%d", trellistest.FreePort(t)))
			api := node.client(anybody())
			group, host := serviceInFront(t, api, types.TargetGroupTypeIp, types.ListenerProtocolHttps, types.TargetGroupConfig{
				Protocol: types.TargetGroupProtocolHttps, ProtocolVersion: version,
				HealthCheck: &types.HealthCheckConfig{Enabled: new(true), Protocol: types.TargetGroupProtocolHttps, ProtocolVersion: types.HealthCheckProtocolVersion(version)},
			})
			if problem := register(t, api, group, backend.Listener.Addr()); problem != "" {
				t.Fatal(problem)
			}
			client := http.Client{Transport: &http.Transport{
				TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
				ForceAttemptHTTP2: true,
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, node.server.proxy.Addr(443).String())
				},
			}}
			defer client.CloseIdleConnections()
			response, err := client.Get("https://" + host)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("answered %d: %s", response.StatusCode, response.Header.Get("x-trellis-problem"))
			}
			node.explained(t, host+"&port=443", `"status": "HEALTHY"`)
		})
	}
}

func TestHealthOfATargetGroupIsExplained(t *testing.T) {
	sick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "short and stout")
	}))
	defer sick.Close()
	node := start(t, "dev", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	api := node.client(anybody())
	group, _ := serviceInFront(t, api, types.TargetGroupTypeIp, types.ListenerProtocolHttp, types.TargetGroupConfig{HealthCheck: &types.HealthCheckConfig{HealthCheckIntervalSeconds: new(int32(5))}})
	if problem := register(t, api, group, sick.Listener.Addr()); problem != "" {
		t.Fatal(problem)
	}
	unused, err := api.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{Name: new("unused"), Type: types.TargetGroupTypeIp,
		Config: &types.TargetGroupConfig{VpcIdentifier: new("vpc-0123456789abcdef0"), Port: new(int32(80)), Protocol: types.TargetGroupProtocolHttp}})
	if err != nil {
		t.Fatal(err)
	}
	if problem := register(t, api, *unused.Id, sick.Listener.Addr()); problem != "" {
		t.Fatal(problem)
	}

	var answer struct {
		ARN     string
		InUse   bool
		Targets []struct {
			Status, ReasonCode string
			Since, NextAt      time.Time
			Failures           int
			Last               *struct {
				StartedAt           time.Time
				DurationNanoseconds int64
				StatusCode          int
				URL, Failure, Body  string
			}
		}
	}
	ask := func(id string) {
		t.Helper()
		response, text := get(t, node.admin()+"/explain?targetGroup="+id)
		answer.Targets = nil
		if err := json.Unmarshal([]byte(text), &answer); err != nil || response.StatusCode != http.StatusOK || len(answer.Targets) != 1 {
			t.Fatalf("%d, %v: %s", response.StatusCode, err, text)
		}
	}
	trellistest.Await(t, func() bool { ask(group); return answer.Targets[0].Last != nil }, "the first check")
	target := answer.Targets[0]
	if last := target.Last; last.StatusCode != 418 || last.Failure != "status code 418, expected 200" || last.Body != "short and stout" ||
		last.URL != sick.URL+"/" || last.DurationNanoseconds <= 0 || last.StartedAt.IsZero() {
		t.Errorf("last check %+v", last)
	}
	if !answer.InUse || target.Since.IsZero() || !target.NextAt.After(target.Last.StartedAt) || target.Failures == 0 || target.ReasonCode == "" {
		t.Errorf("explained as %+v", answer)
	}
	byID := answer.ARN
	if ask(answer.ARN); answer.ARN != byID || !strings.HasSuffix(byID, group) {
		t.Errorf("%s is explained as %s", byID, answer.ARN)
	}
	if ask(*unused.Id); answer.InUse || answer.Targets[0].Status != "UNUSED" || answer.Targets[0].ReasonCode != "TargetGroupNotInUse" || answer.Targets[0].Last != nil {
		t.Errorf("the unused one is explained as %+v", answer)
	}
	if response, text := get(t, node.admin()+"/explain?targetGroup=tg-0123456789abcdef0"); response.StatusCode != http.StatusNotFound || !strings.Contains(text, "tg-0123456789abcdef0") {
		t.Errorf("an unknown one is answered %d %s", response.StatusCode, text)
	}
}
