package main

import (
	"context"
	"text/template"
)

// nginxConfig does what Trellis does for a request: choose by host, balance over the targets, add the forwarded headers.
// The buffers hold a large response, so that nginx has no reason to write to the disk, and bodies are passed on as they
// come, as the others do it.
var nginxConfig = template.Must(template.New("nginx.conf").Parse(nginxHead + `
  server_names_hash_bucket_size 256;
  server_names_hash_max_size 4096;
  upstream targets {
    {{range .HTTPBackends}}server 127.0.0.1:{{.}} max_fails=0;
    {{end}}
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }
  upstream sink {
    {{range .SinkBackends}}server 127.0.0.1:{{.}} max_fails=0;
    {{end}}
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }
  upstream grpc {
    {{range .GRPCBackends}}server 127.0.0.1:{{.}} max_fails=0;
    {{end}}
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_request_buffering off;
  proxy_buffers 16 64k;
  proxy_buffer_size 64k;
  proxy_busy_buffers_size 128k;
  proxy_max_temp_file_size 0;
  {{if .Logs}}` + nginxLogFormat + `{{end}}
  {{range $i, $host := .Hosts}}
  upstream targets{{$i}} {
    {{range $.HTTPBackends}}server 127.0.0.1:{{.}} max_fails=0;
    {{end}}
    keepalive 64;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }
  server {
    listen 127.0.0.1:{{$.Plain}};
    server_name {{$host}};
    location / { proxy_pass http://targets{{$i}}; }
  }
  {{end}}
  server {
    listen 127.0.0.1:{{.Plain}};
    listen 127.0.0.1:{{.TLS}} ssl http2;
    server_name {{.Host}};
    ssl_certificate {{.Certificate}};
    ssl_certificate_key {{.Certificate}};
    {{if .Logs}}access_log {{.Dir}}/access.log entry buffer=64k flush=100ms;{{end}}
    location / { proxy_pass http://targets; }
    location = ` + uploadPath + ` { proxy_pass http://sink; }
    location = ` + grpcPath + ` {
      grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      grpc_set_header X-Forwarded-Port $server_port;
      grpc_set_header X-Forwarded-Proto $scheme;
      grpc_pass grpc://grpc;
    }
  }
}
`))

func startNginx(ctx context.Context, s setting) (*proxy, error) {
	config, err := writeConfig(nginxConfig, s)
	if err != nil {
		return nil, err
	}
	p, err := startProxy(ctx, s, versionOfNginx(ctx, s.Nginx), nil, s.Nginx, "-p", s.Dir, "-e", "stderr", "-c", config)
	if err != nil {
		return nil, err
	}
	p.missing = map[listener]error{passthrough: errNoPassthrough}
	return p, nil
}
