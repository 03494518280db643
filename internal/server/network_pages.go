package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/network"
)

// progressInterval is how often a client learns how far an import has come.
const progressInterval = 200 * time.Millisecond

// networks returns the store that exports and imports.
func (s *Server) networks() *network.Store {
	return network.New(network.Config{Catalog: s.catalog, Addresses: s.addresses, Domain: s.cfg.Domain, Changed: s.control.Wake})
}

// orOwn completes a scope by the node's own.
func (s *Server) orOwn(scope lattice.Scope) lattice.Scope {
	if scope.Account == "" {
		scope.Account = s.cfg.Account
	}
	if scope.Region == "" {
		scope.Region = s.cfg.Region
	}
	return scope
}

// exportNetwork answers GET /export.
func (s *Server) exportNetwork(w http.ResponseWriter, _ *http.Request, scope lattice.Scope, _ []byte) {
	text, err := s.networks().Export(s.orOwn(scope))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text)
}

// importProgress is a line of the response to an import. The last one has a count or an error.
type importProgress struct {
	Done    int    `json:"done,omitempty"`
	Total   int    `json:"total,omitempty"`
	Count   *int   `json:"count,omitempty"`
	Account string `json:"account,omitempty"`
	Region  string `json:"region,omitempty"`
	Error   string `json:"error,omitempty"`
}

// importNetwork answers POST /import, with lines of JSON.
func (s *Server) importNetwork(w http.ResponseWriter, r *http.Request, scope lattice.Scope, body []byte) {
	control := http.NewResponseController(w)
	began := false
	tell := func(line importProgress) {
		if !began {
			w.Header().Set("Content-Type", "application/x-ndjson")
			began = true
		}
		_ = control.SetWriteDeadline(time.Now().Add(watchLineTimeout))
		_ = json.NewEncoder(w).Encode(line) // An error means that the client is gone.
		_ = control.Flush()
	}
	var told time.Time
	count, of, err := s.networks().Import(r.Context(), body, scope, func(done, total int) {
		if now := time.Now(); now.Sub(told) >= progressInterval {
			told = now
			tell(importProgress{Done: done, Total: total})
		}
	})
	var wrong *network.DocumentError
	switch {
	case err == nil:
		tell(importProgress{Count: &count, Account: of.Account, Region: of.Region})
	case errors.As(err, &wrong):
		http.Error(w, wrong.Error(), http.StatusBadRequest)
	case !began:
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		tell(importProgress{Error: err.Error()})
	}
}

// backupStore answers GET /backup.
func (s *Server) backupStore(w http.ResponseWriter, _ *http.Request, _ lattice.Scope, _ []byte) {
	var file bytes.Buffer // The backup is compressed and held in memory, so that a failure shows before the response begins.
	if err := s.networks().Backup(&file); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Length", strconv.Itoa(file.Len()))
	_, _ = w.Write(file.Bytes())
}

// resetAccount answers POST /reset, in dev only: tests in one account start afresh without disturbing others.
func (s *Server) resetAccount(w http.ResponseWriter, r *http.Request, scope lattice.Scope, _ []byte) {
	scope = s.orOwn(scope)
	deleted, err := s.networks().Reset(r.Context(), scope.Account)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"account": scope.Account, "deleted": deleted})
}

// loadNetwork imports the document of --load.
func (s *Server) loadNetwork(ctx context.Context) error {
	if s.cfg.Load == "" {
		return nil
	}
	text, err := os.ReadFile(s.cfg.Load)
	if err != nil {
		return fmt.Errorf("--load: %w", err)
	}
	count, of, err := s.networks().Import(ctx, text, lattice.Scope{}, func(int, int) {})
	if err != nil {
		return fmt.Errorf("--load %s: %w", s.cfg.Load, err)
	}
	fmt.Fprintf(s.cfg.Out, "  load   %d records of account %s in %s from %s\n", count, of.Account, of.Region, s.cfg.Load)
	return nil
}
