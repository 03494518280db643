package stories_test

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// resourceBehind makes a resource that leads to ports of the loopback.
func resourceBehind(t *testing.T, api *vpclattice.Client, ports ...string) {
	t.Helper()
	ctx := t.Context()
	gateway, err := api.CreateResourceGateway(ctx, &vpclattice.CreateResourceGatewayInput{
		Name: aws.String("gate"), VpcIdentifier: aws.String("vpc-0123456789abcdef0"), SubnetIds: []string{"subnet-0123456789abcdef0"}})
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := api.CreateResourceConfiguration(ctx, &vpclattice.CreateResourceConfigurationInput{
		Name: aws.String("store"), Type: types.ResourceConfigurationTypeSingle, ResourceGatewayIdentifier: gateway.Id, PortRanges: ports,
		ResourceConfigurationDefinition: &types.ResourceConfigurationDefinitionMemberIpResource{Value: types.IpResource{IpAddress: aws.String("127.0.0.1")}}})
	if err != nil {
		t.Fatal(err)
	}
	network, err := api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("net")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.CreateServiceNetworkResourceAssociation(ctx, &vpclattice.CreateServiceNetworkResourceAssociationInput{
		ServiceNetworkIdentifier: network.Id, ResourceConfigurationIdentifier: configuration.Id}); err != nil {
		t.Fatal(err)
	}
}

// echoServer sends back what comes, and returns its port.
func echoServer(t *testing.T) int {
	t.Helper()
	return trellistest.ServeTCP(t, func(conn *net.TCPConn) {
		// io.Copy would take a pipe for each connection, and thousands of them all files that the test may open.
		for piece := make([]byte, 512); ; {
			n, err := conn.Read(piece)
			if err != nil {
				return
			}
			if _, err := conn.Write(piece[:n]); err != nil {
				return
			}
		}
	}).Port
}

// says sends a byte and waits until it comes back.
func says(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(50 * time.Second))
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

func TestUpgradeLosesNoConnectionToAResource(t *testing.T) {
	program := trellistest.BuildFast(t)
	port := echoServer(t)
	t.Run("whose connections are steered", func(t *testing.T) {
		needSteering(t)
		upgradeUnderConnections(t, program, port, "1-65535")
	})
	t.Run("whose ports are bound one by one", func(t *testing.T) {
		upgradeUnderConnections(t, withoutCapabilities(t, program), port, fmt.Sprint(port))
	})
}

// upgradeUnderConnections upgrades a node while connections to a resource are made, of which none may fail.
func upgradeUnderConnections(t *testing.T, program string, port int, ports string) {
	t.Helper()
	dir, addresses := t.TempDir(), trellistest.ResourceRange()
	p := trellistest.Start(t, program, "serve", "--data-dir", dir, "--resource-range", addresses.String(), "--drain-timeout", "20s")
	resourceBehind(t, client(t, p.API, filepath.Join(dir, "credentials")), ports)
	address := firstOf(addresses, port)
	old, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := says(old); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	count := 0
	load.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			conn, err := net.Dial("tcp", address)
			if err == nil {
				err = says(conn)
				conn.Close()
			}
			if err != nil {
				t.Errorf("connection %d: %v", count, err)
				return
			}
			count++
			time.Sleep(time.Millisecond) // Sleeps: the pace of the load.
		}
	})
	used := make(chan struct{})
	time.AfterFunc(3*time.Second, func() { // The old process keeps the connection until then.
		defer close(used)
		if err := says(old); err != nil {
			t.Errorf("the connection from before the upgrade: %v", err)
		}
		old.Close()
	})
	p.Upgrade()
	<-used
	close(stop)
	load.Wait()
	again, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := says(again); err != nil {
		t.Errorf("a connection after the upgrade: %v", err)
	}
	t.Logf("%d connections were made during the upgrade", count)
}
