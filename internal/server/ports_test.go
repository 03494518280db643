package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"trellis/internal/configuration"
	"trellis/test/trellistest"
)

// get returns the response of a URL and its body.
func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func (r *running) admin() string { return "http://" + r.server.adminListener.Addr().String() }

// refused starts a node that must not start, and returns why.
func refused(t *testing.T, args ...string) string {
	t.Helper()
	command, err := configuration.Parse(append(args, "--ca-dir", t.TempDir()), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), Config{Configuration: command.Configuration, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Fatalf("%q starts", args)
	}
	return err.Error()
}

func TestAnyFreePortIsShownEverywhere(t *testing.T) {
	node := start(t, "dev", "--demo", "--port-map", "80=0,443=0")
	address := node.server.proxy.Addr(80).String()
	if _, port, _ := net.SplitHostPort(address); port == "0" || port == "80" {
		t.Fatalf("listener port 80 is bound as %s", address)
	}
	if greeting := node.out.String(); !strings.Contains(greeting, "http://"+address+"/orders/7") {
		t.Errorf("the greeting does not name %s:\n%s", address, greeting)
	}
	if log := node.log.String(); !strings.Contains(log, "address="+address) {
		t.Errorf("the log does not name %s:\n%s", address, log)
	}
	for _, path := range []string{"/explain?host=nobody.test&port=80", "/ports"} {
		if _, body := get(t, node.admin()+path); !strings.Contains(body, strconv.Quote(address)) {
			t.Errorf("%s does not name %s:\n%s", path, address, body)
		}
	}
}

func TestPortThatCannotBeBoundIsShownEverywhereUntilItIs(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, number, _ := net.SplitHostPort(taken.Addr().String())
	node := start(t, "dev", "--demo", "--port-map", "443=0,80="+number)
	// Each line names the port, the listener, the error and what helps.
	arn := "arn:aws:vpc-lattice:us-west-2:000000000000:service/"
	wants := []string{arn, taken.Addr().String() + ": bind: address already in use", "--port-map 80=PORT"}
	_, ready := get(t, node.admin()+"/readyz")
	_, ports := get(t, node.admin()+"/ports")
	_, explained := get(t, node.admin()+"/explain?host=nobody.test&port=80")
	for name, text := range map[string]string{"/readyz": ready, "/ports": ports, "/explain": explained, "the log": node.log.String()} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", name, want, text)
			}
		}
	}
	if greeting := node.out.String(); strings.Count(greeting, "listener port 80") != 2 || !strings.Contains(greeting, "cannot be bound") {
		t.Errorf("the greeting does not tell of it once:\n%s", greeting)
	}
	if response, _ := get(t, node.admin()+"/readyz"); response.StatusCode != http.StatusOK {
		t.Errorf("the node is not ready: %s", response.Status)
	}
	taken.Close()
	trellistest.Await(t, func() bool { return node.server.proxy.Addr(80) != nil }, "the port is bound")
	if _, body := get(t, node.admin()+"/readyz"); strings.Contains(body, "problems") {
		t.Errorf("the problem stays:\n%s", body)
	}
}

func TestSecondDevOnTheSamePortsSaysWhatToDo(t *testing.T) {
	node := start(t, "dev", "--demo", "--port-map", fmt.Sprintf("80=%d,443=0", trellistest.FreePort(t)))
	api, admin := node.server.apiListener.Addr().String(), node.server.adminListener.Addr().String()
	data := node.server.proxy.Addr(80).(*net.TCPAddr).Port
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--api-addr", api}, "--api-addr " + api + ": another Trellis is running there already; use that one, or give this one ports of its own, as with --api-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 --port-map 80=0,443=0"},
		{[]string{"--api-addr", "127.0.0.1:0", "--admin-addr", admin}, "--admin-addr " + admin + ": another Trellis is running there already"},
		{[]string{"--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--port-map", fmt.Sprintf("80=%d", data)}, fmt.Sprintf("--port-map 80=%d: another Trellis has 127.0.0.1:%[1]d already", data)},
	} {
		if got := refused(t, append([]string{"dev"}, tc.args...)...); !strings.Contains(got, tc.want) {
			t.Errorf("%q: %s\nwant %s", tc.args, got, tc.want)
		}
	}
}

func TestPortOfAnotherProgramIsNotTakenForTrellis(t *testing.T) {
	address := trellistest.ServeTCP(t, func(*net.TCPConn) {}).String()
	got := refused(t, "dev", "--api-addr", address)
	if !strings.Contains(got, "--api-addr "+address) || !strings.Contains(got, "address already in use; end the program that has the port, or choose another one with --api-addr") {
		t.Errorf("a taken API port: %s", got)
	}
	_, number, _ := net.SplitHostPort(address)
	node := start(t, "dev", "--port-map", "80="+number)
	if greeting := node.out.String(); !strings.Contains(greeting, "listener port 80 cannot be bound: listen tcp "+address) {
		t.Errorf("the greeting of a node whose mapped port is taken:\n%s", greeting)
	}
}

func TestPrivilegedPortSaysWhatHelps(t *testing.T) {
	err := error(bindError{&net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}, "--port-map 80=PORT"})
	for _, want := range []string{"--port-map 80=PORT", "setcap cap_net_bind_service=+ep", "AmbientCapabilities=CAP_NET_BIND_SERVICE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if !errors.Is(err, syscall.EACCES) {
		t.Error("the cause is lost")
	}
}

func TestUnusableDataDirectoryIsBlamedOnItsFlag(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		got := refused(t, "serve", "--data-dir", dir, "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
		if !strings.HasPrefix(got, "--data-dir "+dir+": ") || strings.Contains(got, "audit-log") {
			t.Errorf("%s: %s", dir, got)
		}
	}
	got := refused(t, "serve", "--data-dir", t.TempDir(), "--audit-log", filepath.Join(file, "audit.log"), "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
	if !strings.HasPrefix(got, "--audit-log") {
		t.Errorf("a bad audit log: %s", got)
	}
}

func TestPortsDescribeThemselves(t *testing.T) {
	node := start(t, "dev", "--port-map", "80=0,443=0")
	for url, wants := range map[string][]string{
		node.url + "/":     {"API port of Trellis", "--endpoint-url " + node.url, "curl -s " + node.url + "/services"},
		node.admin() + "/": {"admin port of Trellis test", node.url, "/healthz", "/readyz", "/ports", "/explain", "/routes", "/ca.pem", "/debug/pprof/"},
	} {
		response, body := get(t, url)
		if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %s %q", url, response.Status, response.Header)
		}
		for _, want := range wants {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not say %q:\n%s", url, want, body)
			}
		}
	}
	// A call of another API, such as ListBuckets, stays one.
	request, err := http.NewRequest(http.MethodGet, node.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK || response.Header.Get("Server") == serverName {
		t.Errorf("a signed GET / is answered %s by what describes the port", response.Status)
	}
}
