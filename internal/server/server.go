// Package server is the composition root: it builds the parts from the configuration, runs them, and stops them
// in the opposite order. The wiring is the program's architecture in one place: the catalog's changes go to the router, and
// from there to the health checks and the proxy. Only then is the operation that made them answered.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/internal/accesslog"
	"trellis/internal/accesslog/delivery"
	"trellis/internal/audit"
	"trellis/internal/catalog"
	"trellis/internal/certificate"
	"trellis/internal/chaos"
	"trellis/internal/configuration"
	"trellis/internal/console"
	"trellis/internal/control"
	"trellis/internal/function"
	"trellis/internal/function/gateway"
	"trellis/internal/health"
	"trellis/internal/identity"
	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/outbound"
	"trellis/internal/principal"
	"trellis/internal/proxy"
	"trellis/internal/proxy/upstream"
	"trellis/internal/routing"
	"trellis/internal/tally"
	"trellis/internal/tracing"
)

// openTimeout is how long the catalog may take to open: an etcd cluster may have to elect a leader first.
const openTimeout = 60 * time.Second

// Server is a node: the API, the control plane and the data plane.
type Server struct {
	cfg Config
	log *slog.Logger

	takeover      *takeover
	apiListener   net.Listener
	adminListener net.Listener
	api, admin    *httpPort

	files files

	unsteered     error           // why connections to resources are not steered; nil if they are
	portsInUse    []proxy.Problem // the problems that tryMappedPorts found
	shownProblems map[int]bool    // the sockets by listener port

	audit       *audit.Log // nil when nothing is recorded.
	chaos       *chaos.Chaos
	credentials *principal.Credentials // nil in dev unless a file is given
	principals  *principal.Directory
	failures    *identity.Failures // nil in dev
	inventory   *inventory.Inventory
	functions   *function.Functions
	gateway     *gateway.Gateway
	catalog     *catalog.Catalog
	control     *control.Control
	router      *routing.Router
	addresses   lattice.AddressPolicy
	dialer      *outbound.Dialer
	resolver    *outbound.Resolver
	checker     *health.Checker
	proxy       *proxy.Proxy
	demo        *demo // nil without --demo
	names       *names
	console     *console.Console

	authority    *certificate.Authority
	certificates *certificate.Store

	tracer     *tracing.Tracer // nil when nothing is traced
	accessLogs *delivery.Queue
	calls      tally.Calls    // of the API
	closers    []func() error // the functions that close calls, last first
	retired    bool           // the proxy is shut down, or is about to be
}

// Config is what a Server is built from.
type Config struct {
	configuration.Configuration
	// Version is shown by the admin port.
	Version string
	// Upgrade gets a value when a new process should take over from this one. Nil means never.
	Upgrade <-chan os.Signal
	// Reload gets a value when files should be read and opened again. Nil means never.
	Reload <-chan os.Signal
	// Out gets what the operator is shown at the start, Log the rest.
	Out io.Writer
	Log *slog.Logger
}

// Run builds a node, runs it until ctx ends, and stops it: exchanges in flight may finish within the drain timeout.
func Run(ctx context.Context, cfg Config) error {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(startPercent)
	}
	s, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		s.log.Info("stopping; exchanges in flight may finish", "timeout", cfg.DrainTimeout)
	})
	defer stop()
	if err = errors.Join(s.run(ctx), s.close()); err == nil {
		s.log.Info("stopped")
	}
	return err
}

