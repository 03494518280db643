// Package certificate says which certificate a name is served with. A custom domain name has the PEM files that the
// inventory names for the service's certificateArn; they are read again when they change. Every other name gets a
// certificate from a local authority, made when it is first asked for and renewed in time; the authority's key never
// leaves its directory.
//
// It is asked only for names that routing knows: a certificate is made for each. Package server wires it to package
// proxy, which asks once per TLS handshake. Nothing here is done in the background.
package certificate

import (
	"crypto/tls"
	"log/slog"
	"sync"
)

// Config is what a Store is built from.
type Config struct {
	// Authority makes the certificates for which there are no files.
	Authority *Authority
	// Files returns the PEM files of a certificate's ARN: the certificate, followed by those between it and the root,
	// and its key. ok is false when the ARN is unknown. Nil means that none is known.
	Files func(arn string) (certFile, keyFile string, ok bool)
	// Log gets what an operator should know. Nil means slog.Default.
	Log *slog.Logger
}

// Store hands out certificates.
type Store struct {
	cfg    Config
	issued cache

	mu sync.Mutex // mu guards the fields below.
	// pairs are the files that have been asked for, by ARN. Only ARNs that the inventory knows get in.
	pairs map[string]*pair
}

// NewStore returns a store.
func NewStore(cfg Config) *Store {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Store{cfg: cfg, issued: newCache(cfg.Authority.issue), pairs: map[string]*pair{}}
}

// Certificate returns the certificate for a name, in lower case. With an ARN it is the one in the files of that ARN;
// while there are none that can be read, and without an ARN, it is one of the local authority.
func (s *Store) Certificate(name, arn string) (*tls.Certificate, error) {
	if p := s.pair(arn); p != nil {
		if certificate := p.load(name); certificate != nil {
			return certificate, nil
		}
	}
	return s.issued.get(name)
}

// pair returns the files of an ARN, or nil if none are known.
func (s *Store) pair(arn string) *pair {
	if arn == "" || s.cfg.Files == nil {
		return nil
	}
	certFile, keyFile, ok := s.cfg.Files(arn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		delete(s.pairs, arn)
		return nil
	}
	p := s.pairs[arn]
	if p == nil || p.certFile != certFile || p.keyFile != keyFile {
		p = &pair{certFile: certFile, keyFile: keyFile, log: s.cfg.Log.With("certificate", arn)}
		s.pairs[arn] = p
	}
	return p
}
