// Package metrics exposes what the parts of a node have counted, in the formats of Prometheus. It counts nothing itself: the
// counters live in the objects that they are about, and are read when somebody asks. So a deleted resource takes its series along,
// and labels cost traffic nothing.
//
// Reading takes no lock that traffic takes, and regularly lets other goroutines run, since there may be 10,000 target groups.
package metrics

import (
	"cmp"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"trellis/internal/accesslog/delivery"
	"trellis/internal/catalog"
	"trellis/internal/dns"
	"trellis/internal/function"
	"trellis/internal/health"
	"trellis/internal/inventory"
	"trellis/internal/proxy"
	"trellis/internal/routing"
	"trellis/internal/tally"
	"trellis/internal/tracing"
)

// Config says which counters are read.
type Config struct {
	Version string
	Router  *routing.Router
	Checker *health.Checker
	Proxy   *proxy.Proxy
	// Calls are the calls of the API.
	Calls      *tally.Calls
	Catalog    *catalog.Catalog
	AccessLogs *delivery.Queue
	Functions  *function.Functions
	// Tracer is nil when nothing is traced.
	Tracer *tracing.Tracer
	// DNS returns the server that answers names, or nil.
	DNS func() *dns.Server
	// Inventory returns the certificates that are served; AuthorityExpires is when the local authority's expires.
	Inventory        func() *inventory.Snapshot
	AuthorityExpires time.Time
	// OwnPorts returns the connections to the API's port and the admin port, by these names.
	OwnPorts func() map[string]proxy.Usage
}

// maxScrapes is how many scrapes there may be at once. Prometheus often has two replicas; more scrapes than that are a mistake.
const maxScrapes = 4

// Handler returns the handler of GET /metrics.
func Handler(cfg Config) http.Handler { return newHandler(cfg.gather) }

// handler serves scrapes.
type handler struct {
	runtimes *prometheus.Registry // the metrics of Go and of the process
	gather   func(*gathering)
	messages http.Handler
	room     sync.Pool     // of the texts of scrapes
	scrapes  chan struct{} // has an element for each scrape under way
}

func newHandler(gather func(*gathering)) *handler {
	h := &handler{runtimes: prometheus.NewRegistry(), gather: gather, scrapes: make(chan struct{}, maxScrapes)}
	h.runtimes.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// Compressing would take several times as long as everything else.
	h.messages = promhttp.HandlerFor(prometheus.GathererFunc(h.families), promhttp.HandlerOpts{DisableCompression: true, ErrorHandling: promhttp.ContinueOnError})
	return h
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case h.scrapes <- struct{}{}:
		defer func() { <-h.scrapes }()
	default:
		http.Error(w, fmt.Sprintf("%d scrapes are under way already, the most that are allowed", maxScrapes), http.StatusServiceUnavailable)
		return
	}
	w = yielding{w}
	format := expfmt.Negotiate(r.Header)
	if format.FormatType() != expfmt.TypeTextPlain {
		h.messages.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", string(format))
	// In spite of an error, the library may return metrics, which are written.
	families, _ := h.runtimes.Gather()
	encoder := expfmt.NewEncoder(w, format)
	for _, family := range families {
		if encoder.Encode(family) != nil {
			return // The scraper is gone.
		}
	}
	out := newText(&h.room)
	h.gather(&gathering{out: out})
	_, _ = out.WriteTo(w) // An error means that the scraper has gone.
}

// families returns all metrics as messages.
func (h *handler) families() ([]*dto.MetricFamily, error) {
	out := newMessages()
	h.gather(&gathering{out: out})
	families, err := h.runtimes.Gather()
	families = append(families, out.order...)
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return families, err
}

// yielding lets other goroutines run, once for each piece that is written.
type yielding struct{ http.ResponseWriter }

func (y yielding) Write(b []byte) (int, error) {
	runtime.Gosched()
	return y.ResponseWriter.Write(b)
}

// gather reads all counters.
func (cfg *Config) gather(g *gathering) {
	g.gauge(buildInfo, 1, cfg.Version, runtime.Version(), revision())
	g.traffic(cfg.Router, cfg.Proxy)
	g.health(cfg.Checker)
	g.ports(cfg.Proxy.Statistics(), cfg.OwnPorts())
	g.certificates(cfg)
	g.control(cfg.Calls, cfg.Catalog)
	g.accessLogs(cfg.AccessLogs.Figures())
	g.functions(cfg.Functions)
	if cfg.Tracer != nil {
		g.traces(cfg.Tracer.Figures())
	}
	if server := cfg.DNS(); server != nil {
		g.dns(server)
	}
}

// revision returns the commit that the program was built from.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value
			}
		}
	}
	return "unknown"
}