// open opens the sockets first, so that an address in use is reported at once, and then the catalog, whose first
// changes bring up the data plane. Each step passes to atClose the function that closes what it opened.
func open(ctx context.Context, cfg Config) (s *Server, err error) {
	s = &Server{cfg: cfg, log: cfg.Log, shownProblems: map[int]bool{}}
	for _, step := range []func(context.Context) error{
		s.openFiles,
		s.openTakeover,
		s.openPorts,
		s.tryDataPorts,
		s.tryDataDir,
		s.openAudit,
		s.openChaos,
		s.openInventory,
		s.openCertificates,
		s.openCredentials,
		s.openTracing,    // Tracing opens before the parts that it traces.
		s.openAccessLogs, // The console opens before the parts that it shows, and so closes after them.
		s.openFunctions,
		s.openDemo,
		s.openDataPlane,
		s.openCatalog,
		s.openControl,
		s.openNames,
		s.openConsole,
		s.loadNetwork,
	} {
		if err := step(ctx); err != nil {
			return s, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// atClose makes close call a function, before those that were passed earlier.
func (s *Server) atClose(closeIt func() error) { s.closers = append(s.closers, closeIt) }

// close closes what open has opened, in the opposite order.
func (s *Server) close() error {
	var problems []error
	for _, closeIt := range slices.Backward(s.closers) {
		problems = append(problems, closeIt())
	}
	s.closers = nil
	return errors.Join(problems...)
}

// openPorts opens the API's and the admin port.
func (s *Server) openPorts(ctx context.Context) (err error) {
	if s.apiListener, err = s.listenOwn(ctx, apiSocket, "api-addr", s.cfg.APIAddr); err != nil {
		return err
	}
	if s.adminListener, err = s.listenOwn(ctx, adminSocket, "admin-addr", s.cfg.AdminAddr); err != nil {
		return err
	}
	return nil
}

// openDataPlane makes the parts that carry traffic. They carry none until the catalog passes the first changes.
func (s *Server) openDataPlane(context.Context) error {
	s.openDialer()
	s.checker = health.NewChecker(health.Config{
		Dialer:      s.dialer,
		Concurrency: s.files.probes,
		Log:         s.log.With("part", "health"),
		Resolve:     s.resolve,
	})
	s.atClose(func() error { s.checker.Close(); return nil })
	table, gates := s.steer()
	var tracer accesslog.Tracer
	if s.tracer != nil {
		tracer = s.tracer
	}
	s.proxy = proxy.New(proxy.Config{
		Tracer:             tracer,
		OnBound:            s.dataPortsBound,
		Upstream:           upstream.Config{Dialer: s.dialer, InProcess: s.connectFunction},
		Limits:             s.files.data,
		Log:                s.log.With("part", "proxy"),
		Address:            s.cfg.DataAddr,
		BoundPort:          s.cfg.boundPort,
		Listen:             s.listenData,
		Certificate:        s.certificates.Certificate,
		Callers:            s.newCallers(),
		ConnectionDuration: s.cfg.ConnectionDuration,
		AccessLog:          s.accessLogs,
		ResourceLog:        s.accessLogs,
		Explain:            s.cfg.Dev,
		ListenResource:     s.listenResource,
		Resolve:            s.resolveResource,
		OriginOf:           func(client netip.Addr) routing.Origin { return s.router.OriginOf(client) },
		Steering:           table,
		Unsteered:          s.unsteered,
		ResourceGates:      gates,
		ResourcePorts:      s.cfg.ResourcePorts,
		Drain:              s.cfg.DrainTimeout,
	})
	s.atClose(s.drain)
	s.router = routing.NewRouter(routing.Config{
		Health:        s.checker,
		Connect:       s.proxy.NewConnector,
		Resolve:       s.resolve,
		Inventory:     s.inventory.Current,
		ResourceRange: s.cfg.ResourceRange,
		Domain:        s.cfg.Domain,
		Log:           s.log.With("part", "routing"),
	})
	s.checker.OnChange(s.router.HealthChanged)
	if s.inventory != nil {
		s.inventory.OnChange(func(*inventory.Snapshot) {
			s.checker.InventoryChanged()
			s.router.InventoryChanged()
		})
	}
	return nil
}

// openCatalog opens the catalog, once an old process has closed it. When it returns, the data plane is up.
func (s *Server) openCatalog(ctx context.Context) error {
	cfg := catalog.Config{DataDir: s.cfg.DataDir, Ephemeral: s.cfg.Dev, Apply: s.apply, Log: s.log.With("part", "catalog")}
	if err := s.clusterAccess(&cfg); err != nil {
		return err
	}
	known, err := s.takeover.prepared(ctx)
	if err != nil {
		return err
	}
	s.checker.Restore(known)
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if s.catalog, err = catalog.Open(ctx, cfg); err != nil {
		return openError(err)
	}
	s.atClose(s.catalog.Close)
	s.atClose(s.drain) // This runs before the catalog is closed: until then, connections are accepted.
	s.takeover.close()
	return nil
}

// openControl makes the operations.
func (s *Server) openControl(context.Context) error {
	resolver := control.Resolver(net.DefaultResolver)
	if s.cfg.DNSResolver != "" {
		resolver = control.NewResolver(s.cfg.DNSResolver)
	}
	s.control = control.New(control.Config{
		Catalog:             s.catalog,
		Addresses:           s.addresses,
		Inventory:           s.inventory,
		ResourceAddresses:   s.cfg.ResourceRange.Size(),
		Resolver:            resolver,
		Health:              s.checker,
		Domain:              s.cfg.Domain,
		LifecycleDelay:      s.cfg.LifecycleDelay,
		DeregistrationDelay: s.cfg.DeregistrationDelay,
		Quotas:              s.cfg.Quotas,
		FailCreation:        s.failCreation,
		Log:                 s.log.With("part", "control"),
	})
	if s.inventory != nil {
		s.inventory.OnChange(func(*inventory.Snapshot) { s.control.InventoryChanged() })
	}
	return nil
}

// tryDataPorts fails if the data plane cannot open any port at all, or not those of dev. Later, a port that cannot be bound is
// a problem that stops nothing else.
func (s *Server) tryDataPorts(ctx context.Context) error {
	if err := s.tryDataAddress(ctx); err != nil {
		return err
	}
	var err error
	s.portsInUse, err = s.tryMappedPorts(ctx)
	return err
}

func (s *Server) tryDataAddress(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(s.cfg.DataAddr, "0"))
	if err != nil {
		return fmt.Errorf("opening a port of the data plane (--data-addr): %w", err)
	}
	return listener.Close()
}

// apply applies changes of the catalog to the data plane. The catalog calls it in order of revision, from one goroutine,
// and answers the writer only after it has returned.
func (s *Server) apply(changes []lattice.Change) {
	s.principals.Apply(changes)
	s.checker.Apply(s.router.Apply(changes))
	s.proxy.SetPorts(s.router.Ports())
	s.proxy.SetResources(s.router.Resources())
}

// boundPort returns the port that is bound for a listener's port.
func (c Config) boundPort(listenerPort int) int {
	if bound, ok := c.PortMap[listenerPort]; ok {
		return bound
	}
	if _, ok := c.PortMap[configuration.OtherPorts]; ok {
		return 0
	}
	return listenerPort
}

// run serves until ctx ends or a part fails.
func (s *Server) run(ctx context.Context) error {
	s.api = newHTTPPort(httpPortConfig{Listener: s.apiListener, Handler: s.apiHandler(), Limit: s.files.api, TLS: s.portTLS(), Pass: s.takeover.pass, Log: s.log.With("part", "api")})
	s.admin = newHTTPPort(httpPortConfig{Listener: s.adminListener, Handler: s.adminHandler(), Limit: s.files.admin, TLS: s.portTLS(), Pass: s.takeover.pass, Log: s.log.With("part", "admin")})
	api, admin := s.api, s.admin
	if s.takeover.channel != nil {
		api.pause() // until the old process has finished
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return api.serve(ctx) })
	group.Go(func() error { return admin.serve(ctx) })
	group.Go(func() error { return governMemory(ctx) })
	group.Go(func() error { return s.reloads(ctx) })
	if s.failures != nil {
		group.Go(func() error { return s.failures.Run(ctx) })
	}
	stopControl := startPart(ctx, group, s.control.Run)
	stopNames := startPart(ctx, group, s.names.serve)
	stopConsole := startPart(ctx, group, s.console.Run)
	context.AfterFunc(ctx, s.accessLogs.EndWatching)
	group.Go(func() error {
		defer end() // a new process serves
		return s.upgrades(ctx, api, admin, stopControl, func() { stopNames(); stopConsole() })
	})
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.catalog.Done():
			if errors.Is(s.catalog.Err(), catalog.ErrClosed) { // closed by an upgrade
				return nil
			}
			return fmt.Errorf("the catalog ended: %w", s.catalog.Err())
		}
	})
	if err := s.greet(ctx); err != nil {
		s.log.Error("building the demo network", "error", err)
	}
	if err := s.writeReadyFile(); err != nil {
		end()
		return errors.Join(err, group.Wait())
	}
	s.log.Info("serving", "version", s.cfg.Version, "api", s.apiListener.Addr().String(), "admin", s.adminListener.Addr().String(),
		"openFiles", s.files.limit, "maxConnections", s.files.data.Clients)
	s.notifyServiceManager()
	s.takeover.ready(ctx, s.apiListener.Addr(), s.adminListener.Addr())
	api.resume()
	return group.Wait()
}

// startPart runs a part until ctx ends. stop ends it earlier.
func startPart(ctx context.Context, group *errgroup.Group, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	group.Go(func() error {
		defer close(ended)
		return run(ctx)
	})
	return func() {
		cancel()
		<-ended
	}
}

// drain shuts the proxy down, and lets exchanges in flight finish within the drain timeout.
func (s *Server) drain() error {
	if s.retired {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	s.shutdownProxy(func() error { return s.proxy.Shutdown(ctx) })
	return nil
}

// shutdownProxy makes the proxy shut down.
func (s *Server) shutdownProxy(shutdown func() error) {
	s.retired = true
	if err := shutdown(); err != nil {
		s.log.Warn("exchanges were cut off by the end of the drain timeout", "timeout", s.cfg.DrainTimeout, "error", err)
	}
}

// NewLogger returns the logger that the configuration asks for.
func NewLogger(c configuration.Common, w *os.File) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level()}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
