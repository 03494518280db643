package stories_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// TestUpgradeKeepsPortsThatTheSystemChose lets a new process take over from one whose listeners are bound to any free port.
func TestUpgradeKeepsPortsThatTheSystemChose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := trellistest.Start(t, trellistest.Build(t), "serve", "--data-dir", dir, "--port-map", "80=0,81=0")
	c := client(t, p.API, filepath.Join(dir, "credentials"))
	network := must(c.CreateServiceNetwork(t.Context(), &vpclattice.CreateServiceNetworkInput{Name: new("network")}))(t)
	service := must(c.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: new("service")}))(t)
	must(c.CreateServiceNetworkServiceAssociation(t.Context(), &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id}))(t)
	for name, port := range map[string]int32{"first": 80, "second": 81} {
		must(c.CreateListener(t.Context(), &vpclattice.CreateListenerInput{ServiceIdentifier: service.Id, Name: &name, Port: &port,
			Protocol: types.ListenerProtocolHttp, DefaultAction: &types.RuleActionMemberFixedResponse{Value: types.FixedResponseAction{StatusCode: new(int32(404))}}}))(t)
	}
	ports := func() (addresses map[int]string) {
		response := must(http.Get(p.Admin + "/ports"))(t)
		defer response.Body.Close()
		var answer []struct {
			Port    int
			Address string
		}
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		addresses = map[int]string{}
		for _, port := range answer {
			addresses[port.Port] = port.Address
		}
		return addresses
	}
	before := ports()
	if len(before) != 2 || before[80] == before[81] {
		t.Fatalf("the ports are %v", before)
	}
	p.Upgrade()
	if after := ports(); !reflect.DeepEqual(after, before) {
		t.Errorf("the ports are %v, and were %v before", after, before)
	}
}
