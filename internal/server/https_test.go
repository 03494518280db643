package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

	"trellis/internal/configuration"
	"trellis/test/trellistest"
)

// TestClientThatTrustsTheAuthorityReachesAServiceOverHTTPS does what a user does: it fetches ca.pem, creates an HTTPS
// listener, and sends a request.
func TestClientThatTrustsTheAuthorityReachesAServiceOverHTTPS(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Header.Get("x-forwarded-proto")+" "+r.Host)
	}))
	defer backend.Close()
	node := start(t, "dev", "--port-map", fmt.Sprintf("443=%d", trellistest.FreePort(t)))
	ctx, api := t.Context(), node.client(anybody())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	port := int32(backend.Listener.Addr().(*net.TCPAddr).Port)
	group, err := api.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{Name: new("files"), Type: types.TargetGroupTypeIp,
		Config: &types.TargetGroupConfig{Protocol: types.TargetGroupProtocolHttp, Port: &port, VpcIdentifier: new("vpc-0123456789abcdef0")}})
	must(err)
	_, err = api.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: group.Id, Targets: []types.Target{{Id: new("127.0.0.1")}}})
	must(err)
	network, err := api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: new("home")})
	must(err)
	service, err := api.CreateService(ctx, &vpclattice.CreateServiceInput{Name: new("files"), CustomDomainName: new("files.example.test")})
	must(err)
	_, err = api.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id})
	must(err)
	_, err = api.CreateListener(ctx, &vpclattice.CreateListenerInput{ServiceIdentifier: service.Id, Name: new("https"), Protocol: types.ListenerProtocolHttps,
		DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: group.Id}}}}})
	must(err)

	response, err := http.Get("http://" + node.server.adminListener.Addr().String() + "/ca.pem")
	must(err)
	defer response.Body.Close()
	pem, err := io.ReadAll(response.Body)
	must(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("ca.pem is %q", pem)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, node.server.proxy.Addr(443).String())
		}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	for _, name := range []string{*service.DnsEntry.DomainName, "files.example.test"} {
		response, err := client.Get("https://" + name + "/")
		must(err)
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		must(err)
		if response.StatusCode != 200 || string(body) != "https "+name || response.ProtoMajor != 2 {
			t.Errorf("%s: got %s %d %q", name, response.Proto, response.StatusCode, body)
		}
	}
	if _, err := client.Get("https://nobody.localhost/"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name that nobody has: error %v", err)
	}
}

//
func TestAuthorityOfDevIsInTheCacheDirectory(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	s := &Server{}
	if dir, err := s.authorityDir(); err != nil || dir != filepath.Join(cache, "trellis") || len(s.closers) != 0 {
		t.Fatalf("got %s, error %v", dir, err)
	}
	s.cfg.Configuration = configuration.Configuration{Common: configuration.Common{CADir: "elsewhere"}}
	if dir, err := s.authorityDir(); err != nil || dir != "elsewhere" {
		t.Fatalf("got %s, error %v", dir, err)
	}
}

func TestAuthorityWithoutACacheDirectoryEndsWithTheNode(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
	t.Setenv("TMPDIR", t.TempDir())
	log := &trellistest.Text{}
	s := &Server{log: slog.New(slog.NewTextHandler(log, nil))}
	if err := s.openCertificates(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := s.authority.File()
	if _, err := os.Stat(file); err != nil || !strings.Contains(log.String(), "--ca-dir") {
		t.Fatalf("error %v, log:\n%s", err, log)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("after the end: error %v", err)
	}
}
