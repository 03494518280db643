// Package certificate returns the certificate with which a name is served. A custom domain name has the one that the inventory
// knows for the service's certificateArn. Every other name gets a certificate from a local authority, made when it is first
// asked for and renewed in time. The authority's key never leaves its directory.
//
// It must be asked only for names that routing knows or that the node itself has, since it makes a certificate for each. Package
// server wires it to package proxy; both ask once for each TLS handshake. Nothing here is done in the background.
package certificate

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"time"
)

// Config is what a Store is built from.
type Config struct {
	// Authority makes certificates for names without a known one.
	Authority *Authority
	// Known returns the certificate with an ARN, with its Leaf set. It has no private key if only its names are known. Nil
	// means that the ARN is not known.
	Known func(arn string) (certificate *tls.Certificate, ok bool)
	// Log gets what an operator should know. Nil means slog.Default.
	Log *slog.Logger
}

// Store finds certificates, and has them made.
type Store struct {
	cfg    Config
	issued cache

	mu sync.Mutex // mu guards the fields below.
	// checked holds the certificates that were served last, by ARN.
	checked map[string]*tls.Certificate
}

// NewStore returns a store.
func NewStore(cfg Config) *Store {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Known == nil {
		cfg.Known = func(string) (*tls.Certificate, bool) { return nil, false }
	}
	return &Store{cfg: cfg, issued: newCache(cfg.Authority.issue), checked: map[string]*tls.Certificate{}}
}

// Certificate returns the certificate for a name, in lower case: the one with the ARN if its private key is known, otherwise one
// of the local authority.
func (s *Store) Certificate(name, arn string) (*tls.Certificate, error) {
	if arn != "" {
		if certificate, ok := s.cfg.Known(arn); ok {
			s.check(name, arn, certificate)
			if certificate.PrivateKey != nil {
				return certificate, nil
			}
		}
	}
	return s.issued.get(name)
}

// check logs, once for each certificate, if clients will refuse it.
func (s *Store) check(name, arn string, certificate *tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checked[arn] == certificate {
		return
	}
	s.checked[arn] = certificate
	problem := ""
	if err := certificate.Leaf.VerifyHostname(name); err != nil {
		problem = err.Error()
	} else if end := certificate.Leaf.NotAfter; !end.IsZero() && time.Now().After(end) {
		problem = "it has expired"
	}
	if problem != "" {
		s.cfg.Log.Warn("clients will refuse the certificate", "certificate", arn, "host", name, "problem", problem)
	}
}
