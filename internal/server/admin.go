package server

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
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
	// Problems of the data plane, such as ports that cannot be bound, do not make a node unready: the rest serves.
	Problems []string `json:"problems,omitempty"`
	Version  string   `json:"version"`
}

// adminHandler serves the admin port.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /explain", s.explain)
	mux.HandleFunc("GET /ca.pem", s.authorityPEM)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return &gate{next: mux, hosts: s.allowedHosts(), refuse: func(w http.ResponseWriter, _ *http.Request, message string) {
		http.Error(w, message, http.StatusForbidden)
	}}
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	answer := readiness{Ready: true, Writes: true, Problems: s.proxy.Problems(), Version: s.cfg.Version}
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
