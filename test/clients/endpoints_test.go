package clients_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

const endpointVPC = "vpc-0123456789abcdef0"

// reachable is a service network and a resource configuration to which VPC endpoints lead.
type reachable struct{ network, configuration string }

// endpoints makes each client list the VPC endpoints of the inventory, which changes while the server runs, and detach one.
func (e environment) endpoints(t *testing.T) {
	t.Parallel()
	inventory := filepath.Join(t.TempDir(), "inventory.yaml")
	text := fmt.Sprintf("vpcs:\n  - id: %s\n    cidrs: [10.0.0.0/16]\n", endpointVPC)
	writeFile(t, inventory, text)
	p := trellistest.Start(t, e.trellis, "dev", "--inventory", inventory)

	accounts := []string{"131313131313", "141414141414", "151515151515", "161616161616"}
	reach := map[string]reachable{}
	text += "vpcEndpoints:\n"
	for i, account := range accounts {
		r := createReachable(t, devClient(t, p, account))
		reach[account] = r
		for n := range 5 {
			text += fmt.Sprintf("  - {id: vpce-%017x, vpc: %s, type: ServiceNetwork, serviceNetwork: %q}\n", 100*i+n, endpointVPC, r.network)
			text += fmt.Sprintf("  - {id: vpce-%017x, vpc: %s, type: Resource, resourceConfiguration: %q}\n", 100*i+n+50, endpointVPC, r.configuration)
		}
	}
	writeFile(t, inventory+".new", text)
	if err := os.Rename(inventory+".new", inventory); err != nil {
		t.Fatal(err)
	}
	for _, account := range accounts {
		awaitEndpoints(t, devClient(t, p, account), reach[account])
	}
	env := func(account string) []string {
		return append(asAccount(p, account), "TRELLIS_NETWORK="+reach[account].network, "TRELLIS_CONFIGURATION="+reach[account].configuration)
	}

	// The clients have the server until the last of them is done.
	t.Run("clients", func(t *testing.T) {
		t.Run("Boto3", func(t *testing.T) {
			t.Parallel()
			run(t, env(accounts[0]), e.python(), "python/kinds.py", "sdk", "Endpoint")
		})
		t.Run("AWSCommandLine", func(t *testing.T) {
			t.Parallel()
			run(t, env(accounts[1]), e.python(), "python/kinds.py", "commandline", "Endpoint")
		})
		t.Run("SDKForJavaScript", func(t *testing.T) {
			t.Parallel()
			run(t, env(accounts[2]), "node", "javascript/kinds.mjs", "Endpoint")
		})
		t.Run("SDKForGo", func(t *testing.T) {
			t.Parallel()
			detachEndpoint(t, devClient(t, p, accounts[3]), reach[accounts[3]])
		})
	})
}

func createReachable(t *testing.T, c *vpclattice.Client) reachable {
	t.Helper()
	ctx := t.Context()
	network := must(c.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("network")}))(t)
	gateway := must(c.CreateResourceGateway(ctx, &vpclattice.CreateResourceGatewayInput{
		Name: aws.String("gateway"), VpcIdentifier: aws.String(endpointVPC), SubnetIds: []string{"subnet-0123456789abcdef0"},
	}))(t)
	configuration := must(c.CreateResourceConfiguration(ctx, &vpclattice.CreateResourceConfigurationInput{
		Name: aws.String("database"), Type: types.ResourceConfigurationTypeSingle, ResourceGatewayIdentifier: gateway.Id, PortRanges: []string{"5432"},
		ResourceConfigurationDefinition: &types.ResourceConfigurationDefinitionMemberIpResource{Value: types.IpResource{IpAddress: aws.String("10.0.0.5")}},
	}))(t)
	return reachable{*network.Arn, *configuration.Arn}
}

// awaitEndpoints waits until the inventory with the endpoints has been read.
func awaitEndpoints(t *testing.T, c *vpclattice.Client, r reachable) {
	t.Helper()
	trellistest.Await(t, func() bool {
		list := must(c.ListServiceNetworkVpcEndpointAssociations(t.Context(), &vpclattice.ListServiceNetworkVpcEndpointAssociationsInput{ServiceNetworkIdentifier: &r.network}))(t)
		return len(list.Items) > 0
	}, "the endpoints of the inventory are listed")
}

// detachEndpoint does with the SDK for Go what the other programs do with their clients.
func detachEndpoint(t *testing.T, c *vpclattice.Client, r reachable) {
	ctx := t.Context()
	size := aws.Int32(pageSize)
	pages := 0
	toNetwork := &vpclattice.ListServiceNetworkVpcEndpointAssociationsInput{ServiceNetworkIdentifier: &r.network, MaxResults: size}
	for p := vpclattice.NewListServiceNetworkVpcEndpointAssociationsPaginator(c, toNetwork); p.HasMorePages(); pages++ {
		for _, item := range must(p.NextPage(ctx))(t).Items {
			if *item.ServiceNetworkArn != r.network || *item.State != "ACTIVE" {
				t.Errorf("an endpoint is %s for %s", *item.State, *item.ServiceNetworkArn)
			}
		}
	}
	_, err := c.DeleteServiceNetwork(ctx, &vpclattice.DeleteServiceNetworkInput{ServiceNetworkIdentifier: &r.network})
	refusal[*types.ConflictException](t, err, http.StatusConflict)

	toResource := &vpclattice.ListResourceEndpointAssociationsInput{ResourceConfigurationIdentifier: &r.configuration, MaxResults: size}
	ofResource := must(paged(vpclattice.NewListResourceEndpointAssociationsPaginator(c, toResource))(ctx))(t)
	if pages != 3 || len(ofResource) != 3 {
		t.Errorf("five endpoints to each come in %d and %d pages", pages, len(ofResource))
	}
	first := ofResource[0][0]
	key := &vpclattice.DeleteResourceEndpointAssociationInput{ResourceEndpointAssociationIdentifier: &first}
	if detached := must(c.DeleteResourceEndpointAssociation(ctx, key))(t); *detached.Arn != first || !strings.HasPrefix(*detached.VpcEndpointId, "vpce-") {
		t.Errorf("%s was detached from %s, want an endpoint from %s", *detached.VpcEndpointId, *detached.Arn, first)
	}
	left := must(c.ListResourceEndpointAssociations(ctx, &vpclattice.ListResourceEndpointAssociationsInput{ResourceConfigurationIdentifier: &r.configuration}))(t)
	if len(left.Items) != 4 {
		t.Errorf("%d of 5 endpoints are left, want 4", len(left.Items))
	}
	_, err = c.DeleteResourceEndpointAssociation(ctx, key)
	refusal[*types.ResourceNotFoundException](t, err, http.StatusNotFound)
}
