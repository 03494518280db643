package server

import (
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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// loopbackVPCs are two VPCs on networks of the loopback, and a security group that admits a part of the first.
const loopbackVPCs = `
vpcs:
  - {id: vpc-0123456789abcdef1, cidrs: [127.0.1.0/24]}
  - {id: vpc-0123456789abcdef2, cidrs: [127.0.2.0/24]}
securityGroups:
  - id: sg-0123456789abcdef0
    ingress: [{ports: 80, cidrs: [127.0.1.0/28]}]
`

// askFrom sends a request from an address, over a connection of its own.
func (r *running) askFrom(t *testing.T, source, host string) (status int, problem, body string) {
	t.Helper()
	trellistest.NeedAddress(t, source)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}, Timeout: time.Minute}
	request, err := http.NewRequest("GET", "http://"+r.server.proxy.Addr(80).String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("X-Trellis-Problem"), string(text)
}

func TestTwoVPCsOnTheLoopbackReachTheServicesOfTheirNetworks(t *testing.T) {
	// The target returns the headers that it gets.
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Amzn-Source-Vpc"), " ", r.Header.Get("X-Amzn-Lattice-Network"), " ", r.Header.Get("X-Amzn-Lattice-Target"))
	}))
	defer backend.Close()
	file := filepath.Join(t.TempDir(), "inventory.yaml")
	if err := os.WriteFile(file, []byte(loopbackVPCs), 0o600); err != nil {
		t.Fatal(err)
	}
	node := start(t, "dev", "--inventory", file, "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	api, ctx := node.client(anybody()), t.Context()
	group, host := serviceInFront(t, api, types.TargetGroupTypeIp, types.ListenerProtocolHttp, types.TargetGroupConfig{})
	if problem := register(t, api, group, backend.Listener.Addr()); problem != "" {
		t.Fatal(problem)
	}
	services, err := api.ListServices(ctx, &vpclattice.ListServicesInput{})
	if err != nil {
		t.Fatal(err)
	}
	associate := func(network, vpc string, groups ...string) (networkARN string) {
		t.Helper()
		n, err := api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: &network})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := api.CreateServiceNetworkVpcAssociation(ctx, &vpclattice.CreateServiceNetworkVpcAssociationInput{
			ServiceNetworkIdentifier: n.Id, VpcIdentifier: &vpc, SecurityGroupIds: groups}); err != nil {
			t.Fatal(err)
		}
		return *n.Arn
	}
	first := associate("first", "vpc-0123456789abcdef1", "sg-0123456789abcdef0")
	second := associate("second", "vpc-0123456789abcdef2")
	join := func(network string) {
		t.Helper()
		if _, err := api.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
			ServiceIdentifier: services.Items[0].Id, ServiceNetworkIdentifier: &network}); err != nil {
			t.Fatal(err)
		}
	}
	join(first)
	expect := func(source string, want int, words ...string) {
		t.Helper()
		status, problem, body := node.askFrom(t, source, host)
		for _, word := range words {
			if status != want || !strings.Contains(problem+body, word) {
				t.Errorf("from %s: %d %q %q; want %d and %q", source, status, problem, body, want, word)
			}
		}
	}
	const arn = "SourceVpcArn=arn:aws:ec2:us-west-2:"
	expect("127.0.1.5", 200, "vpc-0123456789abcdef1 "+arn, "ServiceNetworkArn="+first)
	expect("127.0.1.20", 404, "Not Found", "no rule of sg-0123456789abcdef0 admits 127.0.1.20 to port 80")
	expect("127.0.2.5", 404, "Not Found", "127.0.2.5 is in vpc-0123456789abcdef2, which is not associated with a service network that has the service")
	expect("127.0.0.1", 404, "Not Found", "127.0.0.1 is in no VPC of the inventory")
	join(second)
	expect("127.0.2.5", 200, "vpc-0123456789abcdef2 "+arn, "ServiceNetworkArn="+second)
	expect("127.0.1.5", 200, "vpc-0123456789abcdef1 "+arn, "ServiceNetworkArn="+first)

	// The policy of the caller's network decides.
	if _, err := api.UpdateServiceNetwork(ctx, &vpclattice.UpdateServiceNetworkInput{ServiceNetworkIdentifier: aws.String(second), AuthType: types.AuthTypeAwsIam}); err != nil {
		t.Fatal(err)
	}
	expect("127.0.2.5", 403, "because no network-based policy allows")
	expect("127.0.1.5", 200, "ServiceNetworkArn="+first)

	node.explained(t, host+"&source=127.0.1.20", "no rule of sg-0123456789abcdef0 admits 127.0.1.20")
	node.explained(t, host+"&source=127.0.2.5", "policies deny the request")
	if !strings.Contains(node.log.String(), "127.0.2.5 is in vpc-0123456789abcdef2") {
		t.Error("the log does not tell why a client reaches nothing")
	}
}
