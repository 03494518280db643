package main

import (
	"context"
	"text/template"
)

// caddyConfig does what nginxConfig does.
var caddyConfig = template.Must(template.New("Caddyfile").Parse(`{
	admin off
	auto_https off
	storage file_system {{.Dir}}
	servers {
		protocols h1 h2
	}
	log {
		output discard
	}
}
http://{{.Host}}:{{.Plain}} {
	bind 127.0.0.1
	reverse_proxy ` + uploadPath + ` {{range .SinkBackends}}127.0.0.1:{{.}} {{end}} {
		lb_policy round_robin
	}
	reverse_proxy {{range .HTTPBackends}}127.0.0.1:{{.}} {{end}} {
		lb_policy round_robin
	}
}
https://{{.Host}}:{{.TLS}} {
	bind 127.0.0.1
	tls {{.Certificate}} {{.Certificate}} {
		protocols tls1.3
	}
	reverse_proxy ` + grpcPath + ` {{range .GRPCBackends}}h2c://127.0.0.1:{{.}} {{end}} {
		lb_policy round_robin
	}
	reverse_proxy {{range .HTTPBackends}}127.0.0.1:{{.}} {{end}} {
		lb_policy round_robin
	}
}
`))

func startCaddy(ctx context.Context, s setting) (*proxy, error) {
	if err := ensureInstalled(ctx, "caddy"); err != nil {
		return nil, err
	}
	config, err := writeConfig(caddyConfig, s)
	if err != nil {
		return nil, err
	}
	env := []string{"GOMAXPROCS=1", "XDG_CONFIG_HOME=" + s.Dir, "XDG_DATA_HOME=" + s.Dir}
	p, err := startProxy(ctx, s, versionOfCaddy(ctx, find("caddy")), env, find("caddy"), "run", "--adapter", "caddyfile", "--config", config)
	if err != nil {
		return nil, err
	}
	p.missing = map[listener]error{passthrough: errNoPassthrough}
	return p, nil
}
