package stories_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/internal/lattice"
	"trellis/internal/proxy/steering"
	"trellis/test/trellistest"
)

// steers returns an error that says why, if the kernel steers no connections for this process.
func steers(t *testing.T) error {
	t.Helper()
	table, err := steering.New(lattice.ResourceRange{IPv4: trellistest.ResourceRange()})
	if err == nil {
		return table.Close()
	}
	if !errors.Is(err, os.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	return err
}

// needSteering skips a test where the kernel steers no connections for this process.
func needSteering(t *testing.T) {
	t.Helper()
	if err := steers(t); err != nil {
		t.Skip(err)
	}
}

// wrapped returns a program that runs another one with words in front of it, such as setpriv.
func wrapped(t *testing.T, program string, words ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "wrapped")
	if err := os.WriteFile(file, fmt.Appendf(nil, "#!/bin/sh\nexec %s '%s' \"$@\"\n", strings.Join(words, " "), program), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

// withoutCapabilities returns a program that runs another one without the capabilities that steering needs.
func withoutCapabilities(t *testing.T, program string) string {
	t.Helper()
	if steers(t) != nil {
		return program // As it is.
	}
	return wrapped(t, program, "setpriv", "--bounding-set=-bpf,-net_admin,-sys_admin")
}

// explained asks a node about an address of a resource.
func explained(t *testing.T, p *trellistest.Process, query string) (e struct {
	Problem, Closed string
	Open            []struct{ From, To int }
}) {
	t.Helper()
	response, err := http.Get(p.Admin + "/explain?" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

// reachesEcho reports whether an echo server is reached at an address.
func reachesEcho(t *testing.T, address string) bool {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return says(conn) == nil
}

func devAPI(p *trellistest.Process) *vpclattice.Client {
	return vpclattice.New(vpclattice.Options{BaseEndpoint: aws.String(p.API), Region: "us-west-2", Credentials: aws.AnonymousCredentials{}})
}

func startDev(t *testing.T, program string, addresses netip.Prefix) *trellistest.Process {
	t.Helper()
	return trellistest.Start(t, program, "dev", "--port-map", "80=0,443=0", "--dns-addr", "none", "--resource-range", addresses.String())
}

// firstOf returns the address of the first resource, and a port.
func firstOf(addresses netip.Prefix, port int) string {
	return netip.AddrPortFrom(addresses.Addr().Next(), uint16(port)).String()
}

func TestAllPortsTakeTwoCapabilitiesAndNoMore(t *testing.T) {
	needSteering(t)
	program := filepath.Join(t.TempDir(), "trellis")
	if out, err := exec.Command("sh", "-c", `cp "$0" "$1" && chmod 755 "$1" && chmod 755 "${1%/*}" "${1%/*/*}"`, trellistest.BuildFast(t), program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	port := echoServer(t)
	for name, test := range map[string]struct {
		words []string
		all   bool
	}{
		"with them":    {[]string{"setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=+bpf,+net_admin", "--ambient-caps=+bpf,+net_admin"}, true},
		"without them": {[]string{"setpriv", "--reuid=65534", "--clear-groups"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			addresses := trellistest.ResourceRange()
			p := startDev(t, wrapped(t, program, test.words...), addresses)
			resourceBehind(t, devAPI(p), "1-65535")
			address := firstOf(addresses, port)
			if got := reachesEcho(t, address); got != test.all {
				t.Errorf("%s is reached: %v, want %v", address, got, test.all)
			}
			e := explained(t, p, fmt.Sprintf("address=%s&port=%d", addresses.Addr().Next(), port))
			if (e.Problem == "") != test.all || (e.Closed == "") != test.all {
				t.Errorf("the explanation is %+v", e)
			}
			if !test.all && !strings.Contains(e.Problem, "CAP_BPF and CAP_NET_ADMIN") {
				t.Errorf("the problem is %q", e.Problem)
			}
		})
	}
}

func TestNodesSideBySideHaveTheirOwnResources(t *testing.T) {
	needSteering(t)
	program := trellistest.BuildFast(t)
	port := echoServer(t)
	one, two := trellistest.ResourceRange(), trellistest.ResourceRange()
	for two == one {
		two = trellistest.ResourceRange()
	}
	first := startDev(t, program, one)
	resourceBehind(t, devAPI(first), "1-65535")
	second := startDev(t, program, two)
	resourceBehind(t, devAPI(second), fmt.Sprint(port))
	third := startDev(t, withoutCapabilities(t, program), one) // The range of the first one.
	resourceBehind(t, devAPI(third), fmt.Sprint(port))
	for _, addresses := range []netip.Prefix{one, two} {
		if address := firstOf(addresses, port); !reachesEcho(t, address) {
			t.Errorf("%s is not reached", address)
		}
	}
	if reachesEcho(t, firstOf(two, 9)) {
		t.Error("the second node has the ports of the first one")
	}
	if e := explained(t, third, "address="+one.Addr().Next().String()); !strings.Contains(e.Problem, "a range of its own") {
		t.Errorf("the third node explains %+v", e)
	}
}

func TestNoSteeringOutlivesAKilledProcess(t *testing.T) {
	needSteering(t)
	program := trellistest.BuildFast(t)
	port := echoServer(t)
	addresses := trellistest.ResourceRange()
	address := firstOf(addresses, port)
	for range 2 {
		p := startDev(t, program, addresses)
		resourceBehind(t, devAPI(p), "1-65535")
		if !reachesEcho(t, address) {
			t.Error("the resource is not reached")
		}
		p.Kill()
		if reachesEcho(t, address) {
			t.Error("the resource is still reached after the process was killed")
		}
	}
}
