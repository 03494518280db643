package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// row is a kind of request for which the proxies are compared.
type row struct {
	name, title string
	listener    listener
	http2       bool
	grpc        bool
	path        string
	answerBytes int
	uploadBytes int
	connections int
	streams     int  // at the same time on each connection of HTTP/2
	connects    bool // each request has a connection of its own
	// headers returns additional lines for each request of HTTP/1.1, made for each measurement. Nil means none.
	headers func() ([]string, error)

	// Trellis should cost at most goal times as much as the cheapest of these.
	goal float64
	than []string
}

var both = []string{"nginx", "haproxy"}

var rows = []row{
	{name: "http1", title: "HTTP/1.1 keep-alive, responses of 128 bytes",
		listener: plain, path: "/small", answerBytes: smallBytes, connections: 64, goal: 0.9, than: both},
	{name: "http1-tls", title: "HTTP/1.1 over TLS, responses of 128 bytes",
		listener: tlsListener, path: "/small", answerBytes: smallBytes, connections: 64, goal: 1, than: both},
	{name: "connect", title: "HTTP/1.1, each request on a new connection, responses of 128 bytes",
		listener: plain, path: "/small", answerBytes: smallBytes, connections: 64, connects: true, goal: 1, than: both},
	{name: "connect-tls", title: "HTTP/1.1 over TLS, each request after a full handshake, responses of 128 bytes",
		listener: tlsListener, path: "/small", answerBytes: smallBytes, connections: 64, connects: true, goal: 1, than: both},
	{name: "http2", title: "HTTP/2 over TLS to HTTP/1.1, responses of 128 bytes",
		listener: tlsListener, http2: true, path: "/small", answerBytes: smallBytes, connections: 16, streams: 4, goal: 1.3, than: []string{"nginx"}},
	{name: "grpc", title: "gRPC over TLS, unary, messages of 5 bytes",
		listener: tlsListener, http2: true, grpc: true, path: grpcPath, answerBytes: len(grpcMessage), connections: 16, streams: 4, goal: 1, than: both},
	{name: "download-64k", title: "HTTP/1.1 keep-alive, responses of 64 KB",
		listener: plain, path: "/64k", answerBytes: bytes64K, connections: 64, goal: 1, than: both},
	{name: "upload-64k", title: "HTTP/1.1 keep-alive, requests of 64 KB",
		listener: plain, path: uploadPath, uploadBytes: bytes64K, connections: 64, goal: 1, than: both},
	{name: "download-1m", title: "HTTP/1.1 keep-alive, responses of 1 MB",
		listener: plain, path: "/1m", answerBytes: bytes1M, connections: 16, goal: 1, than: both},
	{name: "upload-1m", title: "HTTP/1.1 keep-alive, requests of 1 MB",
		listener: plain, path: uploadPath, uploadBytes: bytes1M, connections: 16, goal: 1, than: both},
	{name: "passthrough", title: "TLS passthrough, responses of 1 MB",
		listener: passthrough, path: "/1m", answerBytes: bytes1M, connections: 16, goal: 1, than: []string{"haproxy"}},
	{name: "resource", title: "TCP to a resource, responses of 1 MB",
		listener: tcp, path: "/1m", answerBytes: bytes1M, connections: 16, goal: 0.85, than: []string{"haproxy"}},
	{name: "resource-connect", title: "TCP to a resource, each request on a new connection, responses of 128 bytes",
		listener: tcp, path: "/small", answerBytes: smallBytes, connections: 64, connects: true, goal: 1, than: []string{"haproxy"}},
}

// onlyOnce are the proxies that are measured in the first round only: no goal refers to them, and the time is better spent
// on the others.
var onlyOnce = []string{"envoy", "caddy"}

// benchRows compares the proxies, row by row.
func benchRows(ctx context.Context, o options, dir string) error {
	wanted := slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return !o.wants("data", r.name) })
	if len(wanted) == 0 {
		return nil
	}
	w, err := startWorld(ctx, o, filepath.Join(dir, "rows"))
	if err != nil {
		return err
	}
	defer w.stop()
	var all []results
	for _, r := range wanted {
		results, err := w.measure(ctx, o, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		results.print(o)
		all = append(all, results)
	}
	printSummary(o, all)
	return nil
}

