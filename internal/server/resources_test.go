package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/internal/console"
	"trellis/test/trellistest"
)

// greeter is a database that greets each client that connects.
func greeter(t *testing.T) (port int) {
	t.Helper()
	return trellistest.ServeTCP(t, func(conn *net.TCPConn) { io.WriteString(conn, "hello") }).Port
}

// greetFrom connects from an address and returns what comes.
func greetFrom(source, address string, port int) (string, error) {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conn, err := dialer.Dial("tcp", net.JoinHostPort(address, fmt.Sprint(port)))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	got, err := io.ReadAll(conn)
	return string(got), err
}

func (r *running) explainAddress(t *testing.T, query string) (e console.ResourceExplanation) {
	t.Helper()
	response, err := http.Get("http://" + r.server.adminListener.Addr().String() + "/explain?" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

// resourceInNetwork puts a resource on the loopback into a service network that a VPC is associated with, and returns the
// name at which it is reached.
func resourceInNetwork(t *testing.T, api *vpclattice.Client, vpc string, port int) (name, association string) {
	t.Helper()
	return resourceDefinedIn(t, api, vpc, port, types.ResourceConfigDnsResolutionPublic,
		&types.ResourceConfigurationDefinitionMemberIpResource{Value: types.IpResource{IpAddress: aws.String("127.0.0.1")}})
}

func resourceDefinedIn(t *testing.T, api *vpclattice.Client, vpc string, port int, resolution types.ResourceConfigDnsResolution, definition types.ResourceConfigurationDefinition) (name, association string) {
	t.Helper()
	ctx := t.Context()
	gateway, err := api.CreateResourceGateway(ctx, &vpclattice.CreateResourceGatewayInput{
		Name: aws.String("gate"), VpcIdentifier: aws.String("vpc-0123456789abcdef9"), SubnetIds: []string{"subnet-0123456789abcdef0"},
		ResourceConfigDnsResolution: resolution})
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := api.CreateResourceConfiguration(ctx, &vpclattice.CreateResourceConfigurationInput{
		Name: aws.String("orders"), Type: types.ResourceConfigurationTypeSingle, ResourceGatewayIdentifier: gateway.Id, PortRanges: []string{fmt.Sprint(port)},
		ResourceConfigurationDefinition: definition,
	})
	if err != nil {
		t.Fatal(err)
	}
	network, err := api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("net")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.CreateServiceNetworkVpcAssociation(ctx, &vpclattice.CreateServiceNetworkVpcAssociationInput{
		ServiceNetworkIdentifier: network.Id, VpcIdentifier: &vpc}); err != nil {
		t.Fatal(err)
	}
	created, err := api.CreateServiceNetworkResourceAssociation(ctx, &vpclattice.CreateServiceNetworkResourceAssociationInput{
		ServiceNetworkIdentifier: network.Id, ResourceConfigurationIdentifier: configuration.Id})
	if err != nil {
		t.Fatal(err)
	}
	got, err := api.GetServiceNetworkResourceAssociation(ctx, &vpclattice.GetServiceNetworkResourceAssociationInput{ServiceNetworkResourceAssociationIdentifier: created.Id})
	if err != nil {
		t.Fatal(err)
	}
	return *got.DnsEntry.DomainName, *created.Id
}

func TestResourceIsReachedByItsNameFromItsVPCAlone(t *testing.T) {
	port := greeter(t)
	file := filepath.Join(t.TempDir(), "inventory.yaml")
	// The resolver asks from 127.0.0.1, which is in the first VPC.
	vpcs := strings.Replace(loopbackVPCs, "127.0.1.0/24", "127.0.0.0/24", 1)
	if err := os.WriteFile(file, []byte(vpcs), 0o600); err != nil {
		t.Fatal(err)
	}
	addresses := trellistest.ResourceRange()
	node := start(t, "dev", "--inventory", file, "--resource-range", addresses.String())
	api := node.client(anybody())
	name, association := resourceInNetwork(t, api, "vpc-0123456789abcdef1", port)
	found, err := node.lookUp(t, name)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s is %v, %v", name, found, err)
	}
	address := found[0]
	if !addresses.Contains(netip.MustParseAddr(address)) {
		t.Errorf("the address is %s, want one in %v", address, addresses)
	}
	if got, err := greetFrom("127.0.0.1", address, port); got != "hello" {
		t.Errorf("from its VPC: %q, %v; want hello", got, err)
	}
	if got, err := greetFrom("127.0.2.1", address, port); err == nil {
		t.Errorf("from another VPC: %q, want an error", got)
	}
	query := fmt.Sprintf("address=%s&port=%d&source=", address, port)
	if e := node.explainAddress(t, query+"127.0.0.1"); e.Problem != "" || len(e.Targets) != 1 || e.DomainName != name {
		t.Errorf("the explanation from its VPC is %+v", e)
	}
	trellistest.Await(t, func() bool { return node.explainAddress(t, query+"127.0.2.1").Failure != nil }, "the failure is explained")
	e := node.explainAddress(t, query+"127.0.2.1")
	if want := "the client's address 127.0.2.1 is in vpc-0123456789abcdef2, which is not associated"; !strings.HasPrefix(e.Problem, want) || !strings.HasPrefix(e.Failure.Problem, want) {
		t.Errorf("from another VPC the explanation is %+v, the last failure %+v", e, e.Failure)
	}
	if _, err := api.DeleteServiceNetworkResourceAssociation(t.Context(), &vpclattice.DeleteServiceNetworkResourceAssociationInput{
		ServiceNetworkResourceAssociationIdentifier: &association}); err != nil {
		t.Fatal(err)
	}
	if got, err := greetFrom("127.0.0.1", address, port); err == nil {
		t.Errorf("after its association was deleted: %q, want an error", got)
	}
	if _, err := node.lookUp(t, name); err == nil {
		t.Error("after its association was deleted the name is found")
	}
}

func TestNameOfAResourceIsResolvedWhereItsGatewaySays(t *testing.T) {
	port := greeter(t)
	// A node whose data plane is at 127.0.0.1 has the name.
	names := start(t, "dev")
	if _, err := names.client(anybody()).CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: aws.String("orders"), CustomDomainName: aws.String("db.internal.example")}); err != nil {
		t.Fatal(err)
	}
	server := names.server.names.server.Load().Addr().String()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, test := range []struct {
		resolution    types.ResourceConfigDnsResolution
		public, ofVPC string
	}{
		{types.ResourceConfigDnsResolutionPublic, server, silent.LocalAddr().String()},
		{types.ResourceConfigDnsResolutionInVpc, silent.LocalAddr().String(), server},
	} {
		file := filepath.Join(t.TempDir(), "inventory.yaml")
		vpcs := fmt.Sprintf("vpcs:\n  - {id: vpc-0123456789abcdef1, cidrs: [127.0.0.0/24]}\n  - {id: vpc-0123456789abcdef9, cidrs: [10.9.0.0/16], dnsServers: [%q]}\n", test.ofVPC)
		if err := os.WriteFile(file, []byte(vpcs), 0o600); err != nil {
			t.Fatal(err)
		}
		node := start(t, "dev", "--inventory", file, "--resource-range", trellistest.ResourceRange().String(), "--dns-resolver", test.public)
		name, _ := resourceDefinedIn(t, node.client(anybody()), "vpc-0123456789abcdef1", port, test.resolution,
			&types.ResourceConfigurationDefinitionMemberDnsResource{Value: types.DnsResource{DomainName: aws.String("db.internal.example"), IpAddressType: types.ResourceConfigurationIpAddressTypeIpv4}})
		found, err := node.lookUp(t, name)
		if err != nil || len(found) != 1 {
			t.Fatalf("%s is %v, %v", name, found, err)
		}
		if got, err := greetFrom("127.0.0.1", found[0], port); got != "hello" {
			t.Errorf("%s: %q, %v", test.resolution, got, err)
		}
	}
}

func TestTargetInTheRangeOfResourcesIsRefused(t *testing.T) {
	s := &Server{}
	s.cfg.ResourceRange.IPv4 = netip.MustParsePrefix("127.92.0.0/24")
	s.addresses.Local = true
	if err := s.permitTarget(netip.MustParseAddr("127.92.0.9")); err == nil || !strings.Contains(err.Error(), "--resource-range") {
		t.Errorf("error %v, want one that names --resource-range", err)
	}
	if err := s.permitTarget(netip.MustParseAddr("127.93.0.9")); err != nil {
		t.Error(err)
	}
}
