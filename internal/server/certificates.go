package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"

	"trellis/internal/certificate"
)

// openCertificates opens the local certificate authority, and the store that chooses the certificate for a name.
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

// authorityDir returns the directory of the local authority. Everything else in dev is ephemeral, but users who have made
// their programs trust an authority want to keep it, so it is in the user's cache directory, if there is one.
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

// portTLS is how the API and the admin port speak TLS. They have a certificate of the local authority for each name that a gate
// admits, whatever the signatures of requests may cover, and for the address that a client has connected to if it names no host
// . They do not offer HTTP/2: with one request at a time, the bound of connections is one of requests too.
func (s *Server) portTLS() *tls.Config {
	names := &gate{hosts: s.allowedHosts()}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			name := hostName(hello.ServerName)
			if name == "" {
				local := hello.Conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr()
				name = local.Unmap().WithZone("").String()
			}
			if !names.admits(name) {
				return nil, nil // The client gets the alert for an unknown name.
			}
			return s.certificates.Certificate(name, "")
		},
	}
}
