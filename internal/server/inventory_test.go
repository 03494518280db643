package server

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trellis/internal/routing"
	"trellis/test/trellistest"
)

// TestInstanceTargetsFollowTheInventoryFile starts with an instance that the file does not have, adds it, and moves it.
func TestInstanceTargetsFollowTheInventoryFile(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "instance") }))
	defer backend.Close()
	_, backendPort, _ := net.SplitHostPort(backend.Listener.Addr().String())
	file := filepath.Join(t.TempDir(), "inventory.yaml")
	write := func(instances string) {
		t.Helper()
		text := "vpcs:\n  - id: vpc-0123456789abcdef0\n    cidrs: [127.0.0.0/8]\n" + instances
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	instance := func(address string) string {
		return "instances:\n  - id: i-0123456789abcdef0\n    vpc: vpc-0123456789abcdef0\n    address: " + address + "\n"
	}
	write("")
	r := start(t, "dev", "--inventory", file, "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	post := func(path, body string) string {
		t.Helper()
		response, err := http.Post(r.url+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text := make([]byte, 4096)
		n, _ := response.Body.Read(text)
		if response.StatusCode > 299 {
			t.Fatalf("POST %s: %d %s", path, response.StatusCode, text[:n])
		}
		_, id, _ := strings.Cut(string(text[:n]), `"id":"`)
		id, _, _ = strings.Cut(id, `"`)
		return id
	}
	group := post("/targetgroups", `{"name":"machines","type":"INSTANCE","config":{"protocol":"HTTP","port":`+backendPort+`,"vpcIdentifier":"vpc-0123456789abcdef0"}}`)
	post("/targetgroups/"+group+"/registertargets", `{"targets":[{"id":"i-0123456789abcdef0"}]}`)
	network := post("/servicenetworks", `{"name":"network"}`)
	service := post("/services", `{"name":"web"}`)
	post("/servicenetworkserviceassociations", `{"serviceIdentifier":"`+service+`","serviceNetworkIdentifier":"`+network+`"}`)
	post("/services/"+service+"/listeners", `{"name":"http","protocol":"HTTP","port":80,"defaultAction":{"forward":{"targetGroups":[{"targetGroupIdentifier":"`+group+`"}]}}}`)

	var routes routing.Table
	if _, text := get(t, "http://"+r.server.adminListener.Addr().String()+"/routes"); json.Unmarshal([]byte(text), &routes) != nil {
		t.Fatalf("/routes: %s", text)
	}
	if len(routes.Ports) != 1 || len(routes.Ports[0].Hosts) != 1 {
		t.Fatalf("/routes has the ports %+v, want one with one host", routes.Ports)
	}
	host := routes.Ports[0].Hosts[0].Name
	address := func() string {
		e := r.server.router.Explain(80, host, &routing.Arrival{Request: &routing.Request{Method: []byte("GET"), Path: []byte("/"), Headers: headerLines{}}})
		if len(e.TargetGroups) != 1 || len(e.TargetGroups[0].Targets) != 1 {
			t.Fatalf("unexpected explanation: %+v", e)
		}
		return e.TargetGroups[0].Targets[0].Address
	}
	if got := address(); got != "" {
		t.Errorf("an unknown instance has the address %s", got)
	}
	for _, at := range []string{"127.0.0.1", "127.0.0.2"} {
		write(instance(at))
		trellistest.Await(t, func() bool { return address() == at+":"+backendPort }, "the instance's address is that of the file, %s", at)
	}
}
