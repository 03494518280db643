package server

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"trellis/internal/certificate"
)

// openCertificates opens the local certificate authority, and what chooses the certificate for a name.
func (s *Server) openCertificates(context.Context) error {
	dir, err := s.authorityDir()
	if err != nil {
		return err
	}
	if s.authority, err = certificate.OpenAuthority(dir); err != nil {
		return err
	}
	s.certificates = certificate.NewStore(certificate.Config{
		Authority: s.authority,
		Known:     s.knownCertificate,
		Log:       s.log.With("part", "certificates"),
	})
	return nil
}

// authorityDir returns the directory of the local authority. Everything else in dev is ephemeral, but users who have come
// to trust an authority want to keep it, so it is in the user's cache directory, if there is one.
func (s *Server) authorityDir() (string, error) {
	if s.cfg.CADir != "" {
		return s.cfg.CADir, nil
	}
	if cache, err := os.UserCacheDir(); err == nil {
		dir := cache + "/trellis"
		if err := os.MkdirAll(dir, 0o700); err == nil {
			return dir, nil
		}
	}
	dir, err := os.MkdirTemp("", "trellis-ca-")
	if err != nil {
		return "", fmt.Errorf("making a directory for the certificate authority: %w", err)
	}
	s.atClose(func() error { return os.RemoveAll(dir) })
	s.log.Warn("there is no cache directory: the certificate authority lasts until the end; --ca-dir keeps it", "directory", dir)
	return dir, nil
}

// authorityPEM responds with the certificate of the local authority, for clients that cannot read its file.
func (s *Server) authorityPEM(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/pem-certificate-chain")
	_, _ = w.Write(s.authority.PEM())
}
