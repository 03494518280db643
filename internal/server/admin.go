package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"

	"trellis/internal/inventory"
	"trellis/internal/proxy"
)

// readiness is the answer of /readyz.
type readiness struct {
	// Ready: the data plane carries traffic. That needs no catalog once it has been loaded, so a node whose catalog has
	// trouble stays ready.
	Ready bool `json:"ready"`
	// Writes: the API stores changes.
	Writes bool `json:"writes"`
	// Catalog says why it does not.
	Catalog string `json:"catalog,omitempty"`
	// Problems are ports that cannot be bound. They do not make a node unready: the rest serves, and whoever may create a
	// listener could otherwise take every node out of service.
	Problems []string `json:"problems,omitempty"`
	// Inventory is how the services of AWS are that are asked for it.
	Inventory []inventory.SourceReport `json:"inventory,omitempty"`
	// Connections are those of clients, by the ports that they are to.
	Connections map[string]proxy.Usage `json:"connections"`
	Version     string                 `json:"version"`
}

// adminPage is what can be asked on the admin port.
type adminPage struct {
	path    string
	purpose string
	handler http.HandlerFunc
}

func (s *Server) adminPages() []adminPage {
	return []adminPage{
		{"/healthz", "whether the process answers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("ok\n"))
		}},
		{"/readyz", "whether this node serves, and its problems", s.readyz},
		{"/ports", "how the ports of listeners are bound", s.ports},
		{"/explain", "where a request would go and why: /explain?host=NAME&port=80&method=GET&path=/&header=name:value; how targets are: /explain?targetGroup=ID", s.explain},
		{"/logs", "exchanges as they end, as lines of JSON: /logs?service=NAME&status=5xx&failed=1 (trellis logs)", s.watchLogs},
		{"/routes", "all compiled routes: ports, hosts, rules and targets", func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, s.router.Table())
		}},
		{"/names", "all names and where they lead, and where they are answered by DNS (trellis dns)", s.listNames},
		{"/metrics", "what is counted, for Prometheus", s.metricsHandler().ServeHTTP},
		{"/ca.pem", "the certificate of the local authority, which clients of HTTPS listeners trust", s.authorityPEM},
		{"/debug/pprof/", "profiles of the process", pprof.Index},
		{"/debug/pprof/cmdline", "", pprof.Cmdline},
		{"/debug/pprof/profile", "", pprof.Profile},
		{"/debug/pprof/symbol", "", pprof.Symbol},
		{"/debug/pprof/trace", "", pprof.Trace},
	}
}

// adminHandler serves the admin port. GET / says what there is.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	var text strings.Builder
	fmt.Fprintf(&text, "This is the admin port of Trellis %s. The API is at http://%s.\n\n", s.cfg.Version, s.apiListener.Addr())
	for _, page := range s.adminPages() {
		mux.HandleFunc("GET "+page.path, page.handler)
		if page.purpose != "" {
			fmt.Fprintf(&text, "GET %-14s %s\n", page.path, page.purpose)
		}
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { describe(w, text.String()) })
	return &gate{next: mux, hosts: s.allowedHosts(), refuse: func(w http.ResponseWriter, _ *http.Request, message string) {
		http.Error(w, message, http.StatusForbidden)
	}}
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	answer := readiness{Ready: true, Writes: true, Problems: s.portProblems(), Inventory: s.inventory.Sources(), Version: s.cfg.Version,
		Connections: map[string]proxy.Usage{"data": s.proxy.Usage(), "api": s.api.usage(), "admin": s.admin.usage()}}
	status := http.StatusOK
	if err := s.catalog.Writable(); err != nil {
		answer.Writes, answer.Catalog = false, err.Error()
	}
	if s.catalog.Err() != nil { // The node is about to stop.
		answer.Ready, status = false, http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// A client that has gone away does not read the rest.
	_ = encoder.Encode(answer)
}
