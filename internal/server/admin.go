package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"

	"trellis/internal/console"
	"trellis/internal/inventory"
	"trellis/internal/proxy"
)

// readiness is the response of /readyz.
type readiness struct {
	// Ready: the data plane carries traffic. It does not need the catalog once the catalog has been loaded, so a node whose
	// catalog has trouble stays ready.
	Ready bool `json:"ready"`
	// Writes: the API stores changes.
	Writes bool `json:"writes"`
	// Catalog says why the API does not store changes.
	Catalog string `json:"catalog,omitempty"`
	// Problems are ports that cannot be bound. They do not make a node unready: the rest works, and otherwise anybody who may
	// create a listener could take every node out of service.
	Problems []string `json:"problems,omitempty"`
	// Inventory reports on the AWS services that are asked for the inventory.
	Inventory []inventory.SourceReport `json:"inventory,omitempty"`
	// Connections are the connections of clients, by the port that they use.
	Connections map[string]proxy.Usage `json:"connections"`
	Version     string                 `json:"version"`
}

// adminPage is a page of the admin port.
type adminPage struct {
	path    string
	purpose string
	handler http.HandlerFunc
	// method is GET if it is empty.
	method string
}

func (s *Server) adminPages() []adminPage {
	pages := []adminPage{
		{path: "/healthz", purpose: "whether the process answers", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("ok\n"))
		}},
		{path: "/readyz", purpose: "whether this node serves, and its problems", handler: s.readyz},
		{path: "/ports", purpose: "how the ports of listeners are bound", handler: s.ports},
		{path: "/explain", purpose: "where a request would go and why: /explain?host=NAME&port=80&method=GET&path=/&header=name:value&principal=ARN&source=10.1.2.3; where a connection to a resource would go: /explain?address=ADDRESS&port=5432; how targets are: /explain?targetGroup=ID", handler: s.explain},
		{path: "/logs", purpose: "exchanges as they end, as lines of JSON: /logs?service=NAME&status=5xx&failed=1 (trellis logs)", handler: s.watchLogs},
		{path: "/routes", purpose: "all compiled routes: ports, hosts, rules and targets", handler: func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, s.router.Table())
		}},
		{path: "/names", purpose: "all names and where they lead, and where they are answered by DNS (trellis dns)", handler: s.listNames},
		{path: "/metrics", purpose: "metrics for Prometheus", handler: s.metricsHandler().ServeHTTP},
		{path: "/ca.pem", purpose: "the certificate of the local authority, which clients of HTTPS listeners trust", handler: s.authorityPEM},
		{path: "/debug/pprof/", purpose: "profiles of the process", handler: pprof.Index},
		{path: "/debug/pprof/cmdline", purpose: "", handler: pprof.Cmdline},
		{path: "/debug/pprof/profile", purpose: "", handler: pprof.Profile},
		{path: "/debug/pprof/symbol", purpose: "", handler: pprof.Symbol},
		{path: "/debug/pprof/trace", purpose: "", handler: pprof.Trace},
		{path: "/status", purpose: "what runs where, and what is wrong (trellis status)", handler: s.status},
		{path: "/export", purpose: "the network of an account in a Region: /export?account=000000000000&region=us-west-2 (trellis export)", handler: s.operated("ExportNetwork", s.exportNetwork)},
		{path: "/import", purpose: "stores an exported network (trellis import)", method: http.MethodPost, handler: s.operated("ImportNetwork", s.importNetwork)},
		{path: "/backup", purpose: "all that is stored (trellis backup)", handler: s.operated("BackupStore", s.backupStore)},
	}
	if s.cfg.Dev {
		pages = append(pages, adminPage{path: "/reset", purpose: "deletes all that an account has: /reset?account=000000000000", method: http.MethodPost, handler: s.operated("ResetAccount", s.resetAccount)})
	}
	return pages
}

// adminHandler serves the admin port. GET / lists its pages, and leads browsers to the console.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	var text strings.Builder
	fmt.Fprintf(&text, "This is the admin port of Trellis %s. The API is at http://%s. In a browser, http://%s is the console.\n\n", s.cfg.Version, s.apiListener.Addr(), s.adminListener.Addr())
	for _, page := range s.adminPages() {
		method := cmp.Or(page.method, http.MethodGet)
		mux.HandleFunc(method+" "+page.path, page.handler)
		if page.purpose != "" {
			fmt.Fprintf(&text, "%-4s %-14s %s\n", method, page.path, page.purpose)
		}
	}
	mux.Handle(console.Path, s.console)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept")
		if wantsPage(r) {
			http.Redirect(w, r, console.Path, http.StatusSeeOther)
			return
		}
		describe(w, text.String())
	})
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
	if s.catalog.Err() != nil { // Only a node that is about to stop gets here.
		answer.Ready, status = false, http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// A client that has disconnected does not read the rest.
	_ = encoder.Encode(answer)
}
