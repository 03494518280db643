package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"text/template"
)

// otherTrellis is the name of the Trellis that -against adds.
const otherTrellis = "other"

// defaultProxies are those that are compared unless the command line names some.
var defaultProxies = []string{"nginx", "haproxy", "trellis", "envoy", "caddy"}

// allProxies are all that can be compared, in the order of the tables.
var allProxies = []string{"nginx", "haproxy", "trellis", otherTrellis, "envoy", "caddy"}

// The paths that lead to other backends: that of the gRPC method, and that of uploads.
const (
	grpcPath   = "/bench.Echo/Unary"
	uploadPath = "/upload"
)

// passthroughHost is the name of the service whose TLS is passed through.
const passthroughHost = "passthrough.bench.example"

// listener is what a proxy listens for.
type listener string

const (
	plain       listener = "plain"
	tlsListener listener = "TLS"
	passthrough listener = "passthrough"
	tcp         listener = "TCP" // to one of the backends, whatever the bytes are
)

// proxy is one of those that are compared.
type proxy struct {
	name    string
	version string // with that of its TLS library
	host    string // the name of the service
	ports   map[listener]int
	process *process
	// tcpAddress is where tcp is listened for.
	tcpAddress string
	// missing maps what the proxy does not support to the reason.
	missing map[listener]error
}

// address is where a proxy listens for something.
func (p *proxy) address(l listener) string {
	if l == tcp {
		return p.tcpAddress
	}
	return loopback(p.ports[l])
}

// errNoTCP is the reason why a proxy has no rows for TCP.
var errNoTCP = errors.New("is measured with HTTP only")

// errNoPassthrough is the reason of proxies that can only terminate TLS; nginx would need a module to pass it through.
var errNoPassthrough = errors.New("does not pass TLS through")

// setting has the values for configuration files.
type setting struct {
	Dir  string
	User string // the user of the servers, when root runs the bench

	Host, PassthroughHost     string
	Hosts                     []string // of further services, each with an upstream of its own to the same backends
	Plain, TLS, Passthrough   int
	TCP                       int
	HTTPBackends              []int
	SinkBackends              []int // for uploads
	GRPCBackends, TLSBackends []int
	Certificate               string // the file of both certificate and key
	Logs                      bool   // Each request is logged, into a file.
	Nginx, HAProxy            string // the peers' programs
}

// newSetting chooses the backends' ports.
func newSetting(o options, dir string) (setting, error) {
	s := setting{
		Dir: dir, PassthroughHost: passthroughHost, Certificate: filepath.Join(dir, "certificate.pem"), Nginx: o.nginx, HAProxy: o.haproxy,
	}
	ports, err := freePorts(8)
	if err != nil {
		return s, err
	}
	s.HTTPBackends, s.GRPCBackends, s.TLSBackends, s.SinkBackends = ports[0:2], ports[2:4], ports[4:6], ports[6:8]
	if os.Geteuid() == 0 {
		me, err := user.Current()
		if err != nil {
			return s, err
		}
		s.User = me.Username
	}
	return s, os.MkdirAll(dir, 0o755)
}

// forProxy chooses a proxy's folder and ports.
func (s setting) forProxy(name string) (setting, error) {
	ports, err := freePorts(4)
	if err != nil {
		return s, err
	}
	s.Dir = filepath.Join(s.Dir, name)
	s.Plain, s.TLS, s.Passthrough, s.TCP = ports[0], ports[1], ports[2], ports[3]
	return s, nil
}

// startPeer starts a proxy other than Trellis.
func startPeer(ctx context.Context, name string, s setting) (*proxy, error) {
	s, err := s.forProxy(name)
	if err != nil {
		return nil, err
	}
	start := map[string]func(context.Context, setting) (*proxy, error){
		"nginx": startNginx, "haproxy": startHAProxy, "caddy": startCaddy, "envoy": startEnvoy,
	}[name]
	p, err := start(ctx, s)
	if err != nil {
		return nil, err
	}
	p.name, p.host, p.tcpAddress = name, s.Host, loopback(s.TCP)
	if name != "haproxy" {
		if p.missing == nil {
			p.missing = map[listener]error{}
		}
		p.missing[tcp] = errNoTCP
	}
	return p, nil
}

// writeConfig writes a configuration file into a folder of its own.
func writeConfig(t *template.Template, s setting) (string, error) { return writeConfigIn(s.Dir, t, s) }

func writeConfigIn(dir string, t *template.Template, s any) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	f, err := os.Create(filepath.Join(dir, t.Name()))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := t.Execute(f, s); err != nil {
		return "", fmt.Errorf("writing %s's configuration: %w", t.Name(), err)
	}
	return f.Name(), f.Close()
}

func startProxy(ctx context.Context, s setting, version string, env []string, program string, args ...string) (*proxy, error) {
	p, err := start(coreOfProxy, env, program, args...)
	if err != nil {
		return nil, err
	}
	if err := p.awaitPort(ctx, s.Plain); err != nil {
		p.stop()
		return nil, err
	}
	return &proxy{version: version, process: p, ports: map[listener]int{plain: s.Plain, tlsListener: s.TLS, passthrough: s.Passthrough}}, nil
}
