package server

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/internal/resolver"
	"trellis/test/trellistest"
)

// lookUp asks the node's DNS.
func (r *running) lookUp(t *testing.T, name string) ([]string, error) {
	t.Helper()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, r.server.names.server.Load().Addr().String())
	}}
	return resolver.LookupHost(t.Context(), name+".")
}

func TestNamesOfAServiceAreFoundByDNSFromItsCreationToItsEnd(t *testing.T) {
	node := start(t, "dev")
	client := vpclattice.New(vpclattice.Options{
		BaseEndpoint: aws.String(node.url), Region: "us-west-2", Credentials: aws.AnonymousCredentials{},
	})
	created, err := client.CreateService(t.Context(), &vpclattice.CreateServiceInput{
		Name: aws.String("orders"), CustomDomainName: aws.String("orders.example.com"),
	})
	if err != nil {
		t.Fatal(err)
	}
	generated := *created.DnsEntry.DomainName
	for _, name := range []string{generated, "orders.example.com", "Orders.Example.COM"} {
		if got, err := node.lookUp(t, name); err != nil || !slices.Equal(got, []string{"127.0.0.1"}) {
			t.Errorf("%s is %v, %v; want the address of the data plane", name, got, err)
		}
	}
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	install := resolver.Install{Admin: "http://" + node.server.adminListener.Addr().String(), Hosts: hosts, Once: true, Yes: true}
	if code := install.Run(t.Context(), nil, io.Discard, &errOut); code != 0 {
		t.Fatalf("trellis dns install: exit code %d: %s", code, &errOut)
	}
	text, err := os.ReadFile(hosts)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{generated, "orders.example.com"} {
		if !strings.Contains(string(text), "127.0.0.1 "+name+"\n") {
			t.Errorf("%s is not in the hosts file:\n%s", name, text)
		}
	}
	if _, err := client.DeleteService(t.Context(), &vpclattice.DeleteServiceInput{ServiceIdentifier: created.Id}); err != nil {
		t.Fatal(err)
	}
	trellistest.Await(t, func() bool {
		_, err := node.lookUp(t, generated)
		return err != nil
	}, "the name of a deleted service is gone")
	if _, err := node.lookUp(t, "orders.example.com"); err == nil {
		t.Error("the custom domain name of a deleted service is still answered")
	}
}

func TestTakenDNSPortIsBoundLater(t *testing.T) {
	first := start(t, "dev")
	addr := first.server.names.server.Load().Addr().String()
	second := start(t, "dev", "--dns-addr", addr)
	if !strings.Contains(second.out.String(), "names  not yet: "+addr) {
		t.Errorf("the greeting does not say that the port is taken:\n%s", second.out)
	}
	first.server.names.server.Load().Close()
	trellistest.Await(t, func() bool { return strings.Contains(second.log.String(), "names are answered") }, "the second node answers")
}

func TestOtherNamesAreForwardedWhereTheFlagSays(t *testing.T) {
	other := start(t, "dev")
	if _, err := other.client(anybody()).CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: aws.String("orders"), CustomDomainName: aws.String("orders.example.com")}); err != nil {
		t.Fatal(err)
	}
	node := start(t, "dev", "--dns-forward", other.server.names.server.Load().Addr().String())
	if got, err := node.lookUp(t, "orders.example.com"); err != nil || !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("a name of the other node is %v, %v; want 127.0.0.1", got, err)
	}
	if got, err := start(t, "dev").lookUp(t, "orders.example.com"); err == nil {
		t.Errorf("without the flag it is %v, want an error", got)
	}
}