// world is the backend and the proxies in front of it.
type world struct {
	setting setting
	dir     string
	backend *process
	sink    *process
	proxies []*proxy
	absent  map[string]error // proxies that could not be started
}

func startWorld(ctx context.Context, o options, dir string) (_ *world, err error) {
	if runtime.NumCPU() < 2 {
		return nil, errors.New("this needs two cores, one for the proxy and one for the load")
	}
	if err := ensureInstalled(ctx, "nginx", "wrk", "h2load", "taskset"); err != nil {
		return nil, err
	}
	w := &world{dir: dir, absent: make(map[string]error)}
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	if w.setting, err = newSetting(o, dir); err != nil {
		return nil, err
	}
	if err := writeCertificate(w.setting.Certificate, passthroughHost); err != nil {
		return nil, err
	}
	if w.backend, err = startBackend(ctx, w.setting); err != nil {
		return nil, err
	}
	if w.sink, err = startSink(ctx, w.setting); err != nil {
		return nil, err
	}
	// Trellis comes first: it generates the host name that all proxies use.
	trellis, err := startTrellisProxy(ctx, "trellis", o.trellis, w.setting)
	if err != nil {
		return nil, err
	}
	w.proxies = append(w.proxies, trellis)
	w.setting.Host = trellis.host
	for _, name := range o.proxies {
		var p *proxy
		switch name {
		case trellis.name:
			continue
		case otherTrellis:
			p, err = startTrellisProxy(ctx, name, o.against, w.setting)
		default:
			p, err = startPeer(ctx, name, w.setting)
		}
		if err != nil && !slices.Contains(onlyOnce, name) {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err != nil {
			w.absent[name] = err
			continue
		}
		w.proxies = append(w.proxies, p)
	}
	slices.SortFunc(w.proxies, func(a, b *proxy) int {
		return slices.Index(allProxies, a.name) - slices.Index(allProxies, b.name)
	})
	return w, nil
}

func (w *world) stop() {
	for _, p := range w.proxies {
		p.process.stop()
	}
	for _, p := range []*process{w.sink, w.backend} {
		if p != nil {
			p.stop()
		}
	}
}

// secure reports whether the requests are sent over TLS.
func (r row) secure() bool { return r.listener == tlsListener || r.listener == passthrough }

// host is the name under which a row's requests are sent to a proxy.
func (r row) host(p *proxy) string {
	if r.listener == passthrough {
		return passthroughHost
	}
	return p.host
}

// measure measures a row with every proxy that can do it.
func (w *world) measure(ctx context.Context, o options, r row) (results, error) {
	out := results{row: r, rounds: make(map[string][]measurement), missing: make(map[string]error), versions: make(map[string]string)}
	for name, err := range w.absent {
		out.missing[name] = err
	}
	var contestants []contestant
	for _, p := range w.proxies {
		out.versions[p.name] = p.version
		err := p.missing[r.listener]
		if err == nil {
			err = checkResponse(ctx, p, r.host(p), r)
		}
		if err != nil {
			if r.name == rows[0].name && !slices.Contains(onlyOnce, p.name) {
				return out, fmt.Errorf("%s: %w\n%s", p.name, err, p.process.output)
			}
			out.missing[p.name] = err
			continue
		}
		contestants = append(contestants, contestant{
			name: p.name, proxy: p, send: r.sendTo(w.dir, p, r.host(p), nil), once: slices.Contains(onlyOnce, p.name),
		})
	}
	rounds, failures := takeTurns(ctx, o, r.title, contestants)
	for i, c := range contestants {
		out.rounds[c.name] = rounds[i]
		if failures[i] != nil {
			out.missing[c.name] = failures[i]
		}
	}
	return out, nil
}

// sendTo returns the load of a row on a proxy, for one host or, over keep-alive connections, for several in turn.
func (r row) sendTo(dir string, p *proxy, host string, hosts []string) func(context.Context, time.Duration) (load, error) {
	return func(ctx context.Context, duration time.Duration) (load, error) {
		switch port := p.ports[r.listener]; {
		case r.connects && r.secure():
			return runConnect(ctx, duration, host, port, r)
		case r.http2:
			return runH2load(ctx, dir, duration, host, port, r)
		default:
			return runWrk(ctx, dir, duration, host, hosts, p.address(r.listener), r)
		}
	}
}
