package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// The sizes of bodies.
const (
	smallBytes = 128
	bytes64K   = 64 << 10
	bytes1M    = 1 << 20
)

// grpcMessage is a message as gRPC frames it: no compression, its length, a few bytes.
const grpcMessage = "\x00\x00\x00\x00\x05hello"

// nginxHead is common to nginx as the backend and as a proxy. Logs are off and connections are kept open, since proxying is
// what is compared. nginx needs a place for each kind of temporary file.
const nginxHead = `
{{if .User}}user {{.User}};{{end}}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {{.Dir}}/pid;
error_log stderr crit;
events { worker_connections 16000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_max_body_size 0;
  client_body_temp_path {{.Dir}}/body;
  proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi;
  scgi_temp_path {{.Dir}}/scgi;
  ssl_protocols TLSv1.3;
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
`

// The backend is an nginx too, on the core of the load: it is the cheapest server available, and the same for all. For gRPC
// it answers every call with the same message; it turns a POST into a GET of the file (error_page).
var backendConfig = template.Must(template.New("backend.conf").Parse(nginxHead + `
  sendfile on;
  tcp_nopush on;
  open_file_cache max=16;
  default_type text/plain;
  ssl_certificate {{.Certificate}};
  ssl_certificate_key {{.Certificate}};
  server {
    {{range .HTTPBackends}}listen 127.0.0.1:{{.}};
    {{end}}
    {{range .TLSBackends}}listen 127.0.0.1:{{.}} ssl;
    {{end}}
    location = /small { return 200 "` + strings.Repeat("s", smallBytes) + `"; }
    location = /which { return 200 $server_port; }
    location = /64k { alias {{.Dir}}/64k; }
    location = /1m { alias {{.Dir}}/1m; }
    location = / { return 200; }
  }
  server {
    {{range .GRPCBackends}}listen 127.0.0.1:{{.}} http2;
    {{end}}
    root {{.Dir}};
    default_type application/grpc;
    add_trailer grpc-status 0;
    location = ` + grpcPath + ` { error_page 405 =200 /message; }
    location = /message { alias {{.Dir}}/message; }
  }
}
`))

// startBackendFor starts the backends that wrk needs to measure proxies with their own services, and returns their setting.
func startBackendFor(ctx context.Context, o options, dir string) (setting, *process, error) {
	if err := ensureInstalled(ctx, "nginx", "wrk", "taskset"); err != nil {
		return setting{}, nil, err
	}
	s, err := newSetting(o, dir)
	if err != nil {
		return s, nil, err
	}
	if err := writeCertificate(s.Certificate, passthroughHost); err != nil {
		return s, nil, err
	}
	backend, err := startBackend(ctx, s)
	return s, backend, err
}

func startBackend(ctx context.Context, s setting) (*process, error) {
	s.Dir = filepath.Join(s.Dir, "backend")
	config, err := writeConfig(backendConfig, s)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string]string{
		"64k": strings.Repeat("l", bytes64K), "1m": strings.Repeat("l", bytes1M), "message": grpcMessage, strings.TrimPrefix(grpcPath, "/"): "",
	} {
		file := filepath.Join(s.Dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	p, err := start(coreOfLoad, nil, find("nginx"), "-p", s.Dir, "-e", "stderr", "-c", config)
	if err != nil {
		return nil, err
	}
	if err := p.awaitPort(ctx, s.HTTPBackends[0]); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}
