package server

import (
	"net/http"

	"trellis/internal/dns"
	"trellis/internal/metrics"
	"trellis/internal/proxy"
)

// metricsHandler returns the handler of GET /metrics.
func (s *Server) metricsHandler() http.Handler {
	return metrics.Handler(metrics.Config{
		Version:          s.cfg.Version,
		Router:           s.router,
		Checker:          s.checker,
		Proxy:            s.proxy,
		Calls:            &s.calls,
		Catalog:          s.catalog,
		AccessLogs:       s.accessLogs,
		Functions:        s.functions,
		Tracer:           s.tracer,
		DNS:              func() *dns.Server { return s.names.server.Load() },
		Inventory:        s.inventory.Current,
		AuthorityExpires: s.authority.Expires(),
		OwnPorts: func() map[string]proxy.Usage {
			return map[string]proxy.Usage{"api": s.api.usage(), "admin": s.admin.usage()}
		},
	})
}
