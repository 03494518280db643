// Package server is the composition root: it builds the parts from the configuration, runs them, and stops them
// in the opposite order. The wiring is the program's architecture in one place: the catalog's changes go to the
// router, from there to the health checks and the proxy, and only then is the operation that made them answered.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/internal/audit"
	"trellis/internal/catalog"
	"trellis/internal/certificate"
	"trellis/internal/chaos"
	"trellis/internal/configuration"
	"trellis/internal/control"
	"trellis/internal/function"
	"trellis/internal/health"
	"trellis/internal/identity"
	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/outbound"
	"trellis/internal/principal"
	"trellis/internal/proxy"
	"trellis/internal/proxy/upstream"
	"trellis/internal/routing"
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
	api, admin    *door

	files files

	portsInUse    []proxy.Problem // what tryMappedPorts found
	shownProblems map[int]bool    // by listener port

	audit       *audit.Log // nil when nothing is recorded.
	chaos       *chaos.Chaos
	credentials *principal.Credentials // nil in dev.
	principals  *principal.Directory
	failures    *identity.Failures // nil in dev
	inventory   *inventory.Inventory
	functions   *function.Functions
	catalog     *catalog.Catalog
	control     *control.Control
	router      *routing.Router
	addresses   lattice.AddressPolicy
	dialer      *outbound.Dialer
	checker     *health.Checker
	proxy       *proxy.Proxy
	demo        *demo
	names       *names

	authority    *certificate.Authority
	certificates *certificate.Store
	temporaryDir string // removed at the end; empty when there is none.

	retired bool // the proxy is shut down.
}

