package server

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"

	"trellis/internal/api"
	"trellis/internal/audit"
	"trellis/internal/authorization"
	"trellis/internal/caller"
	"trellis/internal/catalog"
	"trellis/internal/chaos"
	"trellis/internal/identity"
	"trellis/internal/lattice"
	"trellis/internal/misdirected"
	"trellis/internal/principal"
	"trellis/internal/sts"
	"trellis/internal/tagging"
)

// operationsConfig returns the configuration for calling operations, from the API and the console alike.
func (s *Server) operationsConfig() api.Config {
	burst := s.cfg.APIBurst
	if burst == 0 {
		burst = max(1, int(math.Ceil(s.cfg.APIRate)))
	}
	cfg := api.Config{
		Operations: s.control,
		Limits:     api.Limits{Rate: s.cfg.APIRate, Burst: burst, Concurrency: s.cfg.APIConcurrency},
		Audit:      s.audit,
		Calls:      &s.calls,
		Chaos:      s.chaos,
		Log:        s.log.With("part", "api"),
	}
	if s.tracer != nil {
		cfg.Trace = s.tracer.TraceCall
	}
	return cfg
}

// apiHandler returns the handler of the API port. It describes the port, tells services apart, and serves STS and the
// operations.
func (s *Server) apiHandler() http.Handler {
	cfg := s.operationsConfig()
	forSTS := sts.Config{
		Principals: s.principals, Catalog: s.catalog, Throttle: api.NewThrottle(cfg.Limits), Audit: s.audit, Log: s.log.With("part", "sts"),
	}
	forTagging := tagging.Config{
		Catalog: s.catalog, Throttle: api.NewThrottle(cfg.Limits), Log: s.log.With("part", "tagging"),
	}
	if s.cfg.Dev {
		anybody := identity.Dev{Region: s.cfg.Region, Principals: s.principals}
		cfg.Authenticator, forSTS.Authenticator, forTagging.Authenticator = anybody, anybody, anybody
	} else {
		cfg.Authenticator = s.signed(s.cfg.Regions, "vpc-lattice")
		cfg.Authorizer = s.authorizer()
		forSTS.Authenticator = s.signed(nil, "sts")
		forTagging.Authenticator = s.signed(s.cfg.Regions, "tagging")
		forTagging.Authorizer, forSTS.Authorizer = cfg.Authorizer, cfg.Authorizer
	}
	forSTS.Next = api.NewHandler(cfg)
	return &gate{
		next: s.describeAPI(misdirected.NewHandler(misdirected.Config{
			Next: sts.NewHandler(forSTS), Tagging: tagging.NewHandler(forTagging), Log: s.log.With("part", "api"),
		})),
		// A web page cannot make a signature, which covers the host.
		anyHost: !s.cfg.Dev,
		hosts:   s.allowedHosts(),
		refuse: func(w http.ResponseWriter, r *http.Request, message string) {
			api.Refuse(w, r, cfg.Log, api.AccessDenied(message))
		},
	}
}

// authorizer returns the part that decides what principals may do.
func (s *Server) authorizer() *authorization.Authorizer {
	return authorization.New(authorization.Config{Principals: s.principals, Resources: stored{s.catalog}})
}

// signed returns the authenticator of requests to a service. Failures count for all services together.
func (s *Server) signed(regions []string, service string) api.Authenticator {
	return s.failures.Guard(identity.NewSigned(s.principals, regions, service))
}

// openCredentials reads the credentials that callers may have. In dev, callers that are not among them may call too.
func (s *Server) openCredentials(context.Context) (err error) {
	log := s.log.With("part", "identity")
	if s.cfg.Dev {
		if s.cfg.Credentials != "" {
			if _, err := os.Stat(s.cfg.Credentials); err != nil {
				return fmt.Errorf("--credentials: %w", err)
			}
			if s.credentials, err = principal.OpenCredentials(s.cfg.Credentials, s.cfg.Account, log); err != nil {
				return err
			}
		}
		s.principals, err = principal.NewOpenDirectory(s.cfg.Account, s.credentials)
		return err
	}
	s.failures = identity.NewFailures(log, s.audit)
	if s.credentials, err = principal.OpenCredentials(s.cfg.Credentials, s.cfg.Account, log); err != nil {
		return err
	}
	s.principals = principal.NewDirectory(s.credentials)
	return nil
}

// newCallers returns the verifier that finds out who has signed a request to a service. In dev it accepts any access key, whose
// holder may send what the policies of services and networks allow.
func (s *Server) newCallers() *caller.Verifier {
	cfg := caller.Config{Principals: s.principals, Explain: s.cfg.Dev}
	if s.cfg.Dev {
		cfg.Unknown = s.principals.Anybody
	}
	return caller.NewVerifier(cfg)
}

// stored gives the authorizer the resources in the catalog.
type stored struct{ catalog *catalog.Catalog }

// Resource implements authorization.Resources.
func (s stored) Resource(key lattice.Key) (resource lattice.Resource, ok bool) {
	s.catalog.Read(func(v catalog.View) { resource, ok = catalog.Get[lattice.Resource](v, key) })
	return resource, ok
}

// openAudit opens the audit log, unless it is turned off.
func (s *Server) openAudit(context.Context) (err error) {
	cfg := audit.Config{Path: s.cfg.AuditLog, Log: s.log.With("part", "audit")}
	switch s.cfg.AuditLog {
	case "none":
		return nil
	case "-":
		cfg.Path, cfg.Out = "", s.cfg.Out
	}
	if s.audit, err = audit.Open(cfg); err != nil {
		return fmt.Errorf("--audit-log: %w", err)
	}
	s.atClose(s.audit.Close)
	return nil
}

// openChaos makes the part that delays calls, or makes them fail, in dev.
func (s *Server) openChaos(context.Context) error {
	c := s.cfg.Chaos
	if !s.cfg.Dev || c.Latency == 0 && c.Throttle == 0 && c.Error == 0 && c.CreateFailed == 0 {
		return nil
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	s.log.Warn("calls go wrong on purpose", "latency", c.Latency, "throttleRate", c.Throttle,
		"errorRate", c.Error, "createFailedRate", c.CreateFailed, "seed", c.Seed)
	s.chaos = chaos.New(chaos.Config{Latency: c.Latency, Throttle: c.Throttle, Error: c.Error, CreateFailed: c.CreateFailed, Seed: c.Seed})
	return nil
}

// failCreation tells the operations which creations fail.
func (s *Server) failCreation(kind lattice.Kind) (code, message string) {
	if s.chaos == nil {
		return "", ""
	}
	return s.chaos.FailCreation(string(kind))
}
