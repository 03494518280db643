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

func TestInventoryDecidesWhichInstancesCanBeRegistered(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "instance") }))
	defer backend.Close()
	file := filepath.Join(t.TempDir(), "inventory.yaml")
	text := `vpcs: [{id: vpc-0123456789abcdef0, cidrs: [127.0.0.0/8]}, {id: vpc-22222222, cidrs: [10.1.0.0/16]}]
instances:
  - {id: i-11111111, address: 127.0.0.1, vpc: vpc-0123456789abcdef0}
  - {id: i-22222222, address: 127.0.0.1, vpc: vpc-22222222}
  - {id: i-33333333, address: 127.0.0.1, vpc: vpc-0123456789abcdef0, state: stopped}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	node := start(t, "dev", "--inventory", file, "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	api := node.client(anybody())
	group, host := serviceInFront(t, api, types.TargetGroupTypeInstance, types.ListenerProtocolHttp, types.TargetGroupConfig{})
	port := new(int32(backend.Listener.Addr().(*net.TCPAddr).Port))
	var targets []types.Target
	for _, id := range []string{"i-11111111", "i-22222222", "i-33333333", "i-44444444"} {
		targets = append(targets, types.Target{Id: &id, Port: port})
	}
	out, err := api.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &group, Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 1 || len(out.Unsuccessful) != 3 {
		t.Fatalf("%d are registered, %d are not", len(out.Successful), len(out.Unsuccessful))
	}
	for i, want := range []string{"Instance targets must be in the same VPC as their target group", "i-33333333 is stopped", "no instance i-44444444"} {
		if got := out.Unsuccessful[i]; *got.FailureCode != "UnsupportedTarget" || !strings.Contains(*got.FailureMessage, want) {
			t.Errorf("%s: %s %q, want %q", *got.Id, *got.FailureCode, *got.FailureMessage, want)
		}
	}
	if response := node.ask(t, host, "/"); response.StatusCode != http.StatusOK {
		t.Errorf("a request to the instance is answered %d", response.StatusCode)
	}
}
