package server

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/internal/configuration"
	"trellis/test/trellistest"
)

// serviceOnPort80 makes a service whose HTTP listener answers 404.
func (r *running) serviceOnPort80(t *testing.T) {
	t.Helper()
	serviceOnPort80(t, r.client(anybody()))
}

func serviceOnPort80(t *testing.T, api *vpclattice.Client) {
	t.Helper()
	ctx := t.Context()
	network, err := api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: new("home")})
	if err != nil {
		t.Fatal(err)
	}
	service, err := api.CreateService(ctx, &vpclattice.CreateServiceInput{Name: new("nothing")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = api.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id}); err != nil {
		t.Fatal(err)
	}
	if _, err = api.CreateListener(ctx, &vpclattice.CreateListenerInput{ServiceIdentifier: service.Id, Name: new("http"), Protocol: types.ListenerProtocolHttp,
		DefaultAction: &types.RuleActionMemberFixedResponse{Value: types.FixedResponseAction{StatusCode: new(int32(404))}}}); err != nil {
		t.Fatal(err)
	}
}

func TestAddressOfAnotherMachineStopsTheStart(t *testing.T) {
	const elsewhere = "203.0.113.5" // RFC 5737
	if listener, err := net.Listen("tcp", elsewhere+":0"); err == nil {
		listener.Close()
		t.Skip("this machine opens ports on any address")
	}
	command, err := configuration.Parse([]string{"dev", "--data-addr", elsewhere, "--allow-remote", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), Config{Configuration: command.Configuration, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "--data-addr") || !strings.Contains(err.Error(), elsewhere) {
		t.Errorf("Run says %v", err)
	}
}

func TestConnectionDurationIsAsConfigured(t *testing.T) {
	node := start(t, "dev", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)), "--connection-duration", "1s")
	node.serviceOnPort80(t)
	conn, err := net.Dial("tcp", node.server.proxy.Addr(80).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(50 * time.Second)) // The idle timeout is a minute.
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after its time the connection gives %v, want its end", err)
	}
}
