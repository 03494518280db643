package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// The sizes of the answers.
const (
	smallBytes = 128
	largeBytes = 64 << 10
)

// proxy is one of those that are compared.
type proxy struct {
	name    string
	port    int
	process *process
}

// setting is what configuration files are made from.
type setting struct {
	Dir      string
	User     string // Who serves, when the bench is run by root.
	Host     string
	Port     int
	Backends []int
}

// nginxHead is common to nginx as the backend and as a proxy. Logs are off, and connections are kept for ever: what
// is compared is proxying. nginx insists on a place for each kind of temporary file.
const nginxHead = `
{{if .User}}user {{.User}};{{end}}
daemon off;
worker_processes 1;
pid {{.Dir}}/pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_temp_path {{.Dir}}/body;
  proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi;
  scgi_temp_path {{.Dir}}/scgi;
`

// The backend is an nginx too, on the core of the load: it is the cheapest server at hand, and the same for all.
var backendConfig = template.Must(template.New("backend").Parse(nginxHead + `
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16;
  server {
    {{range .Backends}}listen 127.0.0.1:{{.}};
    {{end}}
    location = /small { default_type text/plain; return 200 "` + strings.Repeat("s", smallBytes) + `"; }
    location = /large { default_type text/plain; alias {{.Dir}}/large; }
    location / { return 200; }
  }
}
`))

// nginxConfig does what Trellis does for a request: choose by host, balance over the targets, add the forwarded headers.
// The buffers hold a large answer, so that nginx has no reason to write to the disk.
var nginxConfig = template.Must(template.New("nginx").Parse(nginxHead + `
  server_names_hash_bucket_size 256;
  upstream targets {
    {{range .Backends}}server 127.0.0.1:{{.}};
    {{end}}
    keepalive 128;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }
  server {
    listen 127.0.0.1:{{.Port}};
    server_name {{.Host}};
    location / {
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_buffers 16 16k;
      proxy_max_temp_file_size 0;
      proxy_pass http://targets;
    }
  }
}
`))

// haproxyConfig does the same.
var haproxyConfig = template.Must(template.New("haproxy").Parse(`
global
  maxconn 4096
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
  option forwardfor
frontend clients
  bind 127.0.0.1:{{.Port}}
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header X-Forwarded-Proto http
  use_backend targets if { req.hdr(host) -i {{.Host}} }
backend targets
  balance roundrobin
  {{range .Backends}}server target{{.}} 127.0.0.1:{{.}} check inter 5s
  {{end}}
`))

// writeConfig writes a configuration file into a folder of its own.
func writeConfig(t *template.Template, s setting) (string, error) {
	if err := os.Mkdir(s.Dir, 0o755); err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(s.Dir, t.Name()+".conf"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := t.Execute(f, s); err != nil {
		return "", fmt.Errorf("writing %s's configuration: %w", t.Name(), err)
	}
	return f.Name(), f.Close()
}

func startBackend(ctx context.Context, s setting) (*process, error) {
	config, err := writeConfig(backendConfig, s)
	if err != nil {
		return nil, err
	}
	large := strings.Repeat("l", largeBytes)
	if err := os.WriteFile(filepath.Join(s.Dir, "large"), []byte(large), 0o644); err != nil {
		return nil, err
	}
	p, err := start(coreOfLoad, nil, find("nginx"), "-p", s.Dir, "-e", "stderr", "-c", config)
	if err != nil {
		return nil, err
	}
	if err := p.awaitPort(ctx, s.Backends[0]); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func startNginx(ctx context.Context, s setting) (*proxy, error) {
	config, err := writeConfig(nginxConfig, s)
	if err != nil {
		return nil, err
	}
	return startProxy(ctx, s, "nginx", find("nginx"), "-p", s.Dir, "-e", "stderr", "-c", config)
}

func startHAProxy(ctx context.Context, s setting) (*proxy, error) {
	config, err := writeConfig(haproxyConfig, s)
	if err != nil {
		return nil, err
	}
	return startProxy(ctx, s, "HAProxy", find("haproxy"), "-db", "-f", config)
}

func startProxy(ctx context.Context, s setting, name, program string, args ...string) (*proxy, error) {
	p, err := start(coreOfProxy, nil, program, args...)
	if err != nil {
		return nil, err
	}
	if err := p.awaitPort(ctx, s.Port); err != nil {
		p.stop()
		return nil, err
	}
	return &proxy{name: name, port: s.Port, process: p}, nil
}
