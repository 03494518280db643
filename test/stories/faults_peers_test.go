package stories_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"trellis/test/trellistest"
)

// faultPeers are proxies that the faults can be aimed at too, to see what the machine contributes. The environment variable
// TRELLIS_PEERS names them, as in nginx,haproxy; they must be installed.
var faultPeers = map[string]struct{ config, arguments string }{
	"nginx": {arguments: "-e %[1]s/error.log -p %[1]s -c %[1]s/config", config: `
daemon off;
worker_processes %[2]d;
pid nginx.pid;
error_log error.log;
events { worker_connections 20000; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  upstream good { server 127.0.0.1:%[4]d max_fails=0; keepalive 512; }
  upstream bad { server 127.0.0.1:%[5]d max_fails=0; keepalive 512; }
  upstream refused { server 127.0.0.1:%[6]d max_fails=0; }
  server { listen 127.0.0.1:%[3]d backlog=4096; server_name good.test; location / { proxy_pass http://good; } }
  server { listen 127.0.0.1:%[3]d; server_name bad.test; location / { proxy_pass http://bad; } }
  server { listen 127.0.0.1:%[3]d; server_name refused.test; location / { proxy_pass http://refused; } }
}
`},
	"haproxy": {arguments: "-db -f %[1]s/config", config: `
# %[1]s
global
  maxconn 20000
  no strict-limits
  nbthread %[2]d
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout http-request 60s
  http-reuse always
frontend clients
  bind 127.0.0.1:%[3]d
  use_backend good if { req.hdr(host) -i good.test }
  use_backend bad if { req.hdr(host) -i bad.test }
  use_backend refused if { req.hdr(host) -i refused.test }
backend good
  server target 127.0.0.1:%[4]d
backend bad
  server target 127.0.0.1:%[5]d
backend refused
  server target 127.0.0.1:%[6]d
`},
}

// startFaultPeers starts the proxies that are asked for, which end with the test.
func startFaultPeers(t *testing.T, ports faultTargets) (peers []*faultServer) {
	t.Helper()
	for _, name := range strings.FieldsFunc(os.Getenv("TRELLIS_PEERS"), func(r rune) bool { return r == ',' }) {
		peer, known := faultPeers[name]
		if !known {
			t.Fatalf("TRELLIS_PEERS names %q; nginx and haproxy are known", name)
		}
		dir, port := t.TempDir(), trellistest.FreePort(t)
		config := fmt.Sprintf(peer.config, dir, runtime.NumCPU(), port, ports.good, ports.bad, ports.refused)
		if err := os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(name, strings.Fields(fmt.Sprintf(peer.arguments, dir))...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait() // HAProxy ends with 143 then.
		})
		awaitPort(t, port)
		peers = append(peers, &faultServer{name: name, port: port, good: "good.test", bad: "bad.test", refused: "refused.test"})
	}
	return peers
}

func awaitPort(t *testing.T, port int) {
	t.Helper()
	trellistest.Await(t, func() bool {
		conn, err := net.Dial("tcp", local(port))
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, "somebody listens on port %d", port)
}
