package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// haproxyConfig does what nginxConfig does, and passes TLS through by its server name.
var haproxyConfig = template.Must(template.New("haproxy.cfg").Parse(`
global
  maxconn 16000
  no strict-limits
  nbthread 1
  {{if .Logs}}log stdout len 2048 format raw local0{{end}}
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
  option forwardfor
  option splice-auto
frontend clients
  {{if .Logs}}log global
  option httplog{{end}}
  bind 127.0.0.1:{{.Plain}}
  bind 127.0.0.1:{{.TLS}} ssl crt {{.Certificate}} alpn h2,http/1.1
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Proto http if !{ ssl_fc }
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  use_backend grpc if { req.hdr(host) -i {{.Host}} } { path ` + grpcPath + ` }
  use_backend sink if { req.hdr(host) -i {{.Host}} } { path ` + uploadPath + ` }
  use_backend targets if { req.hdr(host) -i {{.Host}} }
  {{if .Hosts}}use_backend %[req.hdr(host),lower,map({{.Dir}}/hosts)]{{end}}
{{range $i, $host := .Hosts}}backend targets{{$i}}
  balance roundrobin
  {{range $.HTTPBackends}}server target{{.}} 127.0.0.1:{{.}}
  {{end}}
{{end}}backend targets
  balance roundrobin
  {{range .HTTPBackends}}server target{{.}} 127.0.0.1:{{.}} check inter 5s
  {{end}}
backend sink
  balance roundrobin
  {{range .SinkBackends}}server target{{.}} 127.0.0.1:{{.}} check inter 5s
  {{end}}
backend grpc
  balance roundrobin
  {{range .GRPCBackends}}server target{{.}} 127.0.0.1:{{.}} proto h2
  {{end}}
frontend passthrough
  mode tcp
  bind 127.0.0.1:{{.Passthrough}}
  tcp-request inspect-delay 5s
  tcp-request content accept if { req_ssl_hello_type 1 }
  use_backend tls if { req_ssl_sni -i {{.PassthroughHost}} }
frontend tcp
  mode tcp
  bind 127.0.0.1:{{.TCP}}
  default_backend one
backend one
  mode tcp
  server target 127.0.0.1:{{index .HTTPBackends 0}}
backend tls
  mode tcp
  balance roundrobin
  {{range .TLSBackends}}server target{{.}} 127.0.0.1:{{.}} check inter 5s
  {{end}}
`))

func startHAProxy(ctx context.Context, s setting) (*proxy, error) {
	config, err := writeConfig(haproxyConfig, s)
	if err != nil {
		return nil, err
	}
	var hosts strings.Builder
	for i, host := range s.Hosts {
		fmt.Fprintf(&hosts, "%s targets%d\n", host, i)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "hosts"), []byte(hosts.String()), 0o644); err != nil {
		return nil, err
	}
	args := []string{s.HAProxy, "-db", "-f", config}
	if s.Logs {
		args = append([]string{"/bin/sh", "-c", `exec "$@" >"$0"`, filepath.Join(s.Dir, "access.log")}, args...)
	}
	return startProxy(ctx, s, versionOfHAProxy(ctx, s.HAProxy), nil, args[0], args[1:]...)
}