// Config is what a Server is built from.
type Config struct {
	configuration.Configuration
	// Version is shown by the admin port.
	Version string
	// Upgrade gets a value when a new process is to take over from this one. Nil means never.
	Upgrade <-chan os.Signal
	// Reload gets a value when files are to be read and opened again. Nil means never.
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

// open opens the sockets first, so that an address in use is told at once, and then the catalog, whose first
// changes bring up the data plane.
func open(ctx context.Context, cfg Config) (s *Server, err error) {
	s = &Server{cfg: cfg, log: cfg.Log, shownProblems: map[int]bool{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	limit, err := openFiles()
	if err != nil {
		return s, err
	}
	if s.files, err = shareFiles(limit, cfg); err != nil {
		return s, err
	}
	if s.takeover, err = openTakeover(ctx, s.log); err != nil {
		return s, err
	}
	if s.apiListener, err = s.listenOwn(ctx, apiSocket, "api-addr", cfg.APIAddr); err != nil {
		return s, err
	}
	if s.adminListener, err = s.listenOwn(ctx, adminSocket, "admin-addr", cfg.AdminAddr); err != nil {
		return s, err
	}
	if err = s.tryDataAddress(ctx); err != nil {
		return s, err
	}
	if s.portsInUse, err = s.tryMappedPorts(ctx); err != nil {
		return s, err
	}

	if err = s.tryDataDir(); err != nil {
		return s, err
	}
	if s.audit, err = s.openAudit(); err != nil {
		return s, err
	}
	s.chaos = s.newChaos()
	if err = s.openInventory(); err != nil {
		return s, err
	}
	if err = s.openCertificates(); err != nil {
		return s, err
	}
	if err = s.openCredentials(); err != nil {
		return s, err
	}

	s.openFunctions()
	s.openDialer()
	s.checker = health.NewChecker(health.Config{
		Dialer:      s.dialer,
		Concurrency: s.files.probes,
		Log:         s.log.With("part", "health"),
		OnChange:    func(targetGroup lattice.Key) { s.router.HealthChanged(targetGroup) },
		Resolve:     s.resolve,
	})
	s.proxy = proxy.New(proxy.Config{
		OnBound:            s.dataPortsBound,
		Upstream:           upstream.Config{Dialer: s.dialer},
		Limits:             s.files.data,
		Log:                s.log.With("part", "proxy"),
		Address:            cfg.DataAddr,
		BoundPort:          cfg.boundPort,
		Listen:             s.listenData,
		Certificate:        s.certificates.Certificate,
		ConnectionDuration: cfg.ConnectionDuration,
		Explain:            cfg.Dev,
	})
	s.router = routing.NewRouter(routing.Config{
		Health:  s.checker,
		Connect: s.proxy.NewConnector,
		Resolve: s.resolve,
		Log:     s.log.With("part", "routing"),
	})

	if s.inventory != nil {
		s.inventory.OnChange(func(*inventory.Snapshot) { s.router.AddressesChanged() })
	}

	records := catalog.Config{DataDir: cfg.DataDir, Ephemeral: cfg.Dev, Apply: s.apply, Log: s.log.With("part", "catalog")}
	if err = s.clusterAccess(&records); err != nil {
		return s, err
	}
	known, err := s.takeover.prepared(ctx)
	if err != nil {
		return s, err
	}
	s.checker.Restore(known)
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s.catalog, err = catalog.Open(opening, records)
	if err != nil {
		return s, openError(err)
	}
	s.takeover.close()
	resolver := control.Resolver(net.DefaultResolver)
	if cfg.DNSResolver != "" {
		resolver = control.NewResolver(cfg.DNSResolver)
	}
	s.control = control.New(control.Config{
		Catalog:             s.catalog,
		Addresses:           s.addresses,
		Endpoints:           s.inventory,
		Resolver:            resolver,
		Health:              s.checker,
		Domain:              cfg.Domain,
		LifecycleDelay:      cfg.LifecycleDelay,
		DeregistrationDelay: cfg.DeregistrationDelay,
		Quotas:              cfg.Quotas,
		FailCreation:        s.failCreation,
		Log:                 s.log.With("part", "control"),
	})
	return s, nil
}

// tryDataAddress tells at once when the data plane could not open any port: later, each port is a problem of its own that
// stops nothing else.
func (s *Server) tryDataAddress(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(s.cfg.DataAddr, "0"))
	if err != nil {
		return fmt.Errorf("opening a port of the data plane (--data-addr): %w", err)
	}
	return listener.Close()
}

// apply takes changes of the catalog up in the data plane. The catalog calls it in order of revision, from one
// goroutine, and answers the writer only after it has returned.
func (s *Server) apply(changes []lattice.Change) {
	s.principals.Apply(changes)
	s.checker.Apply(s.router.Apply(changes))
	s.proxy.SetPorts(s.router.Ports())
}

// boundPort is the port that is bound for a listener's port.
func (c Config) boundPort(listenerPort int) int {
	if bound, ok := c.PortMap[listenerPort]; ok {
		return bound
	}
	return listenerPort
}

// run serves until ctx ends or a part fails.
func (s *Server) run(ctx context.Context) error {
	s.api = newDoor(doorConfig{Listener: s.apiListener, Handler: s.apiHandler(), Limit: s.files.api, Pass: s.takeover.pass, Log: s.log.With("part", "api")})
	s.admin = newDoor(doorConfig{Listener: s.adminListener, Handler: s.adminHandler(), Limit: s.files.admin, Pass: s.takeover.pass, Log: s.log.With("part", "admin")})
	api, admin := s.api, s.admin
	if s.takeover.channel != nil {
		api.shut() // Until the old process is out of the way.
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
	s.names = s.openNames(ctx)
	stopNames := startPart(ctx, group, s.names.serve)
	group.Go(func() error {
		defer end() // Another process serves.
		return s.upgrades(ctx, api, admin, stopControl, stopNames)
	})
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-s.catalog.Done():
			if errors.Is(s.catalog.Err(), catalog.ErrClosed) { // By an upgrade.
				return nil
			}
			return fmt.Errorf("the catalog ended: %w", s.catalog.Err())
		}
	})
	if err := s.greet(ctx); err != nil {
		s.log.Error("building the demo network", "error", err)
	}
	s.log.Info("serving", "version", s.cfg.Version, "api", s.apiListener.Addr().String(), "admin", s.adminListener.Addr().String(),
		"openFiles", s.files.limit, "maxConnections", s.files.data.Clients)
	s.notifyServiceManager()
	s.takeover.ready(ctx, s.apiListener.Addr(), s.adminListener.Addr())
	api.reopen()
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

// close stops what open has started, in the opposite order.
func (s *Server) close() error {
	var problems []error
	for _, listener := range []net.Listener{s.apiListener, s.adminListener} {
		if listener == nil {
			continue
		}
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			problems = append(problems, err)
		}
	}
	if s.takeover != nil {
		s.takeover.close()
	}
	if s.proxy != nil && !s.retired {
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
		defer cancel()
		s.shutdownProxy(func() error { return s.proxy.Shutdown(ctx) })
	}
	if s.functions != nil { // No exchange needs them any more.
		s.functions.Close()
	}
	if s.catalog != nil {
		problems = append(problems, s.catalog.Close())
	}
	if s.checker != nil {
		s.checker.Close()
	}
	if s.inventory != nil {
		s.inventory.Close()
	}
	if s.demo != nil {
		problems = append(problems, s.demo.close())
	}
	if s.audit != nil {
		problems = append(problems, s.audit.Close())
	}
	problems = append(problems, s.closeCertificates())
	return errors.Join(problems...)
}

func (s *Server) shutdownProxy(shutdown func() error) {
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
