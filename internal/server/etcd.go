package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"trellis/internal/catalog"
	"trellis/internal/configuration"
)

// clusterAccess adds to the catalog's configuration how to reach the etcd cluster.
func (s *Server) clusterAccess(c *catalog.Config) error {
	etcd := s.cfg.Etcd
	c.Endpoints, c.User, c.Prefix = etcd.Endpoints, etcd.User, strings.TrimSuffix(etcd.Prefix, "/")
	if len(etcd.Endpoints) == 0 {
		return nil
	}
	var err error
	if c.TLS, err = clusterTLS(etcd); err != nil {
		return err
	}
	for flag, file := range map[string]string{"--etcd-password-file": etcd.PasswordFile, "--etcd-key": etcd.Key} {
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o007 != 0 {
			s.log.Warn("everybody on this machine can read a secret", "flag", flag, "file", file, "mode", info.Mode().Perm().String())
		}
	}
	if etcd.PasswordFile == "" {
		return nil
	}
	text, err := os.ReadFile(etcd.PasswordFile)
	if err != nil {
		return fmt.Errorf("--etcd-password-file: %w", err)
	}
	if c.Password = strings.TrimRight(string(text), "\r\n"); c.Password == "" {
		return fmt.Errorf("--etcd-password-file %s: the file is empty; it must have the password of --etcd-user", etcd.PasswordFile)
	}
	return nil
}

// clusterTLS returns the TLS configuration of connections to https endpoints.
func clusterTLS(etcd configuration.Etcd) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if etcd.CA != "" {
		text, err := os.ReadFile(etcd.CA)
		if err != nil {
			return nil, fmt.Errorf("--etcd-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--etcd-ca %s: the file has no certificate in PEM", etcd.CA)
		}
	}
	if etcd.Cert == "" {
		return config, nil
	}
	read := func() (*tls.Certificate, error) {
		certificate, err := tls.LoadX509KeyPair(etcd.Cert, etcd.Key)
		if err != nil {
			return nil, fmt.Errorf("--etcd-cert, --etcd-key: %w", err)
		}
		return &certificate, nil
	}
	certificate, err := read()
	if err != nil {
		return nil, err
	}
	if now := time.Now(); now.After(certificate.Leaf.NotAfter) {
		return nil, fmt.Errorf("--etcd-cert %s: the certificate has expired at %s", etcd.Cert, certificate.Leaf.NotAfter.Format(time.RFC3339))
	} else if now.Before(certificate.Leaf.NotBefore) {
		return nil, fmt.Errorf("--etcd-cert %s: the certificate is not valid before %s", etcd.Cert, certificate.Leaf.NotBefore.Format(time.RFC3339))
	}
	// Certificates may be replaced while the node runs.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return read() }
	return config, nil
}

// accessFlags are the flags that matter for each problem with the access to a cluster.
var accessFlags = map[catalog.AccessProblem]string{
	catalog.ServerCertificate: "--etcd-ca",
	catalog.ClientCertificate: "--etcd-cert, --etcd-key",
	catalog.UserOrPassword:    "--etcd-user, --etcd-password-file",
	catalog.Permission:        "--etcd-user, --etcd-prefix",
}

// openError names the flags that an error in opening the catalog is about.
func openError(err error) error {
	if access, ok := errors.AsType[*catalog.AccessError](err); ok {
		return fmt.Errorf("opening the catalog (%s): %w", accessFlags[access.Problem], err)
	}
	return fmt.Errorf("opening the catalog: %w", err)
}
