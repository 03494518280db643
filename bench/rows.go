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
	streams     int // at the same time on each connection of HTTP/2

	// Trellis is to cost at most goal times as much as the cheapest of these.
	goal float64
	than []string
}

var both = []string{"nginx", "haproxy"}

var rows = []row{
	{name: "http1", title: "HTTP/1.1 keep-alive, answers of 128 bytes",
		listener: plain, path: "/small", answerBytes: smallBytes, connections: 64, goal: 1, than: both},
	{name: "http1-tls", title: "HTTP/1.1 over TLS, answers of 128 bytes",
		listener: tlsListener, path: "/small", answerBytes: smallBytes, connections: 64, goal: 1, than: both},
	{name: "http2", title: "HTTP/2 over TLS to HTTP/1.1, answers of 128 bytes",
		listener: tlsListener, http2: true, path: "/small", answerBytes: smallBytes, connections: 16, streams: 4, goal: 1.3, than: []string{"nginx"}},
	{name: "grpc", title: "gRPC over TLS, unary, messages of 5 bytes",
		listener: tlsListener, http2: true, grpc: true, path: grpcPath, answerBytes: len(grpcMessage), connections: 16, streams: 4, goal: 1, than: []string{"nginx"}},
	{name: "download-64k", title: "HTTP/1.1 keep-alive, answers of 64 KB",
		listener: plain, path: "/64k", answerBytes: bytes64K, connections: 64, goal: 1, than: both},
	{name: "upload-64k", title: "HTTP/1.1 keep-alive, requests of 64 KB",
		listener: plain, path: uploadPath, uploadBytes: bytes64K, connections: 64, goal: 1, than: both},
	{name: "download-1m", title: "HTTP/1.1 keep-alive, answers of 1 MB",
		listener: plain, path: "/1m", answerBytes: bytes1M, connections: 16, goal: 1, than: both},
	{name: "upload-1m", title: "HTTP/1.1 keep-alive, requests of 1 MB",
		listener: plain, path: uploadPath, uploadBytes: bytes1M, connections: 16, goal: 1, than: both},
	{name: "passthrough", title: "TLS passthrough, answers of 1 MB",
		listener: passthrough, path: "/1m", answerBytes: bytes1M, connections: 16, goal: 1, than: []string{"haproxy"}},
}

// onlyOnce are the proxies that are measured in the first round only: nothing is held against them, and the time is
// better spent on the others.
var onlyOnce = []string{"envoy", "caddy"}

// measurement is one run of the load through one proxy.
type measurement struct {
	cpuPerRequest time.Duration
	perSecond     float64
	p50, p99      time.Duration // 0: not known
	busy          float64       // share of the core that the proxy used
}

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
	if err := ensureInstalled(ctx, "nginx", "haproxy", "wrk", "h2load", "taskset"); err != nil {
		return nil, err
	}
	w := &world{dir: dir, absent: make(map[string]error)}
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	if w.setting, err = newSetting(dir); err != nil {
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
	trellis, host, err := startTrellisProxy(ctx, o.trellis, w.setting)
	if err != nil {
		return nil, err
	}
	w.proxies = append(w.proxies, trellis)
	w.setting.Host = host
	for _, name := range o.proxies {
		if name == trellis.name {
			continue
		}
		p, err := startPeer(ctx, name, w.setting)
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

// host is the name under which a row's requests are sent.
func (w *world) host(r row) string {
	if r.listener == passthrough {
		return passthroughHost
	}
	return w.setting.Host
}

// measure measures a row with every proxy that can do it.
func (w *world) measure(ctx context.Context, o options, r row) (results, error) {
	out := results{row: r, rounds: make(map[string][]measurement), missing: make(map[string]error)}
	for name, err := range w.absent {
		out.missing[name] = err
	}
	for round := range o.rounds {
		// One after another and again, so that whatever slows the machine for a while slows them all.
		for _, p := range w.proxies {
			if out.missing[p.name] != nil || round > 0 && slices.Contains(onlyOnce, p.name) {
				continue
			}
			if round == 0 {
				if p.missing[r.listener] != nil {
					out.missing[p.name] = p.missing[r.listener]
					continue
				}
				if err := checkAnswer(ctx, p, w.host(r), r); err != nil {
					if r.name == rows[0].name && !slices.Contains(onlyOnce, p.name) {
						return out, fmt.Errorf("%s: %w\n%s", p.name, err, p.process.output)
					}
					out.missing[p.name] = err
					continue
				}
			}
			progress("round %d of %d: %s, %s", round+1, o.rounds, p.name, r.title)
			m, err := measure(ctx, o, w.dir, p, w.host(r), r)
			if err != nil {
				out.missing[p.name] = err
				continue
			}
			out.rounds[p.name] = append(out.rounds[p.name], m)
		}
	}
	return out, nil
}

// measure is one measurement of one proxy.
func measure(ctx context.Context, o options, dir string, p *proxy, host string, r row) (measurement, error) {
	send := runWrk
	if r.http2 {
		send = runH2load
	}
	return measureWith(ctx, o, p, func(ctx context.Context, duration time.Duration) (load, error) {
		return send(ctx, dir, duration, host, p.ports[r.listener], r)
	})
}

// measureWith is a measurement of a proxy under a load.
func measureWith(ctx context.Context, o options, p *proxy, send func(context.Context, time.Duration) (load, error)) (measurement, error) {
	// Connections to the backend are made, and memory is grown, before the clock runs.
	if _, err := send(ctx, time.Second); err != nil {
		return measurement{}, err
	}
	before, err := p.process.cpu()
	if err != nil {
		return measurement{}, err
	}
	l, err := send(ctx, o.duration)
	if err != nil {
		return measurement{}, err
	}
	after, err := p.process.cpu()
	if err != nil {
		return measurement{}, err
	}
	used := after - before
	if used < l.duration/100 {
		return measurement{}, fmt.Errorf("%v of CPU for %d requests: the kernel does not tell the time of all its processes", used, l.requests)
	}
	return measurement{
		cpuPerRequest: used / time.Duration(l.requests),
		perSecond:     float64(l.requests) / l.duration.Seconds(),
		p50:           l.p50,
		p99:           l.p99,
		busy:          used.Seconds() / l.duration.Seconds(),
	}, nil
}
