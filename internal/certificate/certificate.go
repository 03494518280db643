// Package certificate says which certificate a name is served with. A custom domain name has the one that the
// inventory knows for the service's certificateArn. Every other name gets a certificate from a local authority, made
// when it is first asked for and renewed in time; the authority's key never leaves its directory.
//
// It is asked only for names that routing knows, or that a node has itself: a certificate is made for each. Package server
// asks once per TLS handshake, as package proxy does, to which it wires this one. Nothing here is done in the background.
package certificate

import (
	"crypto/tls"
	"log/slog"
	"sync"
	"time"
)

// Config is what a Store is built from.
type Config struct {
	// Authority makes the certificates of the names for which none is known.
	Authority *Authority
	// Known returns the certificate with an ARN, which has its Leaf; it has no private key if nobody here knows that. Nil means
	// that none is known.
	Known func(arn string) (certificate *tls.Certificate, ok bool)
	// Log gets what an operator should know. Nil means slog.Default.
	Log *slog.Logger
}

// Store hands out certificates.
type Store struct {
	cfg    Config
	issued cache

	mu sync.Mutex // mu guards the fields below.
	// checked are the certificates that have been served last, by ARN.
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

// Certificate returns the certificate for a name, in lower case: the one with the ARN if that is known with its private key,
// otherwise, and without an ARN, one of the local authority.
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

// check logs, once for each certificate, that clients will not like it.
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
