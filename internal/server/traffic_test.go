package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

// serviceOnPort80 makes a service whose HTTP listener answers 404, and returns its name.
func (r *running) serviceOnPort80(t *testing.T) string {
	t.Helper()
	ctx, api := t.Context(), r.client(anybody())
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
	return *service.DnsEntry.DomainName
}

func TestConnectionDurationIsAsConfigured(t *testing.T) {
	node := start(t, "dev", "--port-map", "80="+freePort(t), "--connection-duration", "1s")
	name := node.serviceOnPort80(t)
	conn, err := net.Dial("tcp", node.server.proxy.Addr(80).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second)) // The idle timeout is a minute.
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", name)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(response.Body); err != nil || response.StatusCode != 404 {
		t.Fatalf("got %d, error %v", response.StatusCode, err)
	}
	if _, err := reader.ReadByte(); err != io.EOF {
		t.Errorf("after its time the connection gives %v, want its end", err)
	}
}
